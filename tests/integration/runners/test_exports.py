"""The export of an output on Prism: file for file that of the local runner."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.runs.test_export import contents, make_export, without_times

pytestmark = pytest.mark.exports


@pytest.mark.parametrize("format", ["parquet", "faiss", "vertex"])
def test_files_are_those_of_the_local_runner(two_nights: Path, tmp_path: Path, location: str, format: str) -> None:
    beam_args = ["--runner=PrismRunner", "--environment_type=LOOPBACK", location]
    there = make_export(two_nights / "output", tmp_path / "there", format, beam_args=beam_args)
    here = make_export(two_nights / "output", tmp_path / "here", format)
    assert there.manifest["beam"]["runner"] == "PrismRunner"
    assert there.manifest["counts"] == here.manifest["counts"]
    assert without_times(contents(there.folder)) == without_times(contents(here.folder))
