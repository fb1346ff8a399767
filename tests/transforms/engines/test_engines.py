"""What each engine promises of a call."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import CancelledError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.model.prepare import prepare_model
from tests.conftest import TINY_SIZE, pixels_of
from transforms.elements import ImageInfo, ImageObject
from transforms.embedding import FeatureModelHandler
from transforms.engines import PRECISIONS, load_engine
from transforms.engines.call_by_call import CallByCall
from transforms.engines.one_by_one import OneByOne
from transforms.engines.tensorflow import pad_batch


@pytest.mark.parametrize("engine", PRECISIONS)
def test_a_vector_does_not_depend_on_its_batch(tiny_module: str, engine: str) -> None:
    batch = [(ImageInfo(ImageObject(f"{i}.jpg"), "JPEG", "", 1, 1), pixels) for i, pixels in enumerate(pixels_of(8))]
    handler = FeatureModelHandler(engine, "f32", prepare_model(tiny_module, engine).artifact, batch_size=8)
    model = handler.load_model()
    (together,) = handler.run_inference(batch, model)
    alone = [handler.run_inference([one], model)[0].vectors.result()[0] for one in batch]
    np.testing.assert_array_equal(together.vectors.result(), alone)


@pytest.mark.parametrize("engine", PRECISIONS)
def test_threads_share_an_engine(tiny_module: str, engine: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    shared = load_engine(engine, Path(prepare_model(tiny_module, engine).artifact).read_bytes(), 1)
    inputs = [pixels[None] for pixels in pixels_of(40)]
    expected = [shared(pixels) for pixels in inputs]
    with ThreadPoolExecutor(8) as pool:
        np.testing.assert_array_equal(list(pool.map(shared, inputs)), expected)


@pytest.mark.parametrize("engine", PRECISIONS)
def test_what_is_begun_is_what_a_call_gives(tiny_module: str, engine: str) -> None:
    """Several at a time, asked for in another order."""
    shared = load_engine(engine, Path(prepare_model(tiny_module, engine).artifact).read_bytes(), 8)
    batches = [pixels_of(size) for size in (3, 8, 1, 19)]
    begun = [shared.begin(batch) for batch in batches]
    for batch, vectors in reversed([*zip(batches, begun, strict=True)]):
        np.testing.assert_array_equal(vectors.result(), shared(batch))


def test_one_by_one_begins_without_waiting_and_raises_when_asked() -> None:
    go_on = threading.Event()

    def embed(image: np.ndarray) -> np.ndarray:
        assert go_on.wait(60)
        if image.max() == 7:
            raise ValueError("no vector of a seven")
        return image.reshape(1, -1).astype(np.float32)

    engine = OneByOne([embed] * 2, "test")
    images = [np.full((1, 2, 3), value, np.uint8) for value in range(7)]
    begun, failing = engine.begin(images), engine.begin([images[0], np.full((1, 2, 3), 7, np.uint8)])
    go_on.set()
    np.testing.assert_array_equal(begun.result(), [image.ravel() for image in images])
    with pytest.raises(ValueError, match="no vector of a seven"):
        failing.result()
    np.testing.assert_array_equal(engine(images[:1]), [images[0].ravel()])


def test_what_nobody_waits_for_is_not_begun() -> None:
    """As after Ctrl-C: the process would end when all of it is done."""
    go_on, embedded = threading.Event(), []

    def embed(image: np.ndarray) -> np.ndarray:
        assert go_on.wait(60)
        embedded.append(image)
        return image.reshape(1, -1)

    class Slow(CallByCall):
        def __call__(self, images: Any) -> np.ndarray:
            return np.concatenate([embed(image) for image in images])

    for engine in (OneByOne([embed], "test"), Slow("test")):
        go_on.clear()
        embedded.clear()
        first, unwanted = (engine.begin(np.zeros((3, 1, 2, 3), np.uint8)) for _ in range(2))
        unwanted.cancel()
        go_on.set()
        assert len(first.result()) == 3
        assert len(engine(np.zeros((1, 1, 2, 3), np.uint8))) == 1
        assert len(embedded) == 4
        with pytest.raises(CancelledError):
            unwanted.result()


LET_GO = """
import signal, sys, threading
from pathlib import Path
import numpy as np
from transforms.engines import load_engine
engines = [load_engine(sys.argv[1], Path(sys.argv[2]).read_bytes(), 4)]
engines[0](np.zeros((4, *map(int, sys.argv[3:]), 3), np.uint8))
other = threading.Thread(target=engines.clear)
other.start()
other.join()
signal.signal(signal.SIGTERM, lambda *_: print("came"))
signal.raise_signal(signal.SIGTERM)
"""


@pytest.mark.parametrize("engine", PRECISIONS)
def test_signals_come_after_another_thread_has_let_go_of_an_engine(tiny_module: str, engine: str) -> None:
    """OpenVINO's plugin gives the thread that loads it a stack for signals, and takes it back with the last model."""
    artifact = prepare_model(tiny_module, engine).artifact
    command = [sys.executable, "-c", LET_GO, engine, artifact, str(TINY_SIZE), str(TINY_SIZE)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "came\n"), ended.stderr


def test_padding_adds_zeros() -> None:
    batch = pixels_of(3)
    padded = pad_batch(batch, 4)
    np.testing.assert_array_equal(padded[:3], np.stack(batch))
    assert padded.shape == (4, TINY_SIZE, TINY_SIZE, 3)
    assert not padded[3].any()


def test_batches_shrink_where_there_is_no_memory_for_them(
    tiny_module: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As on a small GPU. The vectors are the same, and what has failed is not tried again."""
    import tensorflow as tf

    artifact = Path(prepare_model(tiny_module, "tensorflow").artifact).read_bytes()
    images = pixels_of(21)
    expected = load_engine("tensorflow", artifact, 16)(images)
    engine = load_engine("tensorflow", artifact, 16)
    embed, sizes = engine._embed, []  # type: ignore[attr-defined]

    def embed_few(batch: Any) -> Any:
        sizes.append(len(batch))
        if len(batch) > most:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")
        return embed(batch)

    monkeypatch.setattr(engine, "_embed", embed_few)
    most = 5
    np.testing.assert_allclose(engine(images), expected, rtol=1e-5)
    assert sizes == [16, 8, 4, 4, 4, 4, 4, 4]
    np.testing.assert_allclose(engine(images[:3]), expected[:3], rtol=1e-5)
    assert sizes[8:] == [4]
    assert "no memory for 8 images at once: 4 are taken from now on" in caplog.text
    most = 0
    with pytest.raises(tf.errors.ResourceExhaustedError):
        engine(images)
    assert sizes[9:] == [4, 2, 1]


def test_what_tensorflow_cannot_run_is_told_in_a_line(tiny_module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a processor has no instructions for a precision."""
    import tensorflow as tf

    engine = load_engine("tensorflow", Path(prepare_model(tiny_module, "tensorflow").artifact).read_bytes(), 2)
    message = "Graph execution error:\n\nDetected at node a\n  File b\n\nno primitive for it\n\t [[{{node a}}]] [Op:c]"

    def fail(batch: Any) -> Any:
        raise tf.errors.AbortedError(None, None, message)

    monkeypatch.setattr(engine, "_embed", fail)
    with pytest.raises(RuntimeError, match=r"^AbortedError: no primitive for it$"):
        engine(pixels_of(1))


def test_tensorflow_multiplies_in_f32(tiny_module: str) -> None:
    """On GPUs it would round to TF32."""
    import tensorflow as tf

    tf.config.experimental.enable_tensor_float_32_execution(True)
    load_engine("tensorflow", Path(prepare_model(tiny_module, "tensorflow").artifact).read_bytes(), 1)
    assert not tf.config.experimental.tensor_float_32_execution_enabled()
