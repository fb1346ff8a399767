"""From a SavedModel to what an engine runs: uint8 folded in, frozen, converted, checked.

The one file of the launcher that imports TensorFlow, and only when an artifact is not cached yet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.standin import procedural_images
from transforms.engines import load_engine
from transforms.engines.tensorflow import INPUT_TENSOR, OUTPUT_TENSOR

# Raise it when the same module would come out of `convert` with other values.
CONVERSION_VERSION = 1
MIN_COSINE_F32 = 0.9999
PROBES = 8
PROBE_SEED = 7
# What a module takes when its signature leaves height and width open; TF Hub's MobileNets do.
OPEN_INPUT_SIZE = 224
OTHER_ENGINE = "--engine tensorflow runs any module"


class ModelError(Exception):
    """A module that cannot be used; its text is one sentence for a person."""


@dataclass(frozen=True)
class Conversion:
    """An artifact and what was learnt while it was made.

    Attributes:
        artifact: for `engines.load_engine`.
        input_size: (height, width) of the images.
        feature_dim: values of a feature vector.
        parity: agreement with the untouched module on `PROBES` procedural images: "min_cosine",
            "mean_cosine", "max_relative_error" (largest difference by largest value of the module).
    """

    artifact: bytes
    input_size: tuple[int, int]
    feature_dim: int
    parity: Mapping[str, float]


@dataclass(frozen=True)
class _ImageSignature:
    call: Callable[..., Mapping[str, Any]]
    input_name: str
    output_name: str
    input_size: tuple[int, int]

    def __call__(self, images: Any) -> Any:
        """float32 [N, height, width, 3] in [0, 1] to float32 [N, features]."""
        return self.call(**{self.input_name: images})[self.output_name]


def convert(saved_model: Path, handle: str, engine: str, input_size: tuple[int, int] | None) -> Conversion:
    """Makes the f32 artifact of an engine and measures it against the module.

    Args:
        saved_model: a folder with saved_model.pb.
        handle: how the user named it, for messages.
        engine: one of `engines.ENGINES`.
        input_size: (height, width) for modules whose signature leaves it open.

    Raises:
        ModelError: the module is not of the right shape, or the engine does not reproduce it.
    """
    import tensorflow as tf

    try:
        module = tf.saved_model.load(str(saved_model))
    except Exception as e:
        raise ModelError(f"{handle}: TensorFlow cannot load {saved_model}: {_first_line(e)}") from e
    signature = _image_signature(module, handle, input_size)
    frozen = _freeze(signature)
    artifact = _to_litert(frozen, handle) if engine == "litert" else _to_graph_def(frozen)
    probes = procedural_images(PROBES, np.random.default_rng(PROBE_SEED), max(64, *signature.input_size))
    probes = np.ascontiguousarray(probes[:, : signature.input_size[0], : signature.input_size[1]])
    expected = signature(tf.constant(probes / np.float32(255))).numpy()
    _check_vectors(expected, handle)
    try:
        actual = load_engine(engine, artifact, PROBES)(probes)
    except (RuntimeError, ValueError) as e:
        raise ModelError(f"{handle}: engine {engine} cannot run it ({_first_line(e)}); {OTHER_ENGINE}") from e
    parity = measure_parity(expected, actual)
    if not parity["min_cosine"] >= MIN_COSINE_F32:
        raise ModelError(
            f"{handle}: engine {engine} gives vectors of cosine {parity['min_cosine']:.6f} to the module's own, "
            f"at least {MIN_COSINE_F32} is needed; {OTHER_ENGINE}"
        )
    return Conversion(artifact, signature.input_size, int(expected.shape[1]), parity)


def measure_parity(expected: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Agreement of two float [N, D] arrays, row by row; a zero vector agrees with a zero vector only."""
    x, y = expected.astype(np.float64), actual.astype(np.float64)
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    same = (x == y).all(axis=1)
    cosines = np.where(same, 1.0, (x * y).sum(axis=1) / np.where(norms == 0, 1.0, norms))
    scale = float(np.abs(x).max()) or 1.0
    return {
        "min_cosine": float(cosines.min()),
        "mean_cosine": float(cosines.mean()),
        "max_relative_error": float(np.abs(x - y).max() / scale),
    }


def _image_signature(module: Any, handle: str, input_size: tuple[int, int] | None) -> _ImageSignature:
    """Finds the one image input and the one vector output, or says what was found instead."""
    import tensorflow as tf

    needed = "needed: a TF2 SavedModel with one input float32 [N, height, width, 3] and one output float32 [N, D]"
    signatures = dict(module.signatures)
    if not signatures:
        raise ModelError(f"{handle}: the module has no signatures; {needed}")
    name = "serving_default" if "serving_default" in signatures else next(iter(signatures))
    call = signatures[name]
    inputs = call.structured_input_signature[1]
    found = f"its signature {name} has the inputs {_described(inputs)} and the outputs "
    found += _described(call.structured_outputs)
    if len(inputs) != 1:
        raise ModelError(f"{handle}: {len(inputs)} inputs where one is needed: {found}; {needed}")
    ((input_name, spec),) = inputs.items()
    if spec.dtype != tf.float32 or spec.shape.rank != 4 or spec.shape[3] != 3:
        raise ModelError(f"{handle}: no image input: {found}; {needed}")
    if spec.shape[0] is not None:
        raise ModelError(f"{handle}: the batch size is fixed at {spec.shape[0]}: {found}; {needed}")
    outputs = call.structured_outputs
    output_name = "default" if "default" in outputs else next(iter(outputs))
    if len(outputs) != 1 and output_name != "default":
        raise ModelError(f"{handle}: {len(outputs)} outputs and none of the name 'default': {found}; {needed}")
    output = outputs[output_name]
    if output.dtype != tf.float32 or output.shape.rank not in (None, 2):
        raise ModelError(f"{handle}: no vector output: {found}; {needed}")
    fixed = (spec.shape[1], spec.shape[2])
    if None in fixed:
        size = input_size or (OPEN_INPUT_SIZE, OPEN_INPUT_SIZE)
    elif input_size not in (None, fixed):
        raise ModelError(f"{handle}: --input_size is not for this module, whose images are {fixed[0]}x{fixed[1]}")
    else:
        size = fixed
    return _ImageSignature(call, input_name, output_name, size)


def _described(specs: Mapping[str, Any]) -> str:
    """Such as: inputs float32 [N, 224, 224, 3]."""

    def shape(spec: Any) -> str:
        if spec.shape.rank is None:
            return "of unknown rank"
        return "[" + ", ".join("N" if side is None else str(side) for side in spec.shape) + "]"

    return ", ".join(f"{name} {spec.dtype.name} {shape(spec)}" for name, spec in specs.items()) or "none"


def _freeze(signature: _ImageSignature) -> Any:
    """A concrete function from uint8 images to vectors, its variables made constants."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    def embed(images: Any) -> Any:
        # TF Hub's image inputs are in [0, 1]: https://www.tensorflow.org/hub/common_signatures/images
        return signature(tf.cast(images, tf.float32) * np.float32(1 / 255))

    images = tf.TensorSpec([None, *signature.input_size, 3], tf.uint8, INPUT_TENSOR.partition(":")[0])
    return convert_variables_to_constants_v2(tf.function(embed).get_concrete_function(images))


def _to_litert(frozen: Any, handle: str) -> bytes:
    import tensorflow as tf

    try:
        flatbuffer: bytes = tf.lite.TFLiteConverter.from_concrete_functions([frozen], frozen).convert()
    except Exception as e:  # the converter's errors are of many classes, some made on the fly
        raise ModelError(f"{handle}: engine litert cannot convert it ({_first_line(e)}); {OTHER_ENGINE}") from e
    return flatbuffer


def _to_graph_def(frozen: Any) -> bytes:
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        tensor = frozen.outputs[0].name
        (output,) = tf.graph_util.import_graph_def(frozen.graph.as_graph_def(), return_elements=[tensor], name="")
        tf.identity(output, OUTPUT_TENSOR.partition(":")[0])
    graph.get_tensor_by_name(INPUT_TENSOR)
    definition: bytes = graph.as_graph_def().SerializeToString()
    return definition


def _check_vectors(vectors: np.ndarray, handle: str) -> None:
    if vectors.ndim != 2 or len(vectors) != PROBES:
        raise ModelError(f"{handle}: {PROBES} images gave an output of shape {vectors.shape}, not [{PROBES}, D]")
    if not np.isfinite(vectors).all():
        raise ModelError(f"{handle}: the module gives values that are not finite for ordinary images")


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__
