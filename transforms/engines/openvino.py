"""OpenVINO on CPUs: f32, and bf16 where the processor has instructions for it."""

from __future__ import annotations

import os
import tempfile

import numpy as np

BF16 = "BF16"


class OpenVINOEngine:
    """Runs a .tflite flatbuffer with one uint8 image input and one float32 vector output."""

    def __init__(self, flatbuffer: bytes, batch_size: int, threads: int, precision: str):
        import openvino

        core = openvino.Core()
        if precision == "bf16" and BF16 not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise ValueError("this processor has no bf16 instructions (AVX512_BF16 or AMX)")
        with tempfile.TemporaryDirectory(prefix="embed-images-") as folder:
            path = os.path.join(folder, "model.tflite")  # models in memory are read in OpenVINO's own format only
            with open(path, "wb") as file:
                file.write(flatbuffer)
            model = core.read_model(path)
        model.reshape([batch_size, *model.input().partial_shape[1:]])
        # Said outright: f32 is not the default where the processor has bf16.
        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
        self._model = core.compile_model(model, "CPU", settings)

    def __call__(self, pixels: np.ndarray) -> np.ndarray:
        request = self._model.create_infer_request()  # one for each call, so that threads may share the model
        (vectors,) = request.infer([pixels]).values()
        result: np.ndarray = np.array(vectors)
        return result
