"""OpenVINO on CPUs: f32, and bf16 where the processor has instructions for it."""

from __future__ import annotations

import functools
import io
import zipfile
from typing import Any

import numpy as np

from transforms.engines.one_by_one import OneByOne

TOPOLOGY, WEIGHTS = "model.xml", "model.bin"  # the files of an artifact, a zip archive
BF16 = "BF16"


@functools.cache
def _core() -> Any:
    """OpenVINO's, which is kept to the end of the process.

    Its CPU plugin gives the thread that loads it another stack for signals, and frees that with the last model. Where
    another thread lets go of the model, the first one is left without: the next Ctrl-C would end it by a segmentation
    fault.
    """
    import openvino

    return openvino.Core()


def has_bf16() -> bool:
    """Whether this processor has instructions for it."""
    return BF16 in _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVINOEngine(OneByOne):
    """Runs a model in OpenVINO's format with one uint8 image input and one float32 vector output.

    (In f32 faster by a tenth than requests of four images.)
    """

    def __init__(self, artifact: bytes, threads: int, precision: str):
        if precision == "bf16" and not has_bf16():
            raise ValueError("this processor has no bf16 instructions (AVX512_BF16 or AMX)")
        core = _core()
        with zipfile.ZipFile(io.BytesIO(artifact)) as archive:
            model = core.read_model(archive.read(TOPOLOGY), archive.read(WEIGHTS))
        model.reshape([1, *model.input().partial_shape[1:]])
        settings = {
            "INFERENCE_PRECISION_HINT": precision,  # said outright: bf16 is the default where a processor has it
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "THROUGHPUT",
        }
        compiled = core.compile_model(model, "CPU", settings)
        at_once = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        super().__init__((_Request(compiled.create_infer_request()) for _ in range(at_once)), "openvino")


class _Request:
    def __init__(self, request: Any):
        self._request = request

    def __call__(self, image: np.ndarray) -> np.ndarray:
        self._request.infer([image], share_inputs=True)
        vectors: np.ndarray = self._request.get_output_tensor().data.copy()
        return vectors
