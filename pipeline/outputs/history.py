"""The published runs of an output in the order of time, and the generations of vectors that they are of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.errors import RunError
from pipeline.outputs import dataset
from transforms.history import LedgerFile
from transforms.records import layout
from transforms.stores import storage

if TYPE_CHECKING:
    from pipeline.model.feature_model import FeatureModel


class PublishedRun(NamedTuple):
    """Attributes:
    folder: where its files lie.
    manifest: its run.json.
    """

    folder: str
    manifest: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        return str(self.manifest["run_id"])

    @property
    def generation(self) -> Mapping[str, Any]:
        generation: Mapping[str, Any] = self.manifest["generation"]
        return generation

    @property
    def compacted(self) -> Sequence[str]:
        """Ids of the runs that it is a compaction of; empty of an ordinary run."""
        compacted: Sequence[str] = self.manifest["identity"].get("compacted", ())
        return compacted


def published_runs(output: str) -> list[PublishedRun]:
    """The runs of an output, the one whose listing is newest last."""
    folders = [layout.run_folder(output, run_id) for run_id in dataset.run_ids(output)]
    with ThreadPoolExecutor(dataset.READERS) as readers:
        manifests = list(readers.map(dataset.read_manifest, folders))
    runs = [PublishedRun(folder, manifest) for folder, manifest in zip(folders, manifests, strict=True)]
    return sorted(runs, key=lambda run: (run.manifest["as_of"], run.run_id))


def generation_of(model: FeatureModel, preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    """What two vectors must have in common to be compared: module, its output, class of precision, preprocessing.

    Engines in f32 agree, so they are one class; every int8 artifact is calibrated anew, so each is its own.
    """
    precision = f"int8 {model.artifact_sha256[:16]}" if model.precision == "int8" else model.precision
    generation: dict[str, Any] = json.loads(
        json.dumps(
            {
                "model": model.digest,
                "signature": model.signature,
                "output_name": model.output_name,
                "precision": precision,
                "input_size": model.input_size,
                "preprocessing": preprocessing,
            }
        )
    )
    return generation


def check_generation(runs: Sequence[PublishedRun], generation: Mapping[str, Any], *, new_model: bool) -> None:
    """Refuses vectors that cannot be compared with those of the newest run.

    Raises:
        RunError: and not `new_model`.
    """
    if not runs or new_model or runs[-1].generation == generation:
        return
    last = runs[-1].generation
    differing = [name for name in generation if last.get(name) != generation[name]]
    was = ", ".join(f"{name} {_shown(last.get(name))}, now {_shown(generation[name])}" for name in differing)
    raise RunError(
        f"--output: its newest run, {runs[-1].run_id}, has vectors that cannot be compared with these ({was}); "
        f"--new_model starts a new generation in which every image is embedded again, another --output keeps them apart"
    )


def ledgers_of(runs: Sequence[PublishedRun], generation: Mapping[str, Any]) -> list[LedgerFile]:
    """The ledgers of the runs of a generation, but for compactions of runs that are all still there.

    Those know more: a compaction holds no failures.
    """
    there = {run.run_id for run in runs}
    return [
        LedgerFile(storage.join(run.folder, ledger["path"]), number)
        for number, run in enumerate(runs)
        if run.generation == generation and not (run.compacted and there.issuperset(run.compacted))
        for ledger in run.manifest["ledgers"]
    ]


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:12] + "…" if len(text) == 64 else text
