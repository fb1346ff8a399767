"""Precisions below f32: what stays exact, and that correcting the biases gives back what rounding took."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.demo.corpus import make_corpus
from pipeline.model import conversion, rounding
from pipeline.model.conversion import convert, reference_vectors, to_int8
from pipeline.model.fidelity import measure_parity
from pipeline.model.signatures import Wanted
from pipeline.options.config import make_config
from pipeline.runs.run import model_of
from tests.conftest import TINY_SIZE, photo, save_module
from tests.pipeline.model.conftest import PAIRS
from transforms.engines import load_engine
from transforms.engines.openvino import has_bf16


def photos(count: int, seed: int) -> np.ndarray:
    return np.stack([np.asarray(photo(TINY_SIZE, TINY_SIZE, seed + i)) for i in range(count)])


def parity_of(artifact: bytes, module: Path, probes: np.ndarray) -> float:
    expected = reference_vectors(module, "m", probes)
    return measure_parity(expected, load_engine("litert", artifact, len(probes))(probes))["mean_cosine"]


def convolutions(flatbuffer: bytes) -> list[rounding.Convolution]:
    return rounding._convolutions(rounding._parsed(flatbuffer))


def test_the_first_convolutions_stay_exact(deep_module: Path) -> None:
    exact = convert(deep_module, "m", "litert", "f32", Wanted()).artifact
    kept = rounding.kept_convolutions(exact, "int8")
    assert kept == 2 * PAIRS // 8
    pixels = photos(16, 0)
    rounded = rounding.rounded_to_bf16(exact, rounding.input_means(exact, pixels), kept)
    for index, (before, after) in enumerate(zip(convolutions(exact), convolutions(rounded), strict=True)):
        assert (before.weights == after.weights).all() == (index < kept)
        assert (after.weights.view(np.uint32) & 0xFFFF == 0).all() == (index >= kept), "which is bf16"
    quantized = [c.weights.dtype == np.int8 for c in convolutions(to_int8(deep_module, "m", pixels))]
    assert quantized == [False] * kept + [True] * (2 * PAIRS - kept)


@pytest.mark.parametrize("kind", ["conv2d", "depthwise_conv2d"])
def test_correcting_the_biases_takes_the_mean_error_back(tmp_path: Path, kind: str) -> None:
    """Of one convolution, after which nothing bends: on average over the images nothing is left of it."""
    weights = np.random.default_rng(5).normal(0, 40, (3, 3, 3, 8 if kind == "conv2d" else 2)).astype(np.float32)

    def forward(_: Any, images: Any) -> Any:
        import tensorflow as tf

        strides: Any = 1 if kind == "conv2d" else [1, 1, 1, 1]
        convolved = getattr(tf.nn, kind)(images, weights, strides, "VALID")
        return {"default": tf.reduce_mean(tf.nn.bias_add(convolved, np.full(convolved.shape[3], 7.0)), axis=[1, 2])}

    module = save_module(tmp_path / "module", forward=forward)
    exact = convert(module, "m", "litert", "f32", Wanted()).artifact
    pixels = photos(16, 0)
    means = rounding.input_means(exact, pixels)
    expected = load_engine("litert", exact, 16)(pixels)

    def mean_error(means: list[np.ndarray]) -> float:
        rounded = rounding.rounded_to_bf16(exact, means, 0)
        return float(np.abs((load_engine("litert", rounded, 16)(pixels) - expected).mean(0)).max())

    assert mean_error(means) < mean_error([mean * 0 for mean in means]) / 10


def test_correcting_int8_gives_back_too(deep_module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, probes = photos(32, 0), photos(16, 1000)
    corrected = parity_of(to_int8(deep_module, "m", pixels), deep_module, probes)
    monkeypatch.setattr(conversion.rounding, "with_corrected_biases", lambda quantized, *_: quantized)
    assert 1 - corrected < 1 - parity_of(to_int8(deep_module, "m", pixels), deep_module, probes)


def test_input_means_are_those_of_the_images(deep_module: Path) -> None:
    exact = convert(deep_module, "m", "litert", "f32", Wanted()).artifact
    pixels = photos(11, 3)  # not a whole number of batches
    expected = np.resize(pixels, (16, *pixels.shape[1:])).mean((0, 1, 2))
    means = rounding.input_means(exact, pixels)
    # The converter may fold the scaling by 1/255 into the first convolution.
    np.testing.assert_allclose(means[0] / means[0].sum(), expected / expected.sum(), rtol=1e-4)
    assert [len(mean) for mean in means[:4]] == [3, 3, 16, 16]


@pytest.mark.real_module
@pytest.mark.whole
@pytest.mark.parametrize(
    ("engine", "precision", "least"),
    [("openvino", "bf16", 0.997), ("litert", "int8", 0.985), ("tensorflow", "bf16", 0.996)],
)
def test_trained_vectors_keep_their_fidelity(tmp_path: Path, engine: str, precision: str, least: float) -> None:
    """On photos; as the converters round, 0.955, 0.931 and 0.962 were seen."""
    module = os.environ.get("EMBED_IMAGES_REAL_MODULE")
    if not module:
        pytest.skip("EMBED_IMAGES_REAL_MODULE names no folder of a trained module")
    if engine == "openvino" and not has_bf16():
        pytest.skip("this processor has no bf16 instructions")
    make_corpus(tmp_path / "images")
    given = {"input": str(tmp_path / "images"), "output": str(tmp_path / "output"), "model": module}
    config = make_config({**given, "engine": engine, "precision": precision}, [])
    ready = model_of(config, here=True)
    assert ready.parity["count"] > 50
    assert ready.parity["mean_cosine"] >= least
