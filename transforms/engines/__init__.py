"""What executes the feature module: bytes of a model in, a callable out.

An engine's file says how an artifact is loaded; how one is made is told in `pipeline/model/conversion.py`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transforms.engines.engine import Engine

# By engine, the precisions that it computes in; the first is its default.
PRECISIONS = {"litert": ("f32", "int8"), "openvino": ("f32", "bf16"), "tensorflow": ("f32", "bf16")}
PACKAGES = {"litert": "ai-edge-litert", "openvino": "openvino", "tensorflow": "tensorflow"}
# Images of a call. litert and openvino embed each by itself, on one thread: with more of them there are fewer moments
# at which threads wait for the last ones. tensorflow embeds them together: so many were fastest on CPUs.
BATCH_SIZE = 32


def load_engine(name: str, artifact: bytes, batch_size: int, threads: int = 0, precision: str = "f32") -> Engine:
    """Loads an artifact.

    Args:
        name: a key of `PRECISIONS`.
        artifact: what `pipeline.model.conversion` made for this engine.
        batch_size: images that tensorflow embeds at once.
        threads: cores used by all calls together; 0 stands for all.
        precision: one of `PRECISIONS[name]`. Artifacts of litert and tensorflow have their own.

    Raises:
        ValueError: no such engine, or one that cannot compute in this precision on this machine.
        ImportError: its package is not installed.
    """
    threads = threads or os.cpu_count() or 1
    if precision not in PRECISIONS.get(name, ()):
        raise ValueError(f"engine {name} does not compute in {precision}")
    if name == "litert":
        from transforms.engines.litert import LiteRTEngine

        return LiteRTEngine(artifact, threads)
    if name == "openvino":
        from transforms.engines.openvino import OpenVINOEngine

        return OpenVINOEngine(artifact, threads, precision)
    from transforms.engines.tensorflow import TensorFlowEngine

    return TensorFlowEngine(artifact, batch_size, threads)
