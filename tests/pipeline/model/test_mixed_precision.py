"""bf16 of the engine tensorflow: what it computes so, that it can on GPUs, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.model import mixed_precision, rounding
from pipeline.model.conversion import convert, reference_vectors
from pipeline.model.prepare import prepare_model
from pipeline.model.signatures import Wanted
from pipeline.outputs.verify import verify_output
from tests.conftest import TINY_SIZE, Run, photo, pixels_of, save_module
from tests.pipeline.model.conftest import PAIRS
from transforms.engines import load_engine

BF16_NUMBER, F32_NUMBER = 14, 1  # of TensorFlow's DataType


def graph_of(module: Path) -> Any:
    import tensorflow as tf

    return tf.compat.v1.GraphDef.FromString(convert(module, "m", "tensorflow", "bf16", Wanted()).artifact)


def vectors_of(module: Path, precision: str, pixels: np.ndarray, kept: int | None = None) -> np.ndarray:
    artifact = convert(module, "m", "tensorflow", precision, Wanted(), kept).artifact
    return load_engine("tensorflow", artifact, len(pixels), precision=precision)(pixels)


def test_all_but_the_first_convolutions_are_bf16(deep_module: Path) -> None:
    nodes = [node for node in graph_of(deep_module).node if node.op in mixed_precision.CONVOLUTIONS]
    kept = rounding.kept_of(2 * PAIRS, "bf16")
    assert kept == 2
    assert [node.attr["T"].type for node in nodes] == [F32_NUMBER] * kept + [BF16_NUMBER] * (2 * PAIRS - kept)


def test_it_is_near_the_module_and_nearer_with_the_first_convolutions_in_f32(deep_module: Path) -> None:
    pixels = np.stack([np.asarray(photo(TINY_SIZE, TINY_SIZE, seed)) for seed in range(8)])
    expected = reference_vectors(deep_module, "m", pixels)

    def error(kept: int | None) -> float:
        return float(np.abs(vectors_of(deep_module, "bf16", pixels, kept) - expected).max() / np.abs(expected).max())

    assert 1e-4 < error(None) < 0.03
    assert error(None) < error(0)


def test_a_product_is_that_of_numbers_of_bf16(tmp_path: Path) -> None:
    """By NumPy: operands and result rounded to 8 bits, summed in more."""
    weights = np.random.default_rng(7).normal(0, 1, (TINY_SIZE * TINY_SIZE * 3, 8)).astype(np.float32)

    def forward(_: Any, images: Any) -> Any:
        import tensorflow as tf

        return {"default": tf.matmul(tf.reshape(images, [-1, weights.shape[0]]), weights)}

    module, pixels = save_module(tmp_path / "module", forward=forward), np.stack(pixels_of(4))

    def rounded(values: np.ndarray) -> np.ndarray:
        return values.astype(ml_dtypes.bfloat16).astype(np.float64)

    images = pixels.reshape(4, -1).astype(np.float32) * np.float32(1 / 255)
    expected = rounded(images) @ rounded(weights)
    exact = images.astype(np.float64) @ weights
    found = vectors_of(module, "bf16", pixels)
    spacing = np.abs(expected) * 2**-8 + 1e-3  # of bf16 numbers there; and what sums in f32 differ by
    assert (np.abs(found - expected) <= spacing).all()
    assert (rounded(found) == found).all()
    np.testing.assert_allclose(vectors_of(module, "f32", pixels), exact, rtol=1e-4, atol=1e-3)


def test_vectors_depend_on_nothing_else_in_a_call(deep_module: Path) -> None:
    pixels = np.stack(pixels_of(24))
    engine = load_engine("tensorflow", convert(deep_module, "m", "tensorflow", "bf16", Wanted()).artifact, 8)
    together = engine(pixels)
    with ThreadPoolExecutor(4) as threads:
        alone = np.concatenate(list(threads.map(engine, pixels[:, None])))
    np.testing.assert_array_equal(together, alone)
    assert together.dtype == np.float32


def test_gpus_have_kernels_for_all_of_it(deep_module: Path) -> None:
    """TensorFlow's wheels for Linux know the kernels of GPUs where there is none, too."""
    from tensorflow.python.framework import kernels

    for node in graph_of(deep_module).node:
        assert not node.device, "which a GPU would not be"
        if node.op in ("Placeholder", "NoOp"):
            continue
        kept_to = {name: value.type for name, value in node.attr.items() if value.WhichOneof("value") == "type"}
        fitting = [
            kernel
            for kernel in kernels.get_registered_kernels_for_op(node.op).kernel
            if kernel.device_type in ("GPU", "DEFAULT")
            and all(kept_to[c.name] in c.allowed_values.list.type for c in kernel.constraint if c.name in kept_to)
        ]
        assert fitting, f"{node.op} of {kept_to}"


def test_a_run_says_so_and_can_be_verified(images: Path, run_pipeline: Run, tmp_path: Path) -> None:
    model = run_pipeline(input=str(images), engine="tensorflow", precision="bf16").manifest["model"]
    assert (model["engine"], model["precision"]) == ("tensorflow", "bf16")
    assert 0.99 < model["parity"]["mean_cosine"] < 1
    assert verify_output(str(tmp_path / "output")).holds


@pytest.mark.parametrize(("here", "engine"), [(True, "tensorflow"), (False, "openvino")])
def test_auto_takes_it_where_the_gpu_is(
    tiny_module: str, monkeypatch: pytest.MonkeyPatch, here: bool, engine: str
) -> None:
    monkeypatch.setattr("pipeline.model.prepare.has_gpu", lambda: True)
    monkeypatch.setattr(
        "pipeline.model.prepare.measured_parity", lambda *_: {"mean_cosine": 1.0, "images": "input", "count": 1}
    )
    assert prepare_model(tiny_module, "auto", precision="bf16", here=here).engine == engine


def test_a_module_without_products_is_refused(tmp_path: Path) -> None:
    def forward(_: Any, images: Any) -> Any:
        import tensorflow as tf

        return {"default": tf.reshape(tf.image.resize(images, [2, 2]), [-1, 12])}

    folder = str(save_module(tmp_path / "module", forward=forward))
    with pytest.raises(ModelError, match=r"would compute nothing of it in bf16: .*; --precision f32 runs it"):
        prepare_model(folder, "tensorflow", precision="bf16")
    assert prepare_model(folder, "tensorflow").precision == "f32"


def test_a_module_that_cannot_be_frozen_is_refused(tiny_module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.model.conversion.MAX_FROZEN_BYTES", 10)
    refusal = r"engine tensorflow cannot convert it \(its .* graph can hold\); --engine tensorflow --precision f32 runs"
    with pytest.raises(ModelError, match=refusal):
        convert(Path(tiny_module), tiny_module, "tensorflow", "bf16", Wanted())


def test_a_tensorflow_without_onednn_is_told(tiny_module: str, tmp_path: Path) -> None:
    """Which is chosen for a whole process."""
    code = (
        "import sys; from pipeline.model.prepare import prepare_model\n"
        "prepare_model(sys.argv[1], 'tensorflow', precision='bf16')"
    )
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0", "EMBED_IMAGES_CACHE_DIR": str(tmp_path / "cache")}
    ended = subprocess.run([sys.executable, "-c", code, tiny_module], capture_output=True, text=True, env=environment)
    assert "TF_ENABLE_ONEDNN_OPTS=0" in ended.stderr.splitlines()[-1]
