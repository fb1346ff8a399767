"""From a SavedModel to what an engine runs: uint8 folded in, frozen, converted.

TensorFlow is imported in the functions of this file and of those that it stands on, and of `ops`, only for what is not
in the cache yet.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import ModelError
from pipeline.model import rounding
from pipeline.model.mixed_precision import to_bf16
from pipeline.model.openvino_format import to_openvino
from pipeline.model.sampling import procedural_sample
from pipeline.model.signatures import ImageSignature, Wanted, find_signature
from pipeline.model.soundness import check_sound, vectors_of
from pipeline.model.unfrozen import embedding_function, to_saved_model
from transforms.engines.tensorflow import INPUT_TENSOR, OUTPUT_TENSOR, in_full_precision

# Raise it when the same module would come out of `convert` with other values.
CONVERSION_VERSION = 2
# A graph with its weights is one protocol buffer, which ends below 2 GiB; some MB of it are the graph's own.
MAX_FROZEN_BYTES = (2 << 30) - (64 << 20)
OTHER_ENGINE = "--engine tensorflow --precision f32 runs any module"
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
        signature, output_name: of the module, which give it.
    """

    artifact: bytes
    input_size: tuple[int, int]
    feature_dim: int
    signature: str
    output_name: str


def convert(
    saved_model: Path,
    handle: str,
    engine: str,
    precision: str,
    wanted: Wanted,
    kept: int | None = None,
) -> Conversion:
    """Makes the artifact of an engine, in f32 or bf16.

    Args:
        saved_model: a folder with saved_model.pb.
        handle: how the user named it, for messages.
        engine: one of `engines.PRECISIONS`.
        precision: one of the engine's; of int8, which needs images of the input, `to_int8` makes the artifact.
        wanted: of its signatures, outputs and sizes.
        kept: convolutions, from the input on, that bf16 leaves in f32; as many as `rounding` says without it.

    Raises:
        ConversionError: the engine cannot convert it.
        ModelError: the module is not of the right shape.
    """
    signature = _load(saved_model, handle, wanted)
    pixels = procedural_sample(signature.input_size).probes.pixels
    feature_dim = check_sound(signature, pixels, handle).shape[1]
    frozen, obstacle = _freeze(signature)
    if obstacle and (engine, precision) != ("tensorflow", "f32"):
        raise _cannot_convert(handle, engine, obstacle)
    if obstacle:
        artifact = _whole(signature, handle, obstacle)
    elif engine == "tensorflow":
        artifact = _to_graph_def(frozen)
        if precision == "bf16":
            artifact = to_bf16(artifact, handle, kept)
    else:
        artifact = _converted(_converter(frozen).convert, handle, engine)
        if engine == "openvino":
            if precision == "bf16":
                kept = rounding.kept_convolutions(artifact, precision) if kept is None else kept
                artifact = rounding.rounded_to_bf16(artifact, rounding.input_means(artifact, pixels), kept)
            artifact = _converted(partial(to_openvino, artifact, kept or 0), handle, engine)
    return Conversion(artifact, signature.input_size, feature_dim, signature.signature, signature.output_name)


def to_int8(
    saved_model: Path, handle: str, pixels: np.ndarray, wanted: Wanted | None = None, kept: int | None = None
) -> bytes:
    """The int8 artifact of the engine litert, its ranges and biases calibrated on uint8 [N, height, width, 3].

    What stands before the first convolution stays in f32, whose pixels int8 would make coarser, and so do the
    first convolutions themselves, `kept` of them, else `rounding.kept_convolutions`.

    Raises:
        ModelError: the module cannot be quantized.
    """
    import tensorflow as tf

    wanted = (wanted or Wanted())._replace(input_size=(pixels.shape[1], pixels.shape[2]))
    frozen, obstacle = _freeze(_load(saved_model, handle, wanted))
    if obstacle:
        raise _cannot_convert(handle, "litert", obstacle)
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


def reference_vectors(saved_model: Path, handle: str, pixels: np.ndarray, wanted: Wanted | None = None) -> np.ndarray:
    """float32 [N, D]: what the untouched module gives for uint8 [N, height, width, 3].

    Raises:
        ModelError: it cannot be loaded, or gives something else.
    """
    wanted = (wanted or Wanted())._replace(input_size=(pixels.shape[1], pixels.shape[2]))
    signature = _load(saved_model, handle, wanted)
    batches = range(0, len(pixels), REFERENCE_BATCH)
    return np.concatenate([vectors_of(signature, pixels[i : i + REFERENCE_BATCH], handle) for i in batches])


def _load(saved_model: Path, handle: str, wanted: Wanted) -> ImageSignature:
    with warnings.catch_warnings(action="ignore"):  # of pkg_resources, which its import uses
        import tensorflow_hub as hub

    in_full_precision()
    try:
        module = hub.load(str(saved_model))
    except Exception as e:
        raise ModelError(f"{handle}: TensorFlow cannot load {saved_model}: {first_line(e)}") from e
    return find_signature(module, handle, wanted)


def _freeze(signature: ImageSignature) -> tuple[Any, str]:
    """A concrete function from uint8 images to vectors, its variables made constants; or what keeps it from being one.

    Of the two one is empty.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    function = embedding_function(signature).get_concrete_function()
    weights = sum(variable.shape.num_elements() * variable.dtype.size for variable in function.variables)
    if weights > MAX_FROZEN_BYTES:
        return None, f"its {weights / 2**30:.2f} GiB of weights are more than the 2 GiB that a frozen graph can hold"
    frozen = convert_variables_to_constants_v2(function)
    if any(tensor.dtype == tf.resource for tensor in frozen.inputs):
        return None, "it has a lookup table or another resource, which a frozen graph cannot hold"
    return frozen, ""


def _whole(signature: ImageSignature, handle: str, obstacle: str) -> bytes:
    try:
        return to_saved_model(signature)
    except Exception as e:  # of TensorFlow's saving, which has many
        raise ModelError(f"{handle}: it cannot be frozen ({obstacle}), nor saved again ({first_line(e)})") from e


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
        raise _cannot_convert(handle, engine, first_line(e)) from e


def _cannot_convert(handle: str, engine: str, reason: str) -> ConversionError:
    return ConversionError(handle, f"engine {engine} cannot convert it ({reason})")


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
