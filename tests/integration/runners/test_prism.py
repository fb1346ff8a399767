"""The unchanged pipeline on Prism: a runner of another process, over Beam's portability protocols."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.errors import RunError
from pipeline.options.config import make_config
from pipeline.outputs.verify import verify_output
from pipeline.runs.run import run
from pipeline.runs.running import RunReport
from tests.conftest import photo
from tests.reading import run_vectors

pytestmark = pytest.mark.prism
CONFIG = Path(__file__).parents[3] / "run_configs" / "prism.yaml"
COUNT = 300


def run_with(tiny_module: str, *beam_args: str, **options: Any) -> RunReport:
    report = run(make_config({"model": tiny_module, **options}, beam_args))
    assert report is not None
    return report


@pytest.fixture
def many(tmp_path: Path) -> Path:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(COUNT):
        photo(40 + number % 7, 30, number).save(folder / f"{number:03}.jpg", quality=90)
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


def test_vectors_are_those_of_the_local_runner(many: Path, tmp_path: Path, tiny_module: str, location: str) -> None:
    """Byte for byte, and every image is accounted for."""
    given = {"input": str(many), "config": str(CONFIG)}
    there = run_with(tiny_module, location, **given, output=str(tmp_path / "there"))
    here = run_with(tiny_module, input=str(many), output=str(tmp_path / "here"))
    assert there.manifest["beam"]["runner"] == "PrismRunner"
    assert there.manifest["counts"] == here.manifest["counts"]
    assert there.manifest["counts"]["embedded"] == COUNT
    assert verify_output(str(tmp_path / "there")).holds
    expected, found = (dict(zip(*run_vectors(report.folder), strict=True)) for report in (here, there))
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[uri], found[uri]) for uri in expected)


def test_a_run_that_is_refused_says_so(many: Path, tmp_path: Path, tiny_module: str, location: str) -> None:
    options = {"input": str(many), "output": str(tmp_path / "output"), "max_failure_rate": 0.001}
    with pytest.raises(RunError, match="1 of 301 images failed"):
        run_with(tiny_module, location, **options, config=str(CONFIG))


def test_the_run_config_is_for_prism() -> None:
    assert yaml.safe_load(CONFIG.read_text())["pipeline_options"]["runner"] == "PrismRunner"
