"""How near an engine's vectors come to the untouched module's, on images of the run itself."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import ModelError
from pipeline.model.cache import version_of
from pipeline.model.conversion import OTHER_ENGINE, first_line, reference_vectors
from pipeline.model.feature_model import FeatureModel
from pipeline.model.sampling import Probes, Sample
from pipeline.model.sealing import sealed
from pipeline.model.signatures import Wanted
from transforms.engines import PACKAGES, load_engine
from transforms.records.directions import unit

MIN_COSINE_F32 = 0.9999
PROBE_BATCH = 8
# Raise it when the same vectors would be measured otherwise.
PARITY_VERSION = 1
PARITY, PROBES = "parity.json", "probes.json"
FIGURES = ("min_cosine", "mean_cosine", "max_relative_error", "neighbour_agreement")


def measured_parity(model: FeatureModel, sample: Sample) -> dict[str, Any]:
    """The parity of a model on the probes of a sample, from the cache where these were measured before.

    TensorFlow is needed, for the module itself, when they were not; and the probes, when nothing was measured on them.

    Returns:
        `measure_parity`'s, with "images", the source of the probes, and "count", their number.

    Raises:
        ModelError: the engine cannot run the model here.
    """

    def measured(facts: list[Any]) -> dict[str, Any]:
        def build(folder: Path) -> None:
            if facts != _facts_of(sample.probes):
                raise _OtherProbesError
            pixels, source = sample.probes
            wanted = Wanted(model.signature, model.output_name)
            expected = reference_vectors(Path(model.saved_model), model.handle, pixels, wanted)
            parity = measure_parity(expected, run_engine(model, pixels))
            folder.mkdir(parents=True)
            (folder / PARITY).write_text(json.dumps({"images": source, "count": len(pixels), **parity}))

        made_of = {
            "version": PARITY_VERSION,
            "module": [model.digest, model.signature, model.output_name],
            "artifact": model.artifact_sha256,
            "engine": [model.engine, model.precision, processor()],
            "packages": {name: version_of(name) for name in ("tensorflow", "numpy", PACKAGES[model.engine])},
            "probes": facts,
        }
        return sealed("parity", made_of, build, _read_parity)

    try:
        return measured(_known_facts_of(sample))
    except _OtherProbesError:  # some came late, or were late when the facts were kept
        return measured(_facts_of(sample.probes))


class _OtherProbesError(Exception):
    """The probes are not what was kept of them."""


def _known_facts_of(sample: Sample) -> list[Any]:
    """Of the probes of a sample, which are not loaded where this is kept."""
    if sample.depends is None:
        return _facts_of(sample.probes)

    def build(folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / PROBES).write_text(json.dumps(_facts_of(sample.probes)))

    return sealed("probes", sample.depends, build, _read_facts)


def _facts_of(probes: Probes) -> list[Any]:
    """By which probes are told from others."""
    return [probes.source, [*probes.pixels.shape], hashlib.sha256(probes.pixels.tobytes()).hexdigest()]


def _read_facts(folder: Path) -> list[Any]:
    facts: list[Any] = json.loads((folder / PROBES).read_text())
    source, shape, sha256 = facts
    if source not in ("input", "procedural") or len(shape) != 4 or len(sha256) != 64:
        raise ValueError("no facts of probes")
    return facts


def _read_parity(folder: Path) -> dict[str, Any]:
    parity: dict[str, Any] = json.loads((folder / PARITY).read_text())
    if set(parity) != {"images", "count", *FIGURES} or not all(isinstance(parity[name], float) for name in FIGURES):
        raise ValueError("no parity")
    return parity


def processor() -> str:
    """What the processor can compute with, in few letters: engines choose their kernels by it, and some have none."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            flags = next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        flags = platform.processor()
    return f"{platform.machine()}-{hashlib.sha256(flags.encode()).hexdigest()[:16]}"


def check_parity(model: FeatureModel, parity: Mapping[str, Any], min_parity: float) -> None:
    """Refuses f32 below a min cosine of `MIN_COSINE_F32`, other precisions below a mean cosine of `min_parity`.

    Raises:
        ModelError: says what was measured.
    """
    of = "images of the input" if parity["images"] == "input" else "procedural images"
    measured = (
        f"{model.handle}: engine {model.engine} in {model.precision} gives vectors of"
        f" {{}} cosine {{:.6f}} to the module's own on {parity['count']} {of}"
    )
    if model.precision == "f32":
        if not parity["min_cosine"] >= MIN_COSINE_F32:
            least = measured.format("least", parity["min_cosine"])
            raise ModelError(f"{least}, at least {MIN_COSINE_F32} is needed; {OTHER_ENGINE}")
    elif not parity["mean_cosine"] >= min_parity:
        mean = measured.format("mean", parity["mean_cosine"])
        raise ModelError(f"{mean}; --min_parity asks for {min_parity}, and --precision f32 is exact")


def run_engine(model: FeatureModel, pixels: np.ndarray) -> np.ndarray:
    """float32 [N, D] of uint8 [N, height, width, 3], through a model's engine on this machine.

    Raises:
        ModelError: it cannot run here.
    """
    try:
        engine = load_engine(model.engine, Path(model.artifact).read_bytes(), PROBE_BATCH, precision=model.precision)
        return engine(pixels)
    except (RuntimeError, ValueError) as e:
        reason = f"engine {model.engine} cannot run it in {model.precision} here ({first_line(e)})"
        raise ModelError(f"{model.handle}: {reason}; {OTHER_ENGINE}") from e


def measure_parity(expected: np.ndarray, actual: np.ndarray) -> dict[str, float]:
    """Agreement of two float [N, D] arrays, row by row; a zero vector agrees with a zero vector only.

    Returns:
        "min_cosine" and "mean_cosine"; "max_relative_error", the largest difference by the largest value
        expected; "neighbour_agreement", the share of rows whose nearest other row, by cosine, stays the same.
    """
    x, y = expected.astype(np.float64), actual.astype(np.float64)
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    same = (x == y).all(axis=1)
    cosines = np.where(same, 1.0, (x * y).sum(axis=1) / np.where(norms == 0, 1.0, norms))
    scale = float(np.abs(x).max()) or 1.0
    return {
        "min_cosine": float(cosines.min()),
        "mean_cosine": float(cosines.mean()),
        "max_relative_error": float(np.abs(x - y).max() / scale),
        "neighbour_agreement": float((nearest_others(x) == nearest_others(y)).mean()),
    }


def nearest_others(vectors: np.ndarray) -> np.ndarray:
    """int [N]: for each row of float [N, D] the other row of the largest cosine; itself where N is 1."""
    directions = unit(vectors)
    similarity = directions @ directions.T
    np.fill_diagonal(similarity, -np.inf)
    nearest: np.ndarray = similarity.argmax(axis=1)
    return nearest
