"""docs/labels.md: its command and its lines, as they stand there, with trained weights on labelled photographs."""

from __future__ import annotations

import csv
import importlib.resources
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.outputs.verify import verify_output
from tests.pipeline.runs.test_kills import PROGRAM

PAGE = (Path(__file__).parents[1] / "docs" / "labels.md").read_text()
LEAST_ACCURACY = 0.97
FACES, COUNT = 100, 200  # the first hundred of them are faces


@pytest.fixture
def real_module() -> str:
    folder = os.environ.get("EMBED_IMAGES_REAL_MODULE")
    if not folder:
        pytest.skip("EMBED_IMAGES_REAL_MODULE names no folder with trained weights")
    return folder


def write_labelled(folder: Path) -> None:
    """Photographs, and the manifest that the page shows."""
    (folder / "photos").mkdir()
    images = np.load(str(importlib.resources.files("skimage.data") / "lfw_subset.npy"))
    assert images.shape == (COUNT, 25, 25)
    rows = [("uri", "label", "split")]
    for number, image in enumerate(images):
        Image.fromarray((image * 255).round().astype(np.uint8)).save(folder / f"photos/{number:03}.png")
        rows.append((f"photos/{number:03}.png", str(int(number < FACES)), "train" if number % 2 else "test"))
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.mark.real_module
@pytest.mark.whole
def test_a_linear_classifier_learns_the_labels_that_went_in(tmp_path: Path, real_module: str) -> None:
    write_labelled(tmp_path)
    (shown,) = re.findall(r"```\n(uri,.*?)```", PAGE, re.DOTALL)
    assert set(shown.splitlines()) <= set((tmp_path / "labels.csv").read_text().splitlines())
    command, *_ = re.findall(r"^embed-images (run .*)$", PAGE, re.MULTILINE)
    given = [PROGRAM, *shlex.split(command), f"--model={real_module}"]
    subprocess.run(given, cwd=tmp_path, check=True, capture_output=True)
    assert verify_output(str(tmp_path / "features")).holds

    (lines,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "classifier.py").write_text("import keras; keras.utils.set_random_seed(1)\n" + lines)
    printed = subprocess.run(
        [sys.executable, "classifier.py"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    accuracy = float(re.fullmatch(r"accuracy on held-out images: ([0-9.]+)\n", printed)[1])
    assert accuracy >= LEAST_ACCURACY
