"""Fixtures: modules made once a session, and a run of the whole pipeline in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import pytest
from PIL import Image

from pipeline.options.config import make_config
from pipeline.runs.run import run
from pipeline.runs.running import RunReport

TINY_SIZE, TINY_FEATURES = 32, 8
Run = Callable[..., RunReport]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of this session's own: nothing comes from earlier ones, conversions happen once."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["EMBED_IMAGES_CACHE_DIR"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def pillow_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs set Pillow's limit of pixels for their process; the next test begins with its own again."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)


@pytest.fixture(scope="session")
def tiny_module(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small module of the right shape, for tests that are not about the model."""
    return str(save_module(tmp_path_factory.mktemp("modules") / "tiny"))


def save_module(
    folder: Path,
    shape: tuple[int | None, ...] = (None, TINY_SIZE, TINY_SIZE, 3),
    dtype: str = "float32",
    forward: Callable[[Any, Any], Any] | None = None,
) -> Path:
    """Saves a module that averages a convolution, or `forward(kernel, images)`."""
    import tensorflow as tf

    module = tf.Module()
    values = np.random.default_rng(3).normal(0, 0.3, (5, 5, 3, TINY_FEATURES)).astype(np.float32)
    module.kernel = tf.Variable(values)

    def average(kernel: Any, images: Any) -> Any:
        return {"default": tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(images, kernel, 2, "SAME")), axis=[1, 2])}

    def serve(inputs: Any) -> Any:
        return (forward or average)(module.kernel, inputs)

    signature = tf.function(serve, input_signature=[tf.TensorSpec(shape, dtype, "inputs")])
    tf.saved_model.save(module, str(folder), signatures={"serving_default": signature})
    return folder


def photo(width: int, height: int, seed: int = 0) -> Image.Image:
    """A smooth, colorful image with some grain, of the same pixels for the same arguments."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    return Image.fromarray(np.clip(smooth + random.integers(-6, 7, smooth.shape), 0, 255).astype(np.uint8))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of twelve small photos."""
    return save_photos(tmp_path / "images")


def save_photos(folder: Path) -> Path:
    folder.mkdir()
    for i in range(12):
        photo(60 + i, 40 + 2 * i, i).save(folder / f"{i:02}.jpg", quality=90)
    return folder


@pytest.fixture
def run_pipeline(tmp_path: Path, tiny_module: str) -> Run:
    """Runs the pipeline as `embed-images run` does and gives its report."""

    def run_it(**options: Any) -> RunReport:
        given = {"output": str(tmp_path / "output"), "model": tiny_module, **options}
        beam_args = given.pop("beam_args", [])
        report = run(make_config(given, beam_args))
        assert report is not None
        return report

    return run_it


# What a manifest says of the twelve images of `two_nights`.
ROWS: list[dict[str, Any]] = [
    {
        "uri": f"images/{i:02}.jpg",
        "label": i % 3,
        "price": i / 4 if i % 2 else None,
        "caption": f"„{i}“",
        "tags": [f"{j}" for j in range(i % 4)],
        "scores": [i / 8, 1.0],
    }
    for i in range(12)
]


@pytest.fixture(scope="session")
def two_nights(tmp_path_factory: pytest.TempPathFactory, tiny_module: str) -> Path:
    """A folder of `images` and an `output` of two incremental runs, night-1 and night-2, with columns; to be left so.

    In the second night image 12 is new, 03 has changed, 04 is gone, and 05 has another label.
    """
    return make_two_nights(tmp_path_factory.mktemp("nights"), tiny_module)


def make_two_nights(folder: Path, tiny_module: str) -> Path:
    """What `two_nights` gives, in a folder of one's own."""
    save_photos(folder / "images")
    night(folder, tiny_module, "night-1", ROWS)
    photo(50, 50, 77).save(folder / "images/12.jpg")
    photo(50, 50, 78).save(folder / "images/03.jpg")
    (folder / "images/04.jpg").unlink()
    rows = [row | {"label": 9} if i == 5 else row for i, row in enumerate(ROWS) if i != 4]
    night(folder, tiny_module, "night-2", [*rows, {"uri": "images/12.jpg", "label": 7, "caption": "new"}])
    return folder


def make_third_night(folder: Path, tiny_module: str, run_id: str) -> None:
    """After `make_two_nights`: 00 has changed, 01 is gone, 13 is new."""
    photo(50, 50, 91).save(folder / "images/00.jpg")
    (folder / "images/01.jpg").unlink()
    photo(50, 50, 92).save(folder / "images/13.jpg")
    night(folder, tiny_module, run_id, [row for i, row in enumerate(ROWS) if i not in (1, 4)])


def night(folder: Path, model: str, run_id: str, rows: list[dict[str, Any]]) -> RunReport:
    """An incremental run over the images of a folder, and what is said of them; three or four of them fill a shard."""
    (folder / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"input": [str(folder / "m.jsonl"), str(folder / "images")], "output": str(folder / "output")}
    columns = ["label=image/class/label", "*"]
    given = {**options, "columns": columns, "model": model, "run_id": run_id, "incremental": True, "shard_size": 2000}
    report = run(make_config(given, []))
    assert report is not None
    return report


def pixels_of(count: int) -> list[np.ndarray]:
    random = np.random.default_rng(5)
    return list(random.integers(0, 256, (count, TINY_SIZE, TINY_SIZE, 3), dtype=np.uint8))
