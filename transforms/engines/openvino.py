"""OpenVINO on CPUs: f32, and bf16 where the processor has instructions for it."""

from __future__ import annotations

import functools
import io
import threading
import zipfile
from typing import Any

import numpy as np

from transforms.engines.call_by_call import CallByCall
from transforms.engines.engine import Images

TOPOLOGY, WEIGHTS = "model.xml", "model.bin"  # the files of an artifact, a zip archive
BF16 = "BF16"
# The binding makes ready what it needs of NumPy at the first image. Threads that came to it together were seen to wait
# for each other forever (2026.4); so the first image of an engine is given to it alone.
_alone = threading.Lock()


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


class OpenVINOEngine(CallByCall):
    """Runs a model in OpenVINO's format with one uint8 image input and one float32 vector output.

    Requests of one image, of which as many run at once as there are threads: in f32 faster by a tenth than requests of
    four.
    """

    def __init__(self, artifact: bytes, threads: int, precision: str):
        import openvino

        super().__init__("openvino")
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
        self._dim = int(compiled.output().partial_shape[1].get_length())
        self._queue = openvino.AsyncInferQueue(compiled)
        self._queue.set_callback(_keep)
        self._lock = threading.Lock()  # the queue is waited for as a whole
        with _alone:
            self(np.zeros(tuple(compiled.input().shape), np.uint8))

    def __call__(self, images: Images) -> np.ndarray:
        vectors = np.empty((len(images), self._dim), np.float32)
        with self._lock:
            for image, vector in zip(images, vectors, strict=True):
                self._queue.start_async([image[None]], vector)
            self._queue.wait_all()
        return vectors


def _keep(request: object, vector: np.ndarray) -> None:
    """Copies the result of a request into its row."""
    (vector[:],) = request.get_output_tensor().data  # type: ignore[attr-defined]
