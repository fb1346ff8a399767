"""The stand-in module: MobileNet V2 (depth 1.3) with deterministic, untrained weights.

It has the graph, the cost and the signature of
https://tfhub.dev/google/imagenet/mobilenet_v2_130_224/feature_vector/4, for tests and for the demo
where no model hub can be reached: images float32 [N, 224, 224, 3] in [0, 1] in, 1664 features out.
The architecture is table 2 of Sandler et al. 2018, https://arxiv.org/abs/1801.04381.

Purely random weights would collapse all images into nearly one vector. These keep them apart:
depthwise kernels are a centre tap plus noise, residual branches start small, and the statistics of
each batch normalization are those of its own input over a set of procedural images.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

INPUT_SIZE = 224
FEATURES = 1664
SEED = 130_224
CALIBRATION_IMAGES = 12
# (expansion, output channels at depth 1.0, repeats, stride of the first): table 2 of the paper.
BLOCKS = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
BATCH_NORM_EPSILON = 1e-3
DEPTHWISE_NOISE = 0.33
RESIDUAL_GAMMA = 0.2


def export_standin(directory: Path) -> None:
    """Writes the stand-in as a TF2 SavedModel with a `serving_default` signature to `directory`."""
    import tensorflow as tf

    module = tf.Module(name="mobilenet_v2_130_224_standin")
    forward = _calibrated_network(module)

    def serve(inputs: Any) -> dict[str, Any]:
        return {"default": forward(inputs)}

    images = tf.TensorSpec([None, INPUT_SIZE, INPUT_SIZE, 3], tf.float32, "inputs")
    signature = tf.function(serve, input_signature=[images], autograph=False)  # see unfrozen.py
    tf.saved_model.save(module, str(directory), signatures={"serving_default": signature})


def _calibrated_network(module: Any) -> Callable[[Any], Any]:
    """Makes the layers one after the other, each calibrated on what the ones before it let through."""
    import tensorflow as tf

    random = np.random.default_rng(SEED)
    layers: list[Callable[[Any], Any]] = []
    variables: list[Any] = []
    activations = tf.constant(procedural_images(CALIBRATION_IMAGES, random) / np.float32(255))

    def variable(value: np.ndarray) -> Any:
        variables.append(tf.Variable(value.astype(np.float32), trainable=False))
        return variables[-1]

    def normalized(convolve: Callable[[Any], Any], x: Any, gamma: float = 1.0) -> tuple[Callable[[Any], Any], Any]:
        """`convolve` followed by a batch normalization with the statistics of `convolve(x)`."""
        y = convolve(x)
        mean, variance = (v.numpy() for v in tf.nn.moments(y, axes=[0, 1, 2]))
        scale, offset = variable(np.full(mean.shape, gamma)), variable(np.zeros(mean.shape))
        mean, variance = variable(mean), variable(variance)

        def apply(inputs: Any) -> Any:
            return tf.compat.v1.nn.fused_batch_norm(
                convolve(inputs), scale, offset, mean, variance, epsilon=BATCH_NORM_EPSILON, is_training=False
            )[0]

        return apply, apply(x)

    def pointwise(x: Any, channels: int, size: int = 1, stride: int = 1, gamma: float = 1.0) -> Any:
        inputs = int(x.shape[-1])
        he_normal = random.normal(0, np.sqrt(2 / (size * size * inputs)), (size, size, inputs, channels))
        kernel = variable(he_normal)
        return normalized(lambda t: tf.nn.conv2d(t, kernel, stride, "SAME"), x, gamma)

    def depthwise(x: Any, stride: int) -> Any:
        taps = random.normal(0, DEPTHWISE_NOISE, (3, 3, int(x.shape[-1]), 1))
        taps[1, 1] += 1
        kernel = variable(taps)
        strides = [1, stride, stride, 1]
        return normalized(lambda t: tf.nn.depthwise_conv2d(t, kernel, strides, "SAME"), x)

    def append_relu6(layer_and_output: tuple[Callable[[Any], Any], Any]) -> None:
        nonlocal activations
        layer, output = layer_and_output
        layers.append(lambda x: tf.nn.relu6(layer(x)))
        activations = tf.nn.relu6(output)

    def append_block(channels: int, expansion: int, stride: int) -> None:
        nonlocal activations
        start, block_input = len(layers), activations
        if expansion > 1:
            append_relu6(pointwise(activations, int(activations.shape[-1]) * expansion))
        append_relu6(depthwise(activations, stride))
        residual = stride == 1 and int(block_input.shape[-1]) == channels
        project, output = pointwise(activations, channels, gamma=RESIDUAL_GAMMA if residual else 1.0)
        inner = layers[start:]
        del layers[start:]

        def block(x: Any) -> Any:
            y = x
            for layer in inner:
                y = layer(y)
            return x + project(y) if residual else project(y)

        layers.append(block)
        activations = block_input + output if residual else output

    append_relu6(pointwise(activations, _divisible(32 * 1.3), size=3, stride=2))
    for expansion, channels, repeats, stride in BLOCKS:
        for repeat in range(repeats):
            append_block(_divisible(channels * 1.3), expansion, stride if repeat == 0 else 1)
    append_relu6(pointwise(activations, FEATURES))
    module.parameters = variables

    def forward(images: Any) -> Any:
        x = images
        for layer in layers:
            x = layer(x)
        return tf.reduce_mean(x, axis=[1, 2])

    return forward


def _divisible(channels: float, divisor: int = 8) -> int:
    """Rounds to a multiple of `divisor` without losing over a tenth, as MobileNet's reference code does."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def procedural_images(count: int, random: np.random.Generator, size: int = INPUT_SIZE) -> np.ndarray:
    """Images with the rough statistics of photos: smooth noise at several scales, edges, grain.

    Returns:
        uint8 [count, size, size, 3].
    """
    images = np.empty((count, size, size, 3), np.uint8)
    for i in range(count):
        canvas = np.zeros((size, size, 3), np.float32)
        for cells in (2, 4, 8, 16, 32, 64):
            grid = random.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
            smooth = Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC)
            canvas += (np.asarray(smooth, np.float32) - 127.5) * (2.0 / cells**0.7)
        for _ in range(6):
            top, left = random.integers(0, size - 16, 2)
            height, width = random.integers(12, size // 2, 2)
            canvas[top : top + height, left : left + width] += random.uniform(-90, 90, 3)
        canvas += random.normal(0, 4, canvas.shape)
        images[i] = np.clip(canvas + random.uniform(70, 180), 0, 255)
    return images
