"""A store for modules: fsspec's, within one process, which no user can name; and a module that rounding hurts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import save_module
from transforms.stores import filesystems

PAIRS = 8  # of a depthwise and a pointwise convolution: sixteen, of which an eighth may stay exact


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has `memory://` read; objects stay for the session."""
    monkeypatch.setattr(filesystems, "SCHEMES", filesystems.SCHEMES | {"memory"})


@pytest.fixture(scope="module")
def deep_module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A module whose first depthwise kernels are large and nearly cancel, as a trained MobileNet's do."""
    random = np.random.default_rng(5)

    def forward(_: Any, images: Any) -> Any:
        import tensorflow as tf

        x = images
        for pair in range(PAIRS):
            channels = x.shape[3]
            depthwise = random.normal(0, 0.3, (3, 3, channels, 1)).astype(np.float32)
            if pair == 0:  # differences of neighbours, times some fifty
                large = random.uniform(40, 60, channels).astype(np.float32)
                depthwise[1, 1, :, 0] += large
                depthwise[1, 2, :, 0] -= large
            x = tf.nn.relu6(tf.nn.depthwise_conv2d(x, depthwise, [1, 1, 1, 1], "SAME"))
            pointwise = random.normal(0, (2 / channels) ** 0.5, (1, 1, channels, 16)).astype(np.float32)
            x = tf.nn.bias_add(tf.nn.conv2d(x, pointwise, 1, "SAME"), np.full(16, 0.1, np.float32))
        return {"default": tf.reduce_mean(tf.nn.relu6(x), axis=[1, 2])}

    return save_module(tmp_path_factory.mktemp("modules") / "deep", forward=forward)
