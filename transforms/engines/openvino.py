"""OpenVINO on CPUs: f32, and bf16 where the processor has instructions for it."""

from __future__ import annotations

import io
import threading
import zipfile

import numpy as np

TOPOLOGY, WEIGHTS = "model.xml", "model.bin"  # the files of an artifact, a zip archive
BF16 = "BF16"
# Images of one request, of which several run at once, each on some of the threads: faster by a sixth than a whole
# batch on all of them, and by far more where other work shares the cores.
REQUEST = 2


class OpenVINOEngine:
    """Runs a model in OpenVINO's format with one uint8 image input and one float32 vector output."""

    def __init__(self, artifact: bytes, batch_size: int, threads: int, precision: str):
        import openvino

        core = openvino.Core()
        if precision == "bf16" and BF16 not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ValueError("this processor has no bf16 instructions (AVX512_BF16 or AMX)")
        with zipfile.ZipFile(io.BytesIO(artifact)) as archive:
            model = core.read_model(archive.read(TOPOLOGY), archive.read(WEIGHTS))
        self._request = REQUEST if batch_size % REQUEST == 0 else 1
        model.reshape([self._request, *model.input().partial_shape[1:]])
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

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        vectors = np.empty((len(pixels), self._dim), np.float32)
        with self._lock:
            for start in range(0, len(pixels), self._request):
                end = start + self._request
                self._queue.start_async([pixels[start:end]], vectors[start:end])
            self._queue.wait_all()
        return vectors


def _keep(request: object, vectors: np.ndarray) -> None:
    """Copies the result of a request into its part of the batch."""
    vectors[:] = request.get_output_tensor().data  # type: ignore[attr-defined]
