"""Handles, digests, conversions and refusals; the hub is a real server on loopback."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.model import artifacts, fidelity
from pipeline.model.prepare import prepare_model
from tests.conftest import TINY_FEATURES, TINY_SIZE, save_module


def _images(shape: tuple[int | None, ...], dtype: str = "float32") -> dict[str, Any]:
    return {"shape": shape, "dtype": dtype}


def _flat(_: Any, images: Any) -> Any:
    import tensorflow as tf

    return {"default": tf.reduce_mean(tf.cast(images, tf.float32), axis=list(range(1, images.shape.rank)))[:, None]}


def _map(_: Any, images: Any) -> Any:
    return {"features": images[:, ::2, ::2]}


def _two(_: Any, images: Any) -> Any:
    import tensorflow as tf

    return {"a": tf.reduce_mean(images, axis=[1, 2]), "b": tf.reduce_max(images, axis=[1, 2])}


@pytest.mark.parametrize(
    ("options", "forward", "found"),
    [
        (_images((None, 32, 32, 3), "uint8"), _flat, "inputs uint8 [N, 32, 32, 3]"),
        (_images((None, 10), "int32"), _flat, "inputs int32 [N, 10]"),
        (_images((None, 100)), _flat, "inputs float32 [N, 100]"),
        (_images((None, 3, 32, 32)), _flat, "inputs float32 [N, 3, 32, 32]"),
        (_images((None, 32, 32, 1)), _flat, "inputs float32 [N, 32, 32, 1]"),
        (_images((4, 32, 32, 3)), _flat, "batch size is fixed at 4"),
        (_images((None, 32, 32, 3)), _map, "features float32 [N, 16, 16, 3]"),
        (_images((None, 32, 32, 3)), _two, "2 outputs"),
    ],
)
def test_modules_of_another_shape_are_refused(
    tmp_path: Path, options: dict[str, Any], forward: Callable[..., Any], found: str
) -> None:
    folder = save_module(tmp_path / "module", forward=forward, **options)
    for engine in ("auto", "litert", "tensorflow"):
        with pytest.raises(ModelError) as refused:
            prepare_model(str(folder), engine)
        message = str(refused.value)
        assert message.startswith(f"{folder}: ")
        assert found in message
        assert "needed: a TF2 SavedModel with one input float32 [N, height, width, 3]" in message


def test_modules_without_signatures_are_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.save(tf.Module(), str(tmp_path / "module"))
    with pytest.raises(ModelError, match="no signatures"):
        prepare_model(str(tmp_path / "module"), "tensorflow")


def test_open_sizes_are_224_unless_given(tmp_path: Path) -> None:
    folder = str(save_module(tmp_path / "module", shape=(None, None, None, 3)))
    assert prepare_model(folder, "litert").input_size == (224, 224)
    assert prepare_model(folder, "litert", (48, 64)).input_size == (48, 64)


def test_fixed_sizes_are_the_modules(tiny_module: str) -> None:
    ready = prepare_model(tiny_module, "litert")
    assert ready.input_size == (TINY_SIZE, TINY_SIZE)
    assert ready.feature_dim == TINY_FEATURES
    with pytest.raises(ModelError, match="--input_size is not for this module"):
        prepare_model(tiny_module, "litert", (64, 64))


@pytest.mark.parametrize(("op", "failing"), [("digamma", "convert"), ("lgamma", "run")])
def test_auto_falls_back_to_tensorflow_when_litert_cannot(tmp_path: Path, op: str, failing: str) -> None:
    """A module with an op that LiteRT lacks runs all the same; asked for by name, LiteRT is refused."""
    import tensorflow as tf

    def forward(_: Any, images: Any) -> Any:
        return {"default": getattr(tf.math, op)(1 + tf.reduce_mean(images, axis=[1, 2]))}

    folder = str(save_module(tmp_path / "module", forward=forward))
    with pytest.raises(ModelError, match=f"litert cannot {failing} it.*; --engine tensorflow --precision f32 runs any"):
        prepare_model(folder, "litert")
    assert prepare_model(folder, "auto").engine == "tensorflow"
    assert prepare_model(folder, "auto").parity["min_cosine"] > 0.999999


def test_a_refused_conversion_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even under another name; one that failed for want of disk or memory is."""
    import tensorflow as tf

    def forward(_: Any, images: Any) -> Any:
        return {"default": tf.math.digamma(2 + tf.reduce_mean(images, axis=[1, 2]))}

    folder = save_module(tmp_path / "module", forward=forward)
    convert, full = artifacts.convert, OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(
        tf.lite.TFLiteConverter, "from_concrete_functions", lambda *_: Mock(convert=Mock(side_effect=full))
    )
    with pytest.raises(ModelError, match=r"litert could not convert it: OSError: .*No space left"):
        prepare_model(str(folder), "litert")
    monkeypatch.undo()
    conversions = Mock(side_effect=convert)
    monkeypatch.setattr(artifacts, "convert", conversions)
    with pytest.raises(ModelError, match="module: engine litert cannot convert it"):
        prepare_model(str(folder), "litert")
    with pytest.raises(ModelError, match="renamed: engine litert cannot convert it"):
        prepare_model(str(folder.rename(tmp_path / "renamed")), "litert")
    assert conversions.call_count == 1


def test_auto_is_litert_when_it_agrees(tiny_module: str) -> None:
    ready = prepare_model(tiny_module, "auto")
    assert ready.engine == "litert"
    assert ready.parity["min_cosine"] >= 0.9999


def test_an_engine_that_disagrees_is_refused(tiny_module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EMBED_IMAGES_CACHE_DIR", str(tmp_path))
    right = fidelity.load_engine

    def wrong(*arguments: Any, **options: Any) -> Any:
        engine = right(*arguments, **options)
        return lambda pixels: engine(pixels) + np.arange(TINY_FEATURES, dtype=np.float32)

    monkeypatch.setattr(fidelity, "load_engine", wrong)
    with pytest.raises(
        ModelError, match=r"engine litert in f32 gives vectors of least cosine 0\.\d+ to the module's own"
    ):
        prepare_model(tiny_module, "litert")


def test_a_conversion_happens_once_and_survives_a_race(
    tiny_module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EMBED_IMAGES_CACHE_DIR", str(tmp_path))
    conversions = []
    convert = artifacts.convert

    def counted(*arguments: Any) -> Any:
        conversions.append(arguments)
        return convert(*arguments)

    monkeypatch.setattr(artifacts, "convert", counted)
    with ThreadPoolExecutor(3) as pool:
        made = {ready.artifact for ready in pool.map(lambda _: prepare_model(tiny_module, "litert"), range(3))}
    assert len(made) == 1
    prepare_model(tiny_module, "litert")
    assert len(conversions) <= 3
    assert sorted(os.listdir(tmp_path / "artifacts")) == [Path(made.pop()).parent.parent.name]


@pytest.mark.parametrize("name", ["artifact", "facts.json"])
def test_a_damaged_cache_is_made_anew(
    tiny_module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("EMBED_IMAGES_CACHE_DIR", str(tmp_path))
    before = prepare_model(tiny_module, "litert")
    file = Path(before.artifact).with_name(name)
    file.write_bytes(file.read_bytes()[:10])
    assert prepare_model(tiny_module, "litert") == before
    assert len(file.read_bytes()) > 10
