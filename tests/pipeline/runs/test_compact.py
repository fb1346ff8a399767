"""The newest vectors of many runs as one run."""

from __future__ import annotations

import shutil

from pipeline.outputs.latest import latest
from tests.pipeline.runs.nights import Nights, compact_nights


def test_compacting_keeps_the_newest_view_and_what_nights_know(nights: Nights) -> None:
    bucket = nights.bucket
    for i in range(6):
        bucket.put(f"{i}.jpg", i)
    nights.night()
    bucket.put("0.jpg", 10)
    bucket.delete("1.jpg")
    nights.night()
    before = latest(str(nights.output)).select(["uri", "version"]).to_pylist()
    report = compact_nights(nights, "compacted")
    assert report.manifest["counts"]["embedded"] == 5
    after = latest(str(nights.output))
    assert sorted(row["uri"] for row in before) == sorted(after["uri"].to_pylist())
    assert set(after["run_id"].to_pylist()) == {"compacted"}
    # The runs that were compacted are needed no more.
    for name in ("night-1", "night-2"):
        shutil.rmtree(nights.output / "runs" / name)
    del bucket.newest["1.jpg"]
    assert nights.night()["unchanged"] == 5
