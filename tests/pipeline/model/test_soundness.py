"""Modules whose vectors are of no use are refused; ones that cannot be frozen are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.model import conversion
from pipeline.model.prepare import prepare_model
from tests.conftest import TINY_FEATURES, Run, save_module
from tests.reading import run_vectors
from transforms.engines import load_engine


def average(kernel: Any, images: Any) -> Any:
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(images, kernel, 2, "SAME")), axis=[1, 2])


def _zeros(kernel: Any, images: Any) -> Any:
    return average(kernel, images) * 0


def _constant(kernel: Any, images: Any) -> Any:
    import tensorflow as tf

    return tf.zeros_like(average(kernel, images)) + tf.range(1.0, TINY_FEATURES + 1)


def _nearly_constant(kernel: Any, images: Any) -> Any:
    return 1 + average(kernel, images) * 1e-8


def _normalized_by_the_batch(kernel: Any, images: Any) -> Any:
    import tensorflow as tf

    vectors = average(kernel, images)
    mean, variance = tf.nn.moments(vectors, axes=[0])
    return (vectors - mean) * tf.math.rsqrt(variance + 1e-3) + 1


def _sorted_in_the_batch(kernel: Any, images: Any) -> Any:
    import tensorflow as tf

    return tf.sort(average(kernel, images), axis=0)


def _dropout(kernel: Any, images: Any) -> Any:
    import tensorflow as tf

    return tf.nn.dropout(average(kernel, images), 0.5)


@pytest.mark.parametrize(
    ("forward", "reason"),
    [
        (_zeros, "gives only zeros for each of 8 different images"),
        (_constant, "gives the same vector for each of 8 different images"),
        (_nearly_constant, "gives the same vector for each of 8 different images"),
        (_normalized_by_the_batch, "another vector by itself than beside other images"),
        (_sorted_in_the_batch, "another vector by itself than beside other images"),
        (_dropout, "gives the same image another vector at each call"),
    ],
)
@pytest.mark.parametrize("engine", ["auto", "tensorflow"])
def test_vectors_that_tell_nothing_are_refused(
    tmp_path: Path, forward: Callable[[Any, Any], Any], reason: str, engine: str
) -> None:
    folder = save_module(tmp_path / "module", forward=lambda *given: {"default": forward(*given)})
    with pytest.raises(ModelError, match=reason) as refused:
        prepare_model(str(folder), engine)
    assert "output default of signature serving_default" in str(refused.value)


def test_inference_that_only_looks_like_training_is_taken(tmp_path: Path) -> None:
    """A normalization by fixed numbers, and a dropout that is off."""

    def forward(kernel: Any, images: Any) -> Any:
        import tensorflow as tf

        vectors = tf.nn.dropout(average(kernel, images), 0.0)
        return {"default": tf.nn.batch_normalization(vectors, 0.1, 0.5, 0.0, 2.0, 1e-3)}

    assert prepare_model(str(save_module(tmp_path / "module", forward=forward)), "auto").engine == "litert"


def module_with_table(folder: Path) -> tuple[str, Callable[[np.ndarray], np.ndarray]]:
    """A module between whose features and output stands a lookup table; and what it gives for uint8 images."""
    import tensorflow as tf

    module = tf.Module()
    module.kernel = tf.Variable(np.random.default_rng(3).normal(0, 0.3, (5, 5, 3, TINY_FEATURES)).astype(np.float32))
    keys = tf.range(TINY_FEATURES, dtype=tf.int64)
    values = tf.lookup.KeyValueTensorInitializer(keys, tf.cast(keys, tf.float32) * 2)
    module.table = tf.lookup.StaticHashTable(values, -1.0)

    def serve(inputs: Any) -> Any:
        vectors = average(module.kernel, inputs)
        return {"default": vectors + module.table.lookup(tf.argmax(vectors, axis=1))[:, None]}

    signature = tf.function(serve, input_signature=[tf.TensorSpec([None, 32, 32, 3], tf.float32, "inputs")])
    tf.saved_model.save(module, str(folder), {"serving_default": signature})
    return str(folder), lambda pixels: serve(tf.constant(pixels / np.float32(255)))["default"].numpy()


def test_tables_run_on_the_engine_that_runs_any_module(tmp_path: Path) -> None:
    handle, expected = module_with_table(tmp_path / "module")
    with pytest.raises(ModelError, match="has a lookup table or another resource, which a frozen graph cannot hold"):
        prepare_model(handle, "litert")
    model = prepare_model(handle, "auto")
    assert (model.engine, model.parity["min_cosine"] > 0.999999) == ("tensorflow", True)
    pixels = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    engine = load_engine("tensorflow", Path(model.artifact).read_bytes(), batch_size=4)
    np.testing.assert_allclose(engine(pixels), expected(pixels), rtol=1e-5)


def test_a_run_with_a_table_publishes_its_vectors(tmp_path: Path, images: Path, run_pipeline: Run) -> None:
    """Through the workers' own loading of it, from where it was staged."""
    handle, _ = module_with_table(tmp_path / "module")
    report = run_pipeline(input=str(images), model=handle)
    assert report.manifest["counts"]["embedded"] == 12
    assert np.ptp(run_vectors(report.folder)[1], axis=0).min() > 0


def test_too_many_weights_for_a_frozen_graph_run_on_tensorflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_module: str
) -> None:
    """2 GiB stand for the most that a protocol buffer holds; here 1,000 bytes do."""
    monkeypatch.setenv("EMBED_IMAGES_CACHE_DIR", str(tmp_path))
    frozen = prepare_model(tiny_module, "tensorflow")
    monkeypatch.setenv("EMBED_IMAGES_CACHE_DIR", str(tmp_path / "another"))
    monkeypatch.setattr(conversion, "MAX_FROZEN_BYTES", 1000)
    with pytest.raises(ModelError, match=r"its 0\.00 GiB of weights are more than the 2 GiB that a frozen graph"):
        prepare_model(tiny_module, "litert")
    whole = prepare_model(tiny_module, "tensorflow")
    pixels = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    vectors = [load_engine("tensorflow", Path(model.artifact).read_bytes(), 4)(pixels) for model in (frozen, whole)]
    np.testing.assert_allclose(vectors[0], vectors[1], rtol=1e-6)
