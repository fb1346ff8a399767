"""What executes the feature module: bytes of a model in, a callable out.

An engine's file says how an artifact is loaded; how one is made is told in `pipeline/model.py`.
"""

from __future__ import annotations

import os
from typing import Protocol

import numpy as np

ENGINES = ("litert", "tensorflow")


class Engine(Protocol):
    """Called by several threads of a process."""

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [batch, height, width, 3] in, float32 [batch, features] out."""
        ...


def load_engine(name: str, artifact: bytes, batch_size: int, threads: int = 0) -> Engine:
    """Loads an artifact.

    Args:
        name: one of `ENGINES`.
        artifact: what `pipeline.model` made for this engine.
        batch_size: images of each call.
        threads: used within a call; 0 stands for one a core.
    """
    threads = threads or os.cpu_count() or 1
    if name == "litert":
        from transforms.engines.litert import LiteRTEngine

        return LiteRTEngine(artifact, batch_size, threads)
    if name == "tensorflow":
        from transforms.engines.tensorflow import TensorFlowEngine

        return TensorFlowEngine(artifact, threads)
    raise ValueError(f"engine: {name!r} is not one of {', '.join(ENGINES)}")
