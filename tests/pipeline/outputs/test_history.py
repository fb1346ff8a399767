"""Runs in the order of time, and which of their vectors may be compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import RunError
from pipeline.outputs.latest import latest
from tests.conftest import Run


def test_vectors_of_two_models_are_not_mixed(images: Path, run_pipeline: Run) -> None:
    run_pipeline(input=str(images), run_id="one")
    with pytest.raises(RunError, match=r"its newest run, one, has vectors that cannot be compared .*preprocessing"):
        run_pipeline(input=str(images), run_id="two", resize="slim_eval", incremental=True)
    report = run_pipeline(input=str(images), run_id="two", resize="slim_eval", incremental=True, new_model=True)
    assert report.manifest["counts"]["embedded"] == 12
    output = str(Path(report.folder).parents[1])
    assert set(latest(output)["run_id"].to_pylist()) == {"two"}
    # Back to the first: its runs count again.
    with pytest.raises(RunError, match="--new_model starts a new generation"):
        run_pipeline(input=str(images), run_id="three", incremental=True)
    report = run_pipeline(input=str(images), run_id="three", incremental=True, new_model=True)
    assert report.manifest["counts"]["unchanged"] == 12
