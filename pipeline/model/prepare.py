"""From a model handle to the artifact that workers load: resolve, digest, look at, convert once, measure.

Workers never see the handle: they load the artifact from the run's staging folder, so a thousand
workers are one download.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from pipeline.errors import ModelError
from pipeline.model.artifacts import converted
from pipeline.model.cache import is_installed
from pipeline.model.feature_model import FeatureModel
from pipeline.model.fidelity import check_parity, measured_parity
from pipeline.model.handles import resolve
from pipeline.model.ops import check_ops
from pipeline.model.sampling import Sample, procedural_sample
from pipeline.model.sealing import digest_of
from pipeline.model.signatures import Wanted
from transforms.engines import PACKAGES, PRECISIONS

# What `--engine auto` takes on CPUs, by precision.
AUTO_ENGINE = {"f32": "litert", "bf16": "openvino", "int8": "litert"}


def prepare_model(
    handle: str,
    engine: str,
    input_size: tuple[int, int] | None = None,
    precision: str = "f32",
    *,
    signature: str | None = None,
    output_name: str | None = None,
    trust: bool = False,
    here: bool = True,
    sample: Callable[[tuple[int, int]], Sample] = procedural_sample,
    quantize: Callable[[FeatureModel, Sample], tuple[str, str]] | None = None,
    min_parity: float = 0.0,
) -> FeatureModel:
    """Resolves a handle, makes, or finds in the cache, the artifact of an engine, and measures its vectors.

    Args:
        handle: a hub URL, a SavedModel folder or .tar.gz (local or of any fsspec store), or
            `handles.STANDIN_HANDLE`.
        engine: one of `engines.PRECISIONS`, or "auto": litert for int8; for f32 and bf16 tensorflow where there
            is a GPU and the pipeline works here, else openvino for bf16, and for f32 litert when the module
            converts and agrees, else tensorflow.
        input_size: (height, width), for modules whose signature leaves it open.
        precision: of the computation.
        signature, output_name: of the module, which give the vectors; without them its names must tell.
        trust: whether to run a module whose graph does more than compute, see `ops`.
        here: whether this machine, whose GPU "auto" looks for, is the one that works.
        sample: gives images of an input size, to measure with.
        quantize: gives path and sha256 of the int8 artifact of a model.
        min_parity: the least mean cosine to the module's vectors, for precisions below f32.

    Raises:
        ModelError: no such module, one that cannot be used, or vectors too far from the module's.
    """
    saved_model = resolve(handle)
    digest = digest_of(saved_model)
    check_ops(handle, saved_model, digest, trust=trust)
    wanted = Wanted(signature, output_name, input_size)

    def ready(engine: str) -> FeatureModel:
        if not is_installed(PACKAGES[engine]):
            raise ModelError(f"engine {engine} is not installed: pip install 'embed-images[{engine}]'")
        model = converted(handle, saved_model, digest, engine, precision, wanted)
        images = sample(model.input_size)
        if quantize is not None:
            path, sha256 = quantize(model, images)
            model = replace(model, artifact=path, artifact_sha256=sha256)
        parity = measured_parity(model, images)
        check_parity(model, parity, min_parity)
        return replace(model, parity=parity)

    if engine != "auto":
        return ready(engine)
    if precision in PRECISIONS["tensorflow"] and here and has_gpu():
        return ready("tensorflow")
    if precision != "f32":
        return ready(AUTO_ENGINE[precision])
    try:
        return ready(AUTO_ENGINE[precision])
    except ModelError:
        # Where the module itself is at fault, TensorFlow refuses it as well and says so better.
        return ready("tensorflow")


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU; it is not imported on machines without an NVIDIA device."""
    if not os.path.exists("/dev/nvidia0"):
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
