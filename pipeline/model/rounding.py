"""Precisions below f32 without most of their loss: what rounding weights shifts is taken back in the biases.

Rounded weights give each channel of a convolution a constant error, their difference times the mean input, which the
rest of the network amplifies: with the trained MobileNet V2, the first depthwise convolution alone costs most of what
bf16 and int8 lose. Subtracting it from the bias costs nothing at run time (bias correction, Nagel et al. 2019,
https://arxiv.org/abs/1906.04721, section 4.2). docs/precisions.md has the curve.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

CONVOLUTIONS = {3: "CONV_2D", 4: "DEPTHWISE_CONV_2D"}  # of the TFLite schema's BuiltinOperator
TYPES = {0: np.float32, 1: np.float16, 2: np.int32, 4: np.int64, 9: np.int8}  # of its TensorType
# Convolutions from the input on that stay in f32: beyond, speed was lost for little. Small networks keep fewer.
KEPT = {"bf16": 3, "int8": 2}
MOST_KEPT = 1 / 8
MEANS_BATCH = 8


class Convolution(NamedTuple):
    """Attributes:
    kind: a value of `CONVOLUTIONS`.
    weights, bias: constants of the model, the bias None where there is none.
    bias_tensor, weights_tensor: of the schema.
    """

    kind: str
    weights: np.ndarray
    bias: np.ndarray | None
    weights_tensor: Any
    bias_tensor: Any
    input: int


def kept_convolutions(flatbuffer: bytes, precision: str) -> int:
    """How many convolutions of a model, from the input on, stay in f32 in a precision below it."""
    return kept_of(len(_convolutions(_parsed(flatbuffer))), precision)


def kept_of(convolutions: int, precision: str) -> int:
    """How many of so many convolutions stay in f32."""
    return min(KEPT[precision], int(convolutions * MOST_KEPT))


def outputs_up_to(flatbuffer: bytes, kept: int) -> list[str]:
    """Names of what the operators give, in order, up to and with the `kept`-th convolution."""
    model = _parsed(flatbuffer)
    graph, names, seen = model.subgraphs[0], [], 0
    for operator in graph.operators:
        seen += _code(model, operator) in CONVOLUTIONS
        if seen > kept:
            break
        names.append(graph.tensors[operator.outputs[0]].name.decode())
    return names


def input_means(flatbuffer: bytes, pixels: np.ndarray) -> list[np.ndarray]:
    """For each convolution of an f32 model, in order, float64 [channels]: its mean input over uint8 images."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=flatbuffer,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,  # which keep no tensors
        num_threads=os.cpu_count(),
    )
    image_input = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(image_input, [MEANS_BATCH, *pixels.shape[1:]])
    interpreter.allocate_tensors()
    inputs = [convolution.input for convolution in _convolutions(_parsed(flatbuffer))]
    repeated = np.resize(pixels, (-(-len(pixels) // MEANS_BATCH), MEANS_BATCH, *pixels.shape[1:]))
    sums = [np.zeros(1) for _ in inputs]
    for batch in repeated:
        interpreter.set_tensor(image_input, batch)
        interpreter.invoke()
        for i, tensor in enumerate(inputs):
            sums[i] = sums[i] + interpreter.get_tensor(tensor).mean((0, 1, 2), dtype=np.float64)
    return [total / len(repeated) for total in sums]


def rounded_to_bf16(flatbuffer: bytes, means: Sequence[np.ndarray], kept: int) -> bytes:
    """An f32 model whose weights are bf16 numbers, but for the first `kept` convolutions, its biases corrected."""
    import ml_dtypes

    model = _parsed(flatbuffer)
    for convolution, mean in list(zip(_convolutions(model), means, strict=True))[kept:]:
        rounded = convolution.weights.astype(ml_dtypes.bfloat16).astype(np.float32)
        _put(model, convolution.weights_tensor, rounded)
        if convolution.bias is not None:
            shift = _mean_error(convolution, rounded, mean)
            _put(model, convolution.bias_tensor, (convolution.bias + shift).astype(np.float32))
    return _serialized(model)


def with_corrected_biases(quantized: bytes, flatbuffer: bytes, means: Sequence[np.ndarray]) -> bytes:
    """An int8 model, its biases corrected for the difference of its weights to the f32 model's.

    Where the converter has given the two other convolutions, they are left as they are.
    """
    model = _parsed(quantized)
    exact, rounded = _convolutions(_parsed(flatbuffer)), _convolutions(model)
    if [(c.kind, c.weights.shape) for c in exact] != [(c.kind, c.weights.shape) for c in rounded]:
        return quantized
    for wanted, convolution, mean in zip(exact, rounded, means, strict=True):
        if convolution.weights.dtype != np.int8 or convolution.bias is None:
            continue
        shift = _mean_error(wanted, _dequantized(convolution), mean)
        if convolution.bias.dtype == np.float32:
            corrected = convolution.bias + shift
        else:
            steps = np.round(shift / np.asarray(convolution.bias_tensor.quantization.scale, np.float64))
            limits = np.iinfo(convolution.bias.dtype)
            corrected = np.clip(convolution.bias + steps, limits.min, limits.max)
        _put(model, convolution.bias_tensor, corrected.astype(convolution.bias.dtype))
    return _serialized(model)


def _mean_error(convolution: Convolution, rounded: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """float64 [outputs]: what the exact weights give on average that the rounded ones do not."""
    difference = convolution.weights.astype(np.float64) - rounded
    error: np.ndarray
    if convolution.kind == "CONV_2D":  # [outputs, height, width, inputs]
        error = np.einsum("ohwi,i->o", difference, mean)
    else:  # [1, height, width, outputs]
        error = difference[0].sum((0, 1)) * np.repeat(mean, difference.shape[3] // len(mean))
    return error


def _dequantized(convolution: Convolution) -> np.ndarray:
    quantization = convolution.weights_tensor.quantization
    shape = [1] * convolution.weights.ndim
    shape[quantization.quantizedDimension] = len(quantization.scale)
    return convolution.weights * np.asarray(quantization.scale, np.float64).reshape(shape)


def _convolutions(model: Any) -> list[Convolution]:
    """Those whose weights are constants, in the order of execution."""
    graph = model.subgraphs[0]
    found = []
    for operator in graph.operators:
        kind = CONVOLUTIONS.get(_code(model, operator))
        weights = _constant(model, operator.inputs[1]) if kind else None
        if kind is None or weights is None:
            continue
        has_bias = len(operator.inputs) > 2 and operator.inputs[2] >= 0
        bias = _constant(model, operator.inputs[2]) if has_bias else None
        bias_tensor = graph.tensors[operator.inputs[2]] if has_bias else None
        weights_tensor = graph.tensors[operator.inputs[1]]
        found.append(Convolution(kind, weights, bias, weights_tensor, bias_tensor, int(operator.inputs[0])))
    return found


def _code(model: Any, operator: Any) -> int:
    code = model.operatorCodes[operator.opcodeIndex]
    return max(int(code.builtinCode), int(code.deprecatedBuiltinCode))


def _constant(model: Any, tensor_index: int) -> np.ndarray | None:
    tensor = model.subgraphs[0].tensors[tensor_index]
    data = model.buffers[tensor.buffer].data
    if data is None or tensor.type not in TYPES:
        return None
    return np.frombuffer(np.asarray(data, np.uint8).tobytes(), TYPES[tensor.type]).reshape(tensor.shape)


def _put(model: Any, tensor: Any, values: np.ndarray) -> None:
    model.buffers[tensor.buffer].data = np.frombuffer(values.tobytes(), np.uint8)


def _parsed(flatbuffer: bytes) -> Any:
    from tensorflow.lite.tools import flatbuffer_utils

    return flatbuffer_utils.read_model_from_bytearray(bytearray(flatbuffer))


def _serialized(model: Any) -> bytes:
    from tensorflow.lite.tools import flatbuffer_utils

    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))
