"""From a SavedModel to what an engine runs: uint8 folded in, frozen, converted.

The one file of the launcher that imports TensorFlow, and only for what is not in the cache yet.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import ModelError
from pipeline.model import rounding
from pipeline.model.openvino_format import to_openvino
from pipeline.model.sampling import procedural_sample
from transforms.engines.tensorflow import INPUT_TENSOR, OUTPUT_TENSOR

# Raise it when the same module would come out of `convert` with other values.
CONVERSION_VERSION = 2
# What a module takes when its signature leaves height and width open; TF Hub's MobileNets do.
OPEN_INPUT_SIZE = 224
OTHER_ENGINE = "--engine tensorflow runs any module"
REFERENCE_BATCH = 16


class ConversionError(ModelError):
    """A module that an engine cannot run, as it will not the next time either; `reason` names no handle."""

    def __init__(self, handle: str, reason: str):
        super().__init__(f"{handle}: {reason}; {OTHER_ENGINE}")
        self.reason = reason


@dataclass(frozen=True)
class Conversion:
    """An artifact and what was learnt while it was made.

    Attributes:
        artifact: for `engines.load_engine`.
        input_size: (height, width) of the images.
        feature_dim: values of a feature vector.
    """

    artifact: bytes
    input_size: tuple[int, int]
    feature_dim: int


@dataclass(frozen=True)
class _ImageSignature:
    module: Any  # without it, the variables that `call` uses would be gone
    call: Callable[..., Mapping[str, Any]]
    input_name: str
    output_name: str
    input_size: tuple[int, int]

    def __call__(self, images: Any) -> Any:
        """float32 [N, height, width, 3] in [0, 1] to float32 [N, features]."""
        return self.call(**{self.input_name: images})[self.output_name]


def convert(
    saved_model: Path,
    handle: str,
    engine: str,
    precision: str,
    input_size: tuple[int, int] | None,
    kept: int | None = None,
) -> Conversion:
    """Makes the artifact of an engine, in f32 or bf16.

    Args:
        saved_model: a folder with saved_model.pb.
        handle: how the user named it, for messages.
        engine: one of `engines.PRECISIONS`.
        precision: one of the engine's; of int8, which needs images of the input, `to_int8` makes the artifact.
        input_size: (height, width) for modules whose signature leaves it open.
        kept: convolutions, from the input on, that bf16 leaves in f32; `rounding.kept_convolutions` without it.

    Raises:
        ConversionError: the engine cannot convert it.
        ModelError: the module is not of the right shape.
    """
    signature = _load(saved_model, handle, input_size)
    pixels = procedural_sample(signature.input_size).probes
    feature_dim = _vectors(signature, pixels, handle).shape[1]
    frozen = _freeze(signature)
    if engine == "tensorflow":
        artifact = _to_graph_def(frozen)
    else:
        artifact = _converted(_converter(frozen).convert, handle, engine)
        if engine == "openvino":
            if precision == "bf16":
                kept = rounding.kept_convolutions(artifact, precision) if kept is None else kept
                artifact = rounding.rounded_to_bf16(artifact, rounding.input_means(artifact, pixels), kept)
            artifact = _converted(partial(to_openvino, artifact, kept or 0), handle, engine)
    return Conversion(artifact, signature.input_size, feature_dim)


def to_int8(saved_model: Path, handle: str, pixels: np.ndarray, kept: int | None = None) -> bytes:
    """The int8 artifact of the engine litert, its ranges and biases calibrated on uint8 [N, height, width, 3].

    What stands before the first convolution stays in f32, whose pixels int8 would make coarser, and so do the
    first convolutions themselves, `kept` of them, else `rounding.kept_convolutions`.

    Raises:
        ModelError: the module cannot be quantized.
    """
    import tensorflow as tf

    frozen = _freeze(_load(saved_model, handle, (pixels.shape[1], pixels.shape[2])))
    flatbuffer = _converted(_converter(frozen).convert, handle, "litert")
    converter = _converter(frozen)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in pixels)

    def quantized() -> bytes:
        options = tf.lite.experimental.QuantizationDebugOptions()
        first = lambda: ([image[None]] for image in pixels[:1])  # noqa: E731
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=first, debug_options=options
        )
        # The names are of this very calibration: those of another one would be ignored without a word.
        first_ones = rounding.kept_convolutions(flatbuffer, "int8") if kept is None else kept
        options.denylisted_nodes = rounding.outputs_up_to(debugger.calibrated_model, first_ones)
        return bytes(debugger.get_nondebug_quantized_model())

    means = rounding.input_means(flatbuffer, pixels)
    return rounding.with_corrected_biases(_converted(quantized, handle, "litert"), flatbuffer, means)


def reference_vectors(saved_model: Path, handle: str, input_size: tuple[int, int], pixels: np.ndarray) -> np.ndarray:
    """float32 [N, D]: what the untouched module gives for uint8 [N, height, width, 3].

    Raises:
        ModelError: it cannot be loaded, or gives something else.
    """
    signature = _load(saved_model, handle, input_size)
    batches = range(0, len(pixels), REFERENCE_BATCH)
    return np.concatenate([_vectors(signature, pixels[i : i + REFERENCE_BATCH], handle) for i in batches])


def _load(saved_model: Path, handle: str, input_size: tuple[int, int] | None) -> _ImageSignature:
    import tensorflow as tf

    try:
        module = tf.saved_model.load(str(saved_model))
    except Exception as e:
        raise ModelError(f"{handle}: TensorFlow cannot load {saved_model}: {first_line(e)}") from e
    return _image_signature(module, handle, input_size)


def _vectors(signature: _ImageSignature, pixels: np.ndarray, handle: str) -> np.ndarray:
    """What the module gives for uint8 images, checked."""
    import tensorflow as tf

    vectors: np.ndarray = signature(tf.constant(pixels / np.float32(255))).numpy()
    if vectors.ndim != 2 or len(vectors) != len(pixels):
        raise ModelError(f"{handle}: {len(pixels)} images gave an output of shape {vectors.shape}, not [N, D]")
    if not np.isfinite(vectors).all():
        raise ModelError(f"{handle}: the module gives values that are not finite for ordinary images")
    return vectors


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
    return _ImageSignature(module, call, input_name, output_name, size)


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


def _converter(frozen: Any) -> Any:
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_concrete_functions([frozen], frozen)


def _converted(convert: Callable[[], bytes], handle: str, engine: str) -> bytes:
    try:
        with warnings.catch_warnings(action="ignore"):  # it misses statistics of the uint8 input, which needs none
            return convert()
    except (MemoryError, OSError) as e:  # of this machine today, not of the module
        raise ModelError(f"{handle}: engine {engine} could not convert it: {first_line(e)}") from e
    except Exception as e:  # the converters' errors are of many classes, some made on the fly
        raise ConversionError(handle, f"engine {engine} cannot convert it ({first_line(e)})") from e


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


def first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:300]}" if text else type(error).__name__
