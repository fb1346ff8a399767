"""Runs in the order of time, and which of their vectors may be compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import RunError
from pipeline.model.prepare import prepare_model
from pipeline.outputs.history import generation_of
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


@pytest.mark.parametrize(
    ("one", "other", "compared"),
    [
        (("litert", "f32", "a"), ("tensorflow", "f32", "b"), True),
        (("litert", "f32", "a"), ("openvino", "bf16", "b"), False),
        (("openvino", "bf16", "a"), ("openvino", "bf16", "b"), True),
        (("openvino", "bf16", "a"), ("tensorflow", "bf16", "b"), False),
        (("tensorflow", "bf16", "a"), ("tensorflow", "bf16", "b"), True),
        (("litert", "int8", "a"), ("litert", "int8", "a"), True),
        (("litert", "int8", "a"), ("litert", "int8", "b"), False),
    ],
)
def test_precisions_that_round_otherwise_are_told_apart(
    tiny_module: str, one: tuple[str, str, str], other: tuple[str, str, str], compared: bool
) -> None:
    model = prepare_model(tiny_module, "litert")
    first, second = (
        generation_of(replace(model, engine=engine, precision=precision, artifact_sha256=sha256), {})
        for engine, precision, sha256 in (one, other)
    )
    assert (first == second) == compared
