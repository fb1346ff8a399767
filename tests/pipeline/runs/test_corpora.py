"""A corpus made once in several forms: the same vectors, columns and counts in all of them, in one run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Run
from tests.pipeline.runs.corpora import OPTIONS, Corpus, make_corpus
from tests.pipeline.runs.forms import corpus as photos_of
from tests.pipeline.test_processes import TWO_PROCESSES

pytestmark = pytest.mark.corpora


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, tiny_module: str) -> Corpus:
    return make_corpus(tmp_path_factory.mktemp("corpus"), tiny_module, photos_of())


@pytest.mark.parametrize("beam_args", [[], TWO_PROCESSES], ids=["one process", "two processes"])
def test_all_forms_give_the_same(corpus: Corpus, run_pipeline: Run, tmp_path: Path, beam_args: list[str]) -> None:
    corpus.check(run_pipeline(input=corpus.inputs, beam_args=beam_args, **OPTIONS))
