"""Workers in processes of their own, which have not built the pipeline: all that reaches them was encoded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.outputs.verify import verify_output
from tests.conftest import Run, photo
from tests.reading import run_vectors

pytestmark = pytest.mark.whole

TWO_PROCESSES = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]


def test_nights_in_two_processes_are_those_of_one(images: Path, run_pipeline: Run, tmp_path: Path) -> None:
    (images / "broken.jpg").write_bytes(b"no image")
    here = run_pipeline(input=str(images), output=str(tmp_path / "here"))
    there = run_pipeline(input=str(images), output=str(tmp_path / "there"), beam_args=TWO_PROCESSES)
    assert there.manifest["counts"] == here.manifest["counts"]
    assert there.images == here.images == 13  # which the workers have told, each of its own
    assert there.seconds.keys() == here.seconds.keys() == {"start", "model", "list", "embed", "publish"}
    expected, found = (dict(zip(*run_vectors(report.folder), strict=True)) for report in (here, there))
    assert expected.keys() == found.keys()
    assert all(np.array_equal(found[uri], vector) for uri, vector in expected.items())

    (images / "00.jpg").unlink()
    photo(50, 50, 99).save(images / "01.jpg")
    night = run_pipeline(
        input=str(images), output=str(tmp_path / "there"), incremental=True, limit=5, beam_args=TWO_PROCESSES
    )
    counts = night.manifest["counts"]
    assert [counts[part] for part in ("unchanged", "failed_before", "embedded", "deleted")] == [10, 1, 1, 1]
    assert verify_output(str(tmp_path / "there")).holds
