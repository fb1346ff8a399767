"""Inference: the handler within RunInference, and what is not finite."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.coders import PickleCoder

from pipeline.model.prepare import prepare_model
from pipeline.options.beam import LOCAL_RUNNER
from tests.collecting import Collect
from tests.conftest import Run, pixels_of, save_module
from transforms import embedding
from transforms.elements import ImageInfo, ImageObject, LoadedBatch
from transforms.embedding import BegunBatch, EmbedImages, FeatureModelHandler
from transforms.engines import PRECISIONS, load_engine
from transforms.engines.engine import Engine


def loaded(pixels: list[np.ndarray], first: int = 0) -> LoadedBatch:
    infos = [ImageInfo(ImageObject(f"{first + i}.jpg"), "JPEG", "", 1, 1) for i in range(len(pixels))]
    return LoadedBatch(infos, pixels)


@pytest.mark.parametrize("engine", PRECISIONS)
def test_vectors_are_the_modules(tiny_module: str, engine: str) -> None:
    import tensorflow as tf

    batch = loaded(pixels_of(5))
    handler = FeatureModelHandler(engine, "f32", prepare_model(tiny_module, engine).artifact, batch_size=8)
    (result,) = handler.run_inference(batch, handler.load_model())
    assert [*result.images] == [*batch.images]
    module = tf.saved_model.load(tiny_module)
    inputs = tf.constant(np.stack(batch.pixels) / np.float32(255))
    expected = module.signatures["serving_default"](inputs=inputs)["default"]
    np.testing.assert_allclose(result.vectors.result(), expected, atol=1e-5)


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
    batches = [loaded(images[:4]), loaded(images[4:], 4), loaded([images[2]], 6)]
    embedded, failed = Collect(), Collect()
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        made = pipeline | beam.Create([batches]) | beam.FlatMap(lambda each: each)
        good, bad = made | EmbedImages("tensorflow", "f32", model.artifact, 4)
        _ = good | "Good" >> embedded
        _ = bad | "Bad" >> failed
    found = {info.source.uri: vector for batch in embedded.elements for info, vector in batch}
    assert [len(batch) for batch in embedded.elements] == [3, 2], "no empty batch of the one that is all bad"
    assert sorted(found) == ["0.jpg", "1.jpg", "3.jpg", "4.jpg", "5.jpg"]
    for i in (0, 1, 3, 4, 5):
        brightness = (images[i] / 255).mean(axis=(0, 1))
        np.testing.assert_allclose(found[f"{i}.jpg"], brightness / brightness.sum(), rtol=1e-4)
    assert [(letter.source.uri, letter.stage, letter.error) for letter in failed.elements] == [
        ("2.jpg", "embed", "NonFiniteEmbedding"),
        ("6.jpg", "embed", "NonFiniteEmbedding"),
    ]
    assert all("3 of the 3 values" in letter.message for letter in failed.elements)


def test_beams_own_metrics_of_the_model_are_kept(tiny_module: str) -> None:
    model = prepare_model(tiny_module, "litert")
    batches = [loaded(pixels_of(4)), loaded(pixels_of(2), 4)]
    pipeline = beam.Pipeline(runner=LOCAL_RUNNER)
    made = pipeline | beam.Create([batches]) | beam.FlatMap(lambda each: each)
    _ = made | EmbedImages("litert", "f32", model.artifact, 4)
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


class Watched:
    """An engine that notes what is begun with and what is waited for; of a batch whose first value is 9 it fails."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def begin(self, images: Any) -> WatchedVectors:
        number = int(images[0].flat[0])
        self.seen.append(f"begin {number}")
        return WatchedVectors(self.seen, number, len(images))


class WatchedVectors:
    def __init__(self, seen: list[str], number: int, count: int):
        self._seen, self._number, self._count = seen, number, count

    def result(self) -> np.ndarray:
        self._seen.append(f"wait {self._number}")
        if self._number == 9:
            raise ValueError("the engine failed")
        return np.full((self._count, 3), self._number, np.float32)

    def cancel(self) -> None:
        self._seen.append(f"cancel {self._number}")


def embedded_by(engine: Watched, numbers: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Any]:
    monkeypatch.setattr(embedding, "load_engine", lambda *_: engine)
    # Beam pickles the first ones, to know how large they are, and so would wait for them.
    monkeypatch.setattr(BegunBatch, "__reduce__", lambda _: (int, ()))
    (tmp_path / "artifact").touch()
    batches = [loaded([np.full((1, 1, 3), number, np.uint8)] * 2, 2 * number) for number in numbers]
    found = Collect()
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        made = pipeline | beam.Create([batches]) | beam.FlatMap(lambda each: each)
        good, _ = made | EmbedImages("litert", "f32", str(tmp_path / "artifact"), 4)
        _ = good | "Good" >> found
    return found.elements


def test_batches_are_begun_ahead_and_come_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    engine = Watched()
    found = embedded_by(engine, [*range(5)], monkeypatch, tmp_path)
    assert [int(batch.vectors[0, 0]) for batch in found] == [*range(5)]
    assert [batch.images[0].source.uri for batch in found] == [f"{2 * number}.jpg" for number in range(5)]
    assert engine.seen == [
        "begin 0", "begin 1", "begin 2", "wait 0", "begin 3", "wait 1", "begin 4", "wait 2", "wait 3", "wait 4",
    ]  # fmt: skip


@pytest.mark.parametrize("place", [0, 4])
def test_a_batch_that_fails_fails_the_bundle(place: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    numbers = [*range(5)]
    numbers[place] = 9
    engine = Watched()
    with pytest.raises(ValueError, match="the engine failed"):
        embedded_by(engine, numbers, monkeypatch, tmp_path)
    assert engine.seen[-3:] == (["wait 9", "cancel 1", "cancel 2"] if place == 0 else ["wait 2", "wait 3", "wait 9"])


def test_a_batch_that_is_pickled_takes_its_vectors_along() -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(2, 3)
    done: Future[np.ndarray] = Future()
    done.set_result(vectors)
    batch = BegunBatch(loaded(pixels_of(2)).images, done)
    coder = PickleCoder()
    again = coder.decode(coder.encode(batch))
    assert [*again.images] == [*batch.images]
    np.testing.assert_array_equal(again.embedded().vectors, vectors)
