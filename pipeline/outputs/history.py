"""The published runs of an output in the order of time, and the generations of vectors that they are of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.console.logs import logger
from pipeline.errors import RunError
from pipeline.outputs import dataset
from transforms.compacting import RunLedger
from transforms.history import LedgerFile
from transforms.records import documents, layout
from transforms.records.columns import Column
from transforms.records.output_error import OutputError
from transforms.stores import storage

if TYPE_CHECKING:
    from pipeline.model.feature_model import FeatureModel

AFTER = timedelta(milliseconds=1)  # so that a compaction, one microsecond after its newest run, still lies between


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


def published_runs(output: str, *, all_of_them: bool) -> list[PublishedRun]:
    """The runs of an output, the one whose listing is newest last.

    Args:
        all_of_them: whether a run that cannot be read would be missed; else it is passed over, and named in the log.

    Raises:
        OutputError: a run cannot be read, and would be missed.
    """
    with ThreadPoolExecutor(dataset.READERS) as readers:
        found = list(readers.map(partial(_read_run, output), dataset.run_ids(output)))
    for run in found:
        if isinstance(run, OutputError):
            if all_of_them:
                raise OutputError(f"{run}; without that run images would be missed: mend it, or move its folder away")
            logger.warning("passed over: %s", run)
    runs = [run for run in found if isinstance(run, PublishedRun)]
    return sorted(runs, key=lambda run: (run.manifest["as_of"], run.run_id))


def _read_run(output: str, run_id: str) -> PublishedRun | OutputError:
    folder = layout.run_folder(output, run_id)
    try:
        return PublishedRun(folder, documents.read_manifest(folder, run_id))
    except FileNotFoundError:
        return OutputError(f"{folder}: it has {layout.SUCCESS} and no {layout.MANIFEST}")
    except OutputError as e:
        return OutputError(str(e))  # itself it would keep, by its traceback, all that was read


def place_in_time(started: datetime, runs: Sequence[PublishedRun]) -> datetime:
    """Where a run stands in the order of time: when its launcher started, but after all that are published by then.

    A launcher's clock may be behind those of others, or have been turned back; the order may not.
    """
    if not runs or (newest := datetime.fromisoformat(runs[-1].manifest["as_of"])) < started:
        return started
    logger.warning(
        "the clock of this machine says %s, but the newest run, %s, is of %s: this run is placed right after it; "
        "if the clock is wrong, set it",
        layout.timestamp(started, "seconds"), runs[-1].run_id, layout.timestamp(newest, "seconds"),
    )  # fmt: skip
    return newest + AFTER


def generation_of(model: FeatureModel, preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    """What two vectors must have in common to be compared: module, its output, class of precision, preprocessing.

    Engines in f32 agree, so they are one class. In bf16 they round other things, so that of tensorflow is not that of
    openvino. Every int8 artifact is calibrated anew, so each is its own.
    """
    precision = model.precision
    if precision == "int8":
        precision += f" {model.artifact_sha256[:16]}"
    elif (precision, model.engine) == ("bf16", "tensorflow"):
        precision += " tensorflow"
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


def settle_columns(columns: Sequence[Column], runs: Sequence[PublishedRun]) -> list[Column]:
    """The columns of a run, of the kinds that they have in earlier ones: no reader could read both otherwise.

    A column of whose values the first rows hold none is, where no run has it, one of text.

    Raises:
        RunError: a column is of another kind in an earlier run; the message says which.
    """
    earlier = {
        entry["feature"]: (entry["kind"], run.run_id) for run in runs for entry in run.manifest.get("columns", [])
    }
    settled = []
    for column in columns:
        kind, run_id = earlier.get(column.feature, ("text", ""))
        if run_id and column.kind not in ("", kind):
            raise RunError(
                f"--columns: {column.feature!r} is {kind} in run {run_id} of the output, and would be {column.kind}; "
                f"--columns {column.name}:{kind} keeps it so, and {column.name}=NAME is another feature"
            )
        settled.append(column._replace(kind=column.kind or kind))
    return settled


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


def all_ledgers_of(runs: Sequence[PublishedRun]) -> list[RunLedger]:
    """The ledgers of runs of one generation, for `SelectLatest`: of all of them, compactions as well."""
    return [
        RunLedger(storage.join(run.folder, ledger["path"]), run.folder, number)
        for number, run in enumerate(runs)
        for ledger in run.manifest["ledgers"]
    ]


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text[:12] + "…" if len(text) == 64 else text
