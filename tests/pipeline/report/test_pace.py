"""How fast a run was, from the times of its manifest."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.report import pace
from pipeline.report.pace import RESUMED, UNTOLD_FILES, UNTOLD_PHASES, read_pace


def manifest(shards: list[tuple[int, str]], **more: Any) -> dict[str, Any]:
    entries = [{"records": n, "bytes": 1, **({"finished": at} if at else {})} for n, at in shards]
    counts = {"embedded": sum(n for n, _ in shards), "failed": 3}
    letters = [{"records": 3, "bytes": 1, **({"finished": "2026-01-01T00:00:30Z"} if entries[0:1] else {})}]
    return {
        "started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:01:00Z", "counts": counts, "shards": entries,
        "dead_letters": letters, **more,
    }  # fmt: skip


def test_phases_and_the_rate_are_those_of_the_manifest() -> None:
    phases = {"launch": 9.5, "images": 48.5, "publish": 2.0}
    found = read_pace(manifest([(94, "2026-01-01T00:00:20.500Z")], phases=phases))
    assert found.phases == phases
    assert found.images_per_second == pytest.approx(97 / 48.5)
    assert (found.over_images, found.seconds, found.untold) == (True, 60.0, ())
    assert (found.times, found.done) == ((20.5, 30.0), (94, 97))


def test_files_stand_in_the_order_of_time_and_those_of_earlier_attempts_do_not() -> None:
    shards = [(5, "2026-01-01T00:00:50Z"), (7, "2026-01-01T00:00:10Z"), (9, "2025-12-31T23:00:00Z"), (2, "")]
    found = read_pace(manifest(shards))
    assert (found.times, found.done) == ((10.0, 30.0, 50.0), (7, 10, 15))
    assert found.untold == (UNTOLD_PHASES, RESUMED)
    assert found.images_per_second == pytest.approx(26 / 60)
    assert not found.over_images


def test_what_a_manifest_does_not_tell_is_said() -> None:
    older = manifest([(4, ""), (6, "")])
    del older["dead_letters"][0]["finished"]
    found = read_pace(older)
    assert found.untold == (UNTOLD_PHASES, UNTOLD_FILES)
    assert (found.times, found.shards, found.shard_count) == ((), (4, 6), 2)
    older["finished"] = older["started"]
    assert read_pace(older).images_per_second is None


def test_a_curve_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "MOST_POINTS", 5)
    monkeypatch.setattr(pace, "MOST_SHARDS", 4)
    found = read_pace(manifest([(2, f"2026-01-01T00:00:{i:02}Z") for i in range(50)]))
    assert (len(found.times), found.times[0], found.times[-1], found.done[-1]) == (5, 0.0, 49.0, 103)
    assert (len(found.shards), found.shard_count) == (4, 50)
