"""The demo: its figures and the lines that it prints."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.demo import corpus, demo
from pipeline.demo.demo import reading_lines, recall_at_1
from tests.conftest import Run


def test_recall_counts_nearest_neighbours_of_the_same_group() -> None:
    vectors = np.array([[1, 0], [2, 0.1], [0, 1], [0.1, 5], [1, 1]], np.float32)
    assert recall_at_1(vectors, ["a", "a", "b", "b", "c"]) == pytest.approx(4 / 5)
    assert recall_at_1(vectors, ["a", "b", "a", "b", "c"]) == 0


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_the_lines_that_read_the_result_run(
    images: Path, run_pipeline: Run, compression: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run_pipeline(input=str(images), compression=compression)
    lines = reading_lines(report.folder, report.manifest)
    assert len(lines.splitlines()) == 6
    exec(lines, {})  # noqa: S102 - the very lines that a newcomer is told to run
    printed = capsys.readouterr().out.splitlines()
    shown = {line.split()[0] for line in printed}  # which ones come first, the hashes of their names decide
    assert len(shown) == 3
    assert shown <= {str(path) for path in images.iterdir()}


def test_the_demo_says_what_came_out(
    tmp_path: Path, tiny_module: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(corpus, "PHOTOS", corpus.PHOTOS[:3])
    demo.demo(str(tmp_path), tiny_module)
    printed = capsys.readouterr().out
    assert "listed             38" in printed
    assert "embedded           30" in printed
    assert "Near-duplicate recall@1: " in printed
    assert "untrained" not in printed  # which is said of the stand-in only
    assert "tf.data.TFRecordDataset" in printed
    assert f"{tmp_path}/features/runs/" in printed
    assert f"map and near duplicates: {tmp_path}/report.html\n" in printed
    assert "38 images listed: 30 embedded, 8 failed" in (tmp_path / "report.html").read_text()
