"""Inference: the handler within RunInference, and what is not finite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest

from pipeline.model.prepare import prepare_model
from pipeline.options.beam import LOCAL_RUNNER
from tests.collecting import Collect
from tests.conftest import Run, pixels_of, save_module
from transforms import embedding
from transforms.elements import ImageInfo, ImageObject
from transforms.embedding import EmbedImages, FeatureModelHandler
from transforms.engines import PRECISIONS, load_engine
from transforms.engines.engine import Engine


@pytest.mark.parametrize("engine", PRECISIONS)
def test_vectors_are_the_modules_and_examples_are_dropped(tiny_module: str, engine: str) -> None:
    import tensorflow as tf

    batch = pixels_of(5)
    handler = FeatureModelHandler(engine, "f32", prepare_model(tiny_module, engine).artifact, batch_size=8)
    results = handler.run_inference(batch, handler.load_model())
    assert isinstance(results, list)
    assert all(result.example is None for result in results)
    module = tf.saved_model.load(tiny_module)
    inputs = tf.constant(np.stack(batch) / np.float32(255))
    expected = module.signatures["serving_default"](inputs=inputs)["default"]
    np.testing.assert_allclose(np.stack([result.inference for result in results]), expected, atol=1e-5)


def test_vectors_that_are_not_finite_are_dead_letters(tmp_path: Path) -> None:
    """A module that divides by the brightness, and a black image among others."""
    import tensorflow as tf

    def forward(_: Any, images: Any) -> Any:
        brightness = tf.reduce_mean(images, axis=[1, 2])
        return {"default": brightness / tf.reduce_sum(brightness, axis=1, keepdims=True)}

    folder = save_module(tmp_path / "module", forward=forward)
    model = prepare_model(str(folder), "tensorflow")
    images = pixels_of(6)
    images[2][:] = 0
    elements = [(ImageInfo(ImageObject(f"{i}.jpg"), "JPEG", "", 1, 1), pixels) for i, pixels in enumerate(images)]
    embedded, failed = Collect(), Collect()
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        good, bad = (
            pipeline
            | beam.Create([elements])
            | beam.FlatMap(lambda x: x)
            | EmbedImages("tensorflow", "f32", model.artifact, 4)
        )
        _ = good | "Good" >> embedded
        _ = bad | "Bad" >> failed
    uris = sorted(info.source.uri for info, _ in embedded.elements)  # bundles decide in which order they come
    assert uris == ["0.jpg", "1.jpg", "3.jpg", "4.jpg", "5.jpg"]
    ((source, stage, error, message),) = failed.elements
    assert (source.uri, stage, error) == ("2.jpg", "embed", "NonFiniteEmbedding")
    assert "3 of the 3 values" in message


def test_beams_own_metrics_of_the_model_are_kept(tiny_module: str) -> None:
    model = prepare_model(tiny_module, "litert")
    elements = [(ImageInfo(ImageObject(f"{i}.jpg"), "JPEG", "", 1, 1), pixels) for i, pixels in enumerate(pixels_of(6))]
    pipeline = beam.Pipeline(runner=LOCAL_RUNNER)
    _ = pipeline | beam.Create([elements]) | beam.FlatMap(lambda x: x) | EmbedImages("litert", "f32", model.artifact, 4)
    result = pipeline.run()
    metrics = result.metrics().query()
    counted = {metric.key.metric.name: metric.committed for metric in metrics["counters"]}
    assert counted["num_inferences"] == 6
    distributions = {metric.key.metric.name: metric.committed for metric in metrics["distributions"]}
    assert distributions["inference_request_batch_size"].max == 4
    assert {"inference_batch_latency_micro_secs", "load_model_latency_milli_secs"} <= set(distributions)


def test_a_model_is_loaded_once_for_all_threads_of_a_process(
    images: Path, run_pipeline: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[str] = []

    def counted(name: str, *arguments: Any, **options: Any) -> Engine:
        loads.append(name)
        return load_engine(name, *arguments, **options)

    monkeypatch.setattr(embedding, "load_engine", counted)
    threads = ["--direct_num_workers=3", "--direct_running_mode=multi_threading"]
    report = run_pipeline(input=str(images), engine="litert", beam_args=threads)
    assert report.manifest["counts"]["embedded"] == 12
    assert loads == ["litert"]
