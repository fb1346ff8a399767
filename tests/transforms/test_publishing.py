"""Publishing: names, counts, refusals, and running a step twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import google_crc32c
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import Run
from transforms.counting import count_outcomes, refusal_of
from transforms.elements import DeadLetter, ImageObject, StagedFile
from transforms.publishing import (
    Plan,
    PublishRun,
    plan_moves,
    plan_refusal,
    with_phases,
)
from transforms.records import layout
from transforms.records.spool import Spool
from transforms.writing import dead_letter_line


def staged(kind: str, number: int, records: int = 1, **errors: int) -> StagedFile:
    return StagedFile(
        kind, f"/s/{kind}-{number}", f"/s/{kind}-{number}.ledger", records, 10, "0" * 8, f"u{number:03}", errors
    )


@given(st.lists(st.sampled_from(["features", "dead_letters"]), max_size=30), st.randoms())
def test_names_are_dense_unique_and_ordered_by_first_uri(kinds: list[str], random: Any) -> None:
    files = [staged(kind, number) for number, kind in enumerate(kinds)]
    shuffled = list(files)
    random.shuffle(shuffled)
    moves = plan_moves(shuffled, "none")
    assert sorted(move.staged.uri for move in moves) == sorted(file.uri for file in files)
    for kind, extension in (("features", ".tfrecord"), ("dead_letters", ".jsonl")):
        of_kind = [move for move in moves if move.staged.kind == kind]
        count = kinds.count(kind)
        assert [move.name for move in of_kind] == [f"{kind}-{i:05d}-of-{count:05d}{extension}" for i in range(count)]
        assert [move.staged.first_uri for move in of_kind] == sorted(move.staged.first_uri for move in of_kind)
    assert [move.ledger_name for move in moves] == [
        f"ledger-{i:05d}-of-{len(files):05d}.parquet" for i in range(len(files))
    ]


def test_counts_come_from_the_records_and_must_add_up() -> None:
    files = [staged("features", 0, 5), staged("features", 1, 2), staged("dead_letters", 2, 3, NotFound=1, NotAnImage=2)]
    decisions = {"embed": 9, "selected": 8, "staged": 2, "unchanged": 5, "failed_before": 1, "outside": 3, "gone": 4}
    counts = count_outcomes(files, decisions)
    assert counts == {
        "listed": 20, "unchanged": 5, "failed_before": 1, "outside": 3, "over_limit": 1,
        "embedded": 7, "failed": 3, "failed_by_error": {"NotAnImage": 2, "NotFound": 1}, "duplicates": 0, "deleted": 0,
        "columns_changed": 0, "containers": 0,
    }  # fmt: skip
    assert count_outcomes(files, decisions | {"distinct": 5})["duplicates"] == 3
    for selected in (7, 9, 0):
        with pytest.raises(RuntimeError, match=f"{selected + 2} images were listed but 7 embedded and 3 failed"):
            count_outcomes(files, decisions | {"selected": selected})
    with pytest.raises(RuntimeError, match="2 images are gone but 0 noted"):
        count_outcomes(files, decisions | {"deleted": 2})


def test_reasons_are_counted_when_all_tell_and_none_may_be_lost() -> None:
    """Of 8 selected images and 2 that a killed attempt had finished."""
    files = [
        staged("features", 0, 5)._replace(reasons={"new": 3, "changed": 2}),
        staged("features", 1, 2)._replace(reasons={"changed": 1, "columns_changed": 1}),
        staged("dead_letters", 2, 3, NotFound=3)._replace(reasons={"retried": 2, "repeated": 1}),
    ]
    decisions = {"embed": 8, "selected": 8, "staged": 2, "new": 3, "changed": 2, "retried": 2, "repeated": 1}
    counts = count_outcomes(files, decisions)
    reasons = {"new": 3, "changed": 3, "retried": 2, "repeated": 1, "columns_changed": 1}
    assert {reason: counts[reason] for reason in reasons} == reasons
    for reason, number in reasons.items():
        with pytest.raises(RuntimeError, match=f"{number + 1} images are {reason} but {number} noted so"):
            count_outcomes(
                files, decisions | ({"staged": 0} if reason == "columns_changed" else {}) | {reason: number + 1}
            )
    untold = count_outcomes([files[0]._replace(reasons={}), *files[1:]], {"embed": 8, "selected": 8, "staged": 2})
    assert "new" not in untold
    assert untold["columns_changed"] == 1


@pytest.mark.parametrize(
    ("failed", "limit", "refused"), [(0, 0.0, False), (1, 0.0, True), (5, 0.5, False), (6, 0.5, True), (10, 1.0, False)]
)
def test_runs_above_the_failure_rate_are_refused(failed: int, limit: float, refused: bool) -> None:
    counts = {"listed": 10, "failed": failed, "failed_by_error": {"NotFound": failed}}
    sentence = refusal_of(counts, limit)
    assert bool(sentence) == refused
    if refused:
        assert sentence.startswith(
            f"{failed} of 10 images failed ({failed * 10}.0%), most of them with NotFound ({failed})"
        )


def test_a_refused_run_keeps_its_dead_letters_only() -> None:
    moves = plan_refusal([staged("features", 0), staged("dead_letters", 1), staged("dead_letters", 2)])
    assert [(move.name, move.ledger_name) for move in moves] == [
        ("dead_letters-00000-of-00002.jsonl", ""),
        ("dead_letters-00001-of-00002.jsonl", ""),
    ]


ATTEMPT, OTHER = "a" * 32, "b" * 32


def fill(staging: Path) -> list[StagedFile]:
    staging.mkdir(parents=True, exist_ok=True)
    (staging / layout.ATTEMPT_NOTE).write_text(json.dumps({"identity": {}, "generation": {}}))
    features = Spool("features", str(staging))
    for i in range(3):
        features.add([b"record"], [ImageObject(f"{i}.jpg", 10, "v", 1.25)])
    dead = Spool("dead_letters", str(staging))
    failure = DeadLetter(ImageObject("写.jpg", 7, "w"), "decode", "NotAnImage", "no image")
    dead.add([dead_letter_line(failure)], [failure.source], failure)
    return [features.stage(), dead.stage()]


def test_every_step_may_run_twice(tmp_path: Path) -> None:
    output = tmp_path / "output"
    publish = PublishRun(str(output), "r", "none", 1.0, {"run_id": "r"}, ATTEMPT)
    files = fill(output / ".staging/r" / ATTEMPT)
    plan = publish._plan(None, files, {"selected": 4, "embed": 4})
    first = [publish._publish_file(move) for move in publish._moves(plan)]
    again = [publish._publish_file(move) for move in publish._moves(plan)]
    assert again == first
    manifest = publish._finish(None, plan, first)
    publish._finish(None, plan, again)
    folder = output / "runs/r"
    assert sorted(path.name for path in folder.iterdir()) == [
        "_SUCCESS", "dead_letters-00000-of-00001.jsonl", "features-00000-of-00001.tfrecord",
        "ledger-00000-of-00002.parquet", "ledger-00001-of-00002.parquet", "run.json",
    ]  # fmt: skip
    assert not (output / ".staging/r").exists()
    entries = json.loads(manifest)
    for kind in ("shards", "dead_letters", "ledgers"):
        for entry in entries[kind]:
            path = folder / entry["path"]
            assert (entry["bytes"], entry["crc32c"]) == (
                path.stat().st_size,
                google_crc32c.Checksum(path.read_bytes()).digest().hex(),
            )
    embedded, failed = (pq.read_table(folder / f"ledger-0000{i}-of-00002.parquet").to_pylist() for i in (0, 1))
    assert [(row["uri"], row["shard"], row["row"], row["outcome"]) for row in embedded] == [
        (f"{i}.jpg", "features-00000-of-00001.tfrecord", i, "embedded") for i in range(3)
    ]
    assert embedded[0]["updated"].timestamp() == 1.25
    ((uri, stage, error, outcome, shard),) = [
        (row["uri"], row["stage"], row["error"], row["outcome"], row["shard"]) for row in failed
    ]
    assert (uri, stage, error, outcome) == ("写.jpg", "decode", "NotAnImage", "failed")
    assert shard == "dead_letters-00000-of-00001.jsonl"
    line = json.loads((folder / shard).read_text(encoding="utf-8"))
    assert line == {
        "uri": "写.jpg",
        "version": "w",
        "size": 7,
        "stage": "decode",
        "error": "NotAnImage",
        "message": "no image",
    }


def test_the_manifest_tells_when_files_were_finished_and_where_the_time_went(tmp_path: Path) -> None:
    head = {"run_id": "r", "launched": "2026-01-01T00:00:02.500Z", "phases": {"launch": 2.5}}
    publish = PublishRun(str(tmp_path), "r", "none", 1.0, head, ATTEMPT)
    features, dead = fill(tmp_path / ".staging/r" / ATTEMPT)
    files = [features._replace(finished=1767225610.25), dead._replace(finished=0.0)]
    plan = publish._plan(None, files, {"selected": 4, "embed": 4})
    plan = plan._replace(began=datetime(2026, 1, 1, 0, 0, 12, 750_000, UTC))
    manifest = json.loads(publish._finish(None, plan, [publish._publish_file(move) for move in publish._moves(plan)]))
    assert manifest["shards"][0]["finished"] == "2026-01-01T00:00:10.250Z"
    assert "finished" not in manifest["dead_letters"][0]
    phases = manifest["phases"]
    assert (phases["launch"], phases["images"]) == (2.5, 10.25)
    assert phases["publish"] > 0


def test_clocks_that_disagree_give_no_phase_below_nothing() -> None:
    early, late = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    head = {"launched": "2026-01-02T00:00:00.000Z", "phases": {"launch": 1.0}}
    assert with_phases(head, early, early)["phases"] == {"launch": 1.0, "images": 0.0, "publish": 0.0}
    assert with_phases(head, late, early)["phases"]["publish"] == 0.0
    assert with_phases({"run_id": "r"}, late, late) == {"run_id": "r"}


def test_a_run_is_not_there_before_its_last_step(tmp_path: Path) -> None:
    publish = PublishRun(str(tmp_path), "r", "none", 1.0, {}, ATTEMPT)
    plan = publish._plan(None, fill(tmp_path / ".staging/r" / ATTEMPT), {"selected": 4, "embed": 4})
    assert isinstance(plan, Plan)
    for move in publish._moves(plan):
        publish._publish_file(move)
    folder = tmp_path / "runs/r"
    assert not (folder / layout.SUCCESS).exists()
    claim = json.loads((folder / layout.MANIFEST).read_text())
    assert claim["attempt"] == ATTEMPT
    assert claim[layout.MOVES] == {move.name: move.staged.uri for move in plan.moves}
    other = PublishRun(str(tmp_path), "r", "none", 1.0, {}, OTHER)
    with pytest.raises(RuntimeError, match="another run with this id was faster"):
        other._plan(None, fill(tmp_path / ".staging/r" / ATTEMPT), {"selected": 4, "embed": 4})


def test_spools_of_equal_records_are_equal_files(tmp_path: Path) -> None:
    def spool(compression: str) -> StagedFile:
        it = Spool("features", str(tmp_path), compression)
        for i in range(100):
            it.add([b"record" * 20], [ImageObject(str(i))])
        return it.stage()

    for compression in layout.EXTENSIONS:
        one, other = spool(compression), spool(compression)
        assert one.uri != other.uri
        assert (one.crc32c, one.bytes, one.records) == (other.crc32c, other.bytes, 100)
    assert spool("gzip").bytes < spool("none").bytes


def test_the_umask_decides_who_may_read_what_was_published(images: Path, run_pipeline: Run) -> None:
    (images / "broken.jpg").write_bytes(b"no image")
    folder = Path(run_pipeline(input=str(images)).folder)
    (folder / "as others").touch()
    modes = {path.name: path.stat().st_mode for path in folder.iterdir()}
    assert set(modes.values()) == {modes["as others"]}
    assert len(modes) == 7
