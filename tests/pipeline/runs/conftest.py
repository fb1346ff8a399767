"""Fixtures: nights over a folder, and the vectors that they should find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.options.config import make_config
from pipeline.runs.run import run
from tests.conftest import photo
from tests.pipeline.runs.nights import Nights
from tests.reading import run_vectors


@pytest.fixture(scope="session")
def vector_of(tmp_path_factory: pytest.TempPathFactory, tiny_module: str) -> Callable[[int], np.ndarray]:
    """The vector of each of forty pictures, by a plain run over all of them."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "in").mkdir()
    for picture in range(40):
        photo(48, 40, picture).save(folder / "in" / f"{picture}.jpg", quality=90)
    report = run(make_config({"input": str(folder / "in"), "output": str(folder / "out"), "model": tiny_module}, []))
    assert report is not None
    vectors = {int(Path(uri).stem): vector for uri, vector in zip(*run_vectors(report.folder), strict=True)}
    return vectors.__getitem__


@pytest.fixture
def nights(tmp_path: Path, tiny_module: str, vector_of: Callable[[int], np.ndarray]) -> Nights:
    return Nights(tmp_path, tiny_module, vector_of)
