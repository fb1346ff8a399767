"""Vectors of the whole pipeline, against computations that use none of its code."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from pipeline.demo.corpus import encode, make_corpus
from pipeline.model.handles import STANDIN_HANDLE, resolve
from tests.conftest import Run, photo
from tests.reading import run_vectors

pytestmark = pytest.mark.whole


def write_formats(folder: Path) -> None:
    """One image of each format and peculiarity."""
    image = photo(260, 180)
    turned = Image.Exif()
    turned[0x0112] = 8
    grey16 = Image.fromarray((np.asarray(image.convert("L"), np.uint16) * 257)[:, :200])
    alpha = image.convert("RGBA")
    alpha.putalpha(Image.linear_gradient("L").resize(image.size))
    files = {
        "baseline.jpg": encode(image, "JPEG", quality=90),
        "progressive.jpg": encode(image, "JPEG", quality=90, progressive=True),
        "grey.jpg": encode(image.convert("L"), "JPEG", quality=90),
        "cmyk.jpg": encode(image.convert("CMYK"), "JPEG", quality=90),
        "exif.jpg": encode(image, "JPEG", quality=90, exif=turned),
        "rgb.png": encode(image, "PNG"),
        "alpha.png": encode(alpha, "PNG"),
        "palette.png": encode(image.quantize(64), "PNG"),
        "grey16.png": encode(grey16, "PNG"),
        "lossy.webp": encode(image, "WEBP", quality=80),
        "still.gif": encode(image.quantize(128), "GIF"),
        "moving.gif": encode(
            image.quantize(128), "GIF", save_all=True, append_images=[photo(260, 180, 2).quantize(128)]
        ),
        "lzw.tiff": encode(image, "TIFF", compression="tiff_lzw"),
        "bitmap.bmp": encode(image, "BMP"),
        "modern.avif": encode(image, "AVIF"),
        "wavelet.jp2": encode(image, "JPEG2000"),
    }
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def expected_vectors(paths: list[Path], saved_model: str) -> np.ndarray:
    """Open, upright, RGB on white, bilinear to 224, /255, the untouched module: nothing of this project."""
    import tensorflow as tf

    batch = []
    for path in paths:
        image: Image.Image = ImageOps.exif_transpose(Image.open(io.BytesIO(path.read_bytes())))
        if image.mode.startswith("I;16"):
            image = Image.fromarray((np.asarray(image) / 257).round().astype(np.uint8))
        if "A" in image.getbands():
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
        batch.append(np.asarray(image.convert("RGB").resize((224, 224), Image.Resampling.BILINEAR)) / np.float32(255))
    signature = tf.saved_model.load(saved_model).signatures["serving_default"]
    (output,) = signature(
        **{name: tf.constant(np.stack(batch)) for name in signature.structured_input_signature[1]}
    ).values()
    vectors: np.ndarray = output.numpy()
    return vectors


def cosines(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    product: np.ndarray = (x * y).sum(axis=1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)
    return product


def check_against_the_module(folder: Path, run_pipeline: Run, model: str, saved_model: str) -> None:
    write_formats(folder)
    vectors = {}
    for engine in ("tensorflow", "litert", "openvino"):
        report = run_pipeline(input=str(folder), model=model, engine=engine, run_id=engine)
        assert report.manifest["model"]["engine"] == engine
        assert report.manifest["counts"]["failed"] == 0
        uris, vectors[engine] = run_vectors(report.folder)
        assert sorted(uris) == sorted(str(path) for path in folder.iterdir())
        expected = expected_vectors([Path(uri) for uri in uris], saved_model)
        if engine == "tensorflow":
            np.testing.assert_allclose(vectors[engine], expected, atol=1e-4)
        assert cosines(vectors[engine], expected).min() >= 0.9999
        # and they are no constant: no image has the vector of another one's position
        assert cosines(vectors[engine], np.roll(expected, 1, axis=0)).min() < 0.9999


def test_vectors_are_the_standins_on_every_format(tmp_path: Path, run_pipeline: Run) -> None:
    check_against_the_module(tmp_path / "formats", run_pipeline, STANDIN_HANDLE, str(resolve(STANDIN_HANDLE)))


@pytest.fixture
def real_module() -> str:
    folder = os.environ.get("EMBED_IMAGES_REAL_MODULE")
    if not folder:
        pytest.skip("EMBED_IMAGES_REAL_MODULE names no folder with trained weights")
    return folder


@pytest.mark.real_module
def test_vectors_are_a_trained_modules_on_every_format(tmp_path: Path, run_pipeline: Run, real_module: str) -> None:
    check_against_the_module(tmp_path / "formats", run_pipeline, real_module, real_module)


@pytest.mark.real_module
def test_a_trained_module_finds_near_duplicates(tmp_path: Path, run_pipeline: Run, real_module: str) -> None:
    from pipeline.demo.demo import recall_at_1

    make_corpus(tmp_path / "corpus")
    report = run_pipeline(input=str(tmp_path / "corpus"), model=real_module)
    uris, vectors = run_vectors(report.folder)
    assert len(uris) >= 200
    assert recall_at_1(vectors, [Path(uri).parent.name for uri in uris]) >= 0.92
