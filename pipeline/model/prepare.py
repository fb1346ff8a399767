"""From a model handle to the artifact that workers load: resolve, digest, convert once, measure.

Workers never see the handle: they load the artifact from the run's staging folder, so a thousand
workers are one download.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.errors import ModelError
from pipeline.model.cache import cached, is_installed, version_of
from pipeline.model.conversion import CONVERSION_VERSION, ConversionError, convert
from pipeline.model.feature_model import FeatureModel
from pipeline.model.fidelity import check_parity, measured_parity
from pipeline.model.handles import digest_of, resolve
from pipeline.model.sampling import Sample, procedural_sample
from transforms.engines import PACKAGES

# What `--engine auto` takes on CPUs, by precision.
AUTO_ENGINE = {"f32": "litert", "bf16": "openvino", "int8": "litert"}
REFUSAL = "refusal.txt"


def prepare_model(
    handle: str,
    engine: str,
    input_size: tuple[int, int] | None = None,
    precision: str = "f32",
    *,
    here: bool = True,
    sample: Callable[[tuple[int, int]], Sample] = procedural_sample,
    quantize: Callable[[FeatureModel, Sample], tuple[str, str]] | None = None,
    min_parity: float = 0.0,
) -> FeatureModel:
    """Resolves a handle, makes, or finds in the cache, the artifact of an engine, and measures its vectors.

    Args:
        handle: a hub URL, a SavedModel folder or .tar.gz (local or of any fsspec store), or
            `handles.STANDIN_HANDLE`.
        engine: one of `engines.PRECISIONS`, or "auto": for f32, tensorflow where there is a GPU and the
            pipeline works here, else litert when the module converts and agrees, else tensorflow; openvino
            for bf16, litert for int8.
        input_size: (height, width), for modules whose signature leaves it open.
        precision: of the computation.
        here: whether this machine, whose GPU "auto" looks for, is the one that works.
        sample: gives images of an input size, to measure with.
        quantize: gives path and sha256 of the int8 artifact of a model.
        min_parity: the least mean cosine to the module's vectors, for precisions below f32.

    Raises:
        ModelError: no such module, one that cannot be used, or vectors too far from the module's.
    """
    saved_model = resolve(handle)
    digest = digest_of(saved_model)

    def ready(engine: str) -> FeatureModel:
        if not is_installed(PACKAGES[engine]):
            raise ModelError(f"engine {engine} is not installed: pip install 'embed-images[{engine}]'")
        model = _artifact(handle, saved_model, digest, engine, precision, input_size)
        images = sample(model.input_size)
        if quantize is not None:
            path, sha256 = quantize(model, images)
            model = replace(model, artifact=path, artifact_sha256=sha256)
        parity = measured_parity(model, images)
        check_parity(model, parity, min_parity)
        return replace(model, parity=parity)

    if engine != "auto":
        return ready(engine)
    if precision != "f32":
        return ready(AUTO_ENGINE[precision])
    if here and has_gpu():
        return ready("tensorflow")
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


def _artifact(
    handle: str, saved_model: Path, digest: str, engine: str, precision: str, input_size: tuple[int, int] | None
) -> FeatureModel:
    """The artifact from the cache, where it is converted once per module, engine and version.

    That an engine cannot convert the module is kept there, too: finding out may take minutes.
    """
    size = "x".join(map(str, input_size)) if input_size else "own-size"
    recipe = f"v{CONVERSION_VERSION}-tf{version_of('tensorflow')}-{PACKAGES[engine]}{version_of(PACKAGES[engine])}"

    def build(folder: Path) -> None:
        try:
            conversion = convert(saved_model, handle, engine, precision, input_size)
        except ConversionError as e:
            folder.mkdir(parents=True)
            (folder / REFUSAL).write_text(e.reason)
            return
        folder.mkdir(parents=True)
        (folder / "artifact").write_bytes(conversion.artifact)
        facts = {
            "sha256": hashlib.sha256(conversion.artifact).hexdigest(),
            "input_size": conversion.input_size,
            "feature_dim": conversion.feature_dim,
        }
        (folder / "facts.json").write_text(json.dumps(facts))

    key = f"artifacts/{digest[:32]}-{engine}-{'f32' if precision == 'int8' else precision}-{size}-{recipe}"
    folder = cached(key, build)
    if (folder / REFUSAL).exists():
        raise ConversionError(handle, (folder / REFUSAL).read_text())
    facts = _facts(folder)
    if not facts:  # damaged, by a full disk or a hand: made anew
        shutil.rmtree(folder, ignore_errors=True)
        folder = cached(key, build)
        facts = _facts(folder)
    return FeatureModel(
        handle=handle,
        digest=digest,
        engine=engine,
        precision=precision,
        input_size=(facts["input_size"][0], facts["input_size"][1]),
        feature_dim=facts["feature_dim"],
        artifact_sha256=facts["sha256"],
        parity={},
        artifact=str(folder / "artifact"),
        saved_model=str(saved_model),
    )


def _facts(folder: Path) -> dict[str, Any]:
    """What was learnt when an artifact was made; empty when the folder is not what was written there."""
    try:
        facts: dict[str, Any] = json.loads((folder / "facts.json").read_text())
        whole = hashlib.sha256((folder / "artifact").read_bytes()).hexdigest() == facts["sha256"]
    except (OSError, ValueError, KeyError):
        return {}
    return facts if whole else {}
