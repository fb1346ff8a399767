"""The vector of an image that is asked about: from the model of a run, and as that run would have made it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from pipeline.errors import ModelError, RunError
from pipeline.model.feature_model import FeatureModel
from pipeline.model.fidelity import run_engine
from pipeline.model.handles import resolve
from pipeline.model.prepare import prepare_model
from pipeline.model.quantization import quantized_before
from pipeline.model.sealing import digest_of
from pipeline.outputs.history import PublishedRun, generation_of
from pipeline.runs.head import preprocessing_of
from pipeline.vectors.pictures import UnreadableError, decoded, read_images
from transforms.elements import ImageObject
from transforms.images import simd
from transforms.stores import storage
from transforms.stores.fetching import Policy
from transforms.stores.secrets import redacted


def embed_as(run: PublishedRun, output: str, image: str, *, model: str = "", trust: bool = False) -> np.ndarray:
    """The vector of an image that can be compared with those of a run: float32 [features].

    The image is read before the model is, so that a broken one is refused at once.

    Args:
        output: of the run.
        image: a file or a URI, of any kind that inputs may name.
        model: where the run's module lies; "" for where the run had it from.
        trust: whether to run a module whose graph does more than compute, see `prepare_model`.

    Raises:
        RunError: the image cannot be read, or this program prepares pixels in another way than the run did.
        ModelError: the module is not there, is another one, or cannot run here.
    """
    _check_preprocessing(run)
    uri = storage.normalize(image)
    try:
        (encoded,) = read_images([ImageObject(uri)], Policy())
        pixels = decoded(encoded, _input_size(run), _resize(run)).pixels
    except UnreadableError as e:
        raise RunError(f"{redacted(uri)}: {e}") from None
    ready = _model_of(run, output, model, trust)
    vector: np.ndarray = run_engine(ready, pixels[None])[0]
    if not np.isfinite(vector).all():
        raise RunError(f"{redacted(uri)}: the model gives it a vector with values that are not finite")
    return vector


def _check_preprocessing(run: PublishedRun) -> None:
    if sentence := simd.missing(_resize(run)):
        raise RunError(f"{run.folder}: {sentence}")
    was = run.manifest["preprocessing"]
    now = preprocessing_of(_resize(run))
    if was != now:
        wrote = run.manifest.get("versions", {}).get("embed-images", "of another version")
        differing = [name for name in {**now, **was} if now.get(name) != was.get(name)]
        told = ", ".join(f"{name} {was.get(name)!r}, here {now.get(name)!r}" for name in differing)
        raise RunError(
            f"{run.folder}: its images were prepared in another way than this program's ({told}), so a new vector "
            f"cannot be compared with its own; search with the embed-images that wrote it, {wrote}"
        )


def _model_of(run: PublishedRun, output: str, handle: str, trust: bool) -> FeatureModel:
    """The module of a run, ready to run, and proven to be that one."""
    made_by: Mapping[str, Any] = run.manifest["model"]
    named = handle or str(made_by["handle"])
    try:
        digest = digest_of(resolve(named))
    except ModelError as e:
        raise ModelError(f"{e}; --model names where the module of run {run.run_id} lies now") from None
    if digest != made_by["digest"]:
        raise ModelError(
            f"{named}: its digest is {digest[:12]}…, that of the module of run {run.run_id} is "
            f"{made_by['digest'][:12]}…: vectors of two modules cannot be compared; --model names where the run's lies"
        )
    generation, int8 = run.generation, made_by["precision"] == "int8"
    ready = prepare_model(
        named,
        made_by["engine"],
        _input_size(run),
        made_by["precision"],
        signature=generation.get("signature"),
        output_name=generation.get("output_name"),
        trust=trust,
        quantize=partial(quantized_before, storage.normalize(output), _resize(run)) if int8 else None,
    )
    now = generation_of(ready, run.manifest["preprocessing"])
    if int8 and ready.artifact_sha256 != made_by.get("artifact_sha256"):
        raise ModelError(f"{output}: its int8 artifact is another one than that of run {run.run_id}")
    if now != generation:
        differing = ", ".join(name for name in now if now[name] != generation.get(name))
        raise ModelError(f"{named}: it gives vectors that cannot be compared with run {run.run_id}'s ({differing})")
    return ready


def _resize(run: PublishedRun) -> str:
    return str(run.manifest["preprocessing"].get("resize"))


def _input_size(run: PublishedRun) -> tuple[int, int]:
    """(height, width).

    Raises:
        RunError: its manifest does not tell.
    """
    match run.generation.get("input_size"):
        case [int(height), int(width)] if min(height, width) > 0 and max(height, width) <= 1 << 13:
            return height, width
    raise RunError(f"{run.folder}: its manifest tells no input size of the model")
