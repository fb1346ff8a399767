"""A corpus in all its forms on Prism, with workers in processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Run
from tests.integration.runners.processes import ROOT, workers
from tests.pipeline.runs.corpora import OPTIONS, make_corpus
from tests.pipeline.runs.forms import corpus as photos_of

pytestmark = pytest.mark.corpora
CONFIG = str(ROOT / "run_configs/prism.yaml")


def test_a_worker_pool_gives_the_same_of_all_forms(
    tmp_path: Path, tiny_module: str, run_pipeline: Run, location: str
) -> None:
    corpus = make_corpus(tmp_path, tiny_module, photos_of())
    with workers("EXTERNAL", tmp_path) as beam_args:
        options = {**OPTIONS, "config": CONFIG, "incremental": True, "beam_args": [location, *beam_args]}
        report = run_pipeline(input=corpus.inputs, run_id="one", **options)
        again = run_pipeline(input=corpus.inputs, run_id="two", **options)
    corpus.check(report)
    assert report.manifest["beam"]["runner"] == "PrismRunner"
    assert again.manifest["counts"]["unchanged"] == report.manifest["counts"]["embedded"]
    assert "Starting worker with command" in (tmp_path / "pool.log").read_text()
