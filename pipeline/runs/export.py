"""embed-images export: vectors of an output as files of another format."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import Any

import apache_beam as beam
from apache_beam.transforms.combiners import Count

from pipeline import __version__
from pipeline.console.logs import logger
from pipeline.errors import RunError
from pipeline.options.beam import check_secrets, job_endpoint_of, runner_of, runner_options, runs_here
from pipeline.options.config import ExportConfig
from pipeline.outputs.exports import PublishedExport, current_export, published_export
from pipeline.outputs.history import PublishedRun
from pipeline.outputs.latest import runs_of_newest_generation
from pipeline.outputs.selection import check_columns, kinds_of, run_of
from pipeline.runs.launching import check_endpoint, check_scratch, enclosing_output, launching
from pipeline.runs.running import execute
from transforms.compacting import RunLedger, SelectLatest
from transforms.exporting import ExportDeleted, ExportShards, PublishExport, SpreadColumns
from transforms.exports.formats import FORMATS
from transforms.records import exports, layout
from transforms.records.arrow import OWN
from transforms.stores import filesystems, secrets, storage


def export(config: ExportConfig) -> PublishedExport:
    """Exports the newest vector of every image that is not gone, or the vectors of one run.

    What was exported before from the same runs is left as it is. Files that would be the same as those of the current
    export are taken over; a format that goes by changes gets the changes since then, where all runs of then are there.

    Raises:
        RunError: nothing was published, and why.
        OutputError: a run, or what lies in the folder, is not what this program writes.
        ConfigError: an argument that Beam does not know.
    """
    started = datetime.now(UTC)
    with launching():
        filesystems.configure(config.storage_options)
        options = runner_options(config.beam_args)
        check_secrets(config.storage_options, options)
        check_endpoint(job_endpoint_of(options))
        check_scratch()
        _check_folder(config)
        if (package := FORMATS[config.format].package) and find_spec(package) is None:
            extra = f"pip install 'embed-images[{config.format}]'"
            raise RunError(f"--format {config.format}: the package {package} is not installed; `{extra}` brings it")
        runs = (
            [run_of(config.output, config.run_id)]
            if config.run_id
            else runs_of_newest_generation(config.output, all_of_them=True)
        )
        kinds = kinds_of(runs)
        columns = list(kinds) if config.columns is None else list(dict.fromkeys(config.columns))
        check_columns(columns, kinds, config.output)
        current = _current(config)
        wanted = _wanted(config, runs, columns)
        if current and current.manifest["identity"]["of"] == wanted and not (config.complete and current.by_changes):
            logger.info("%s is exported already: nothing to do", current.folder)
            return current
        base = None if config.complete else _base(wanted, current)
        identity = {"of": wanted, "base": base.manifest["export"] if base else ""}
        described = {name: kinds.get(name) or OWN[name] for name in columns}
        head = _head(config, runs, described, identity, started, runner_of(options))
        pipeline = beam.Pipeline(options=options)
        build(pipeline, config, runs, head, base, current)
    logger.info("exporting %d runs of %s as %s to %s", len(runs), config.output, config.format, config.to)
    execute(pipeline, shown=runs_here(options))
    published = published_export(storage.join(config.to, head["export"]))
    if published is None:
        raise RunError("the runner says that the job is done, and nothing is published; its logs tell more")
    return published


def build(
    pipeline: beam.Pipeline,
    config: ExportConfig,
    runs: Sequence[PublishedRun],
    head: Mapping[str, Any],
    base: PublishedExport | None,
    current: PublishedExport | None,
) -> None:
    """Adds an export to a pipeline: select the newest records, write those of each shard, publish.

    Args:
        base: the export whose changes are exported; None for all there is.
        current: the export whose files may be taken over.
    """
    stores, folder = config.storage_options, storage.join(config.to, head["export"])
    ledgers = [
        RunLedger(storage.join(run.folder, ledger["path"]), run.folder, number)
        for number, run in enumerate(runs)
        for ledger in run.manifest["ledgers"]
    ]
    after = -1 if base is None else len(base.manifest["runs"]) - 1
    latest = pipeline | "SelectLatest" >> SelectLatest(ledgers, stores, after)
    columns = [(entry["feature"], entry["kind"]) for entry in head["columns"]]
    shards = ExportShards(
        folder,
        config.format,
        head["model"]["feature_dim"],
        columns,
        {run.run_id: run.manifest["attempt"] for run in runs},
        current.reusable if current else {},
        stores,
    )
    spreads = latest.records | "SpreadColumns" >> SpreadColumns([name for name, _ in columns])
    files = {"records": latest.records, "spreads": spreads} | "ExportShards" >> shards
    selected = latest.records | "CountSelected" >> Count.Globally()
    gone = pipeline | "NothingGone" >> beam.Create([0])
    if base is not None:
        gone = latest.deleted | "CountDeleted" >> Count.Globally()
        deleted = latest.deleted | "ExportDeleted" >> ExportDeleted(folder, config.format, stores)
        files = (files, deleted) | "AllFiles" >> beam.Flatten()
    inputs = {"files": files, "selected": selected, "gone": gone}
    _ = inputs | "PublishExport" >> PublishExport(config.to, head, stores)


def _check_folder(config: ExportConfig) -> None:
    """Refuses a folder of an output, where exports would lie among runs."""
    if config.to == config.output or (around := enclosing_output(config.to)):
        where = config.output if config.to == config.output else around
        raise RunError(f"--to: {config.to} lies in the output {where}; give a folder of its own")


def _current(config: ExportConfig) -> PublishedExport | None:
    """Raises RunError when the folder has exports of another kind."""
    current = current_export(config.to)
    if current and current.manifest["format"] != config.format:
        held = current.manifest["format"]
        raise RunError(f"--to: {config.to} holds exports as {held}; give each format a folder of its own")
    return current


def _wanted(config: ExportConfig, runs: Sequence[PublishedRun], columns: Sequence[str]) -> dict[str, Any]:
    """What an export is of, so that it is known again."""
    return {
        "output": secrets.identified(config.output),
        "format": config.format,
        "run_id": config.run_id,
        "runs": [_signed(run) for run in runs],
        "columns": list(columns),
    }


def _base(wanted: Mapping[str, Any], current: PublishedExport | None) -> PublishedExport | None:
    """The export whose changes are enough, of a format that goes by changes: of runs that are the first of these."""
    if current is None or not FORMATS[wanted["format"]].by_changes:
        return None
    was = current.manifest["identity"]["of"]
    if was == {**wanted, "runs": wanted["runs"][: len(was["runs"])]}:
        return current
    logger.warning(
        "all is exported: %s is of other runs or columns, so its changes would not be enough", current.folder
    )
    return None


def _signed(run: PublishedRun) -> str:
    """A run id may be used anew when its run was removed."""
    return f"{run.run_id} {run.manifest['attempt']}"


def _head(
    config: ExportConfig,
    runs: Sequence[PublishedRun],
    kinds: Mapping[str, str],
    identity: Mapping[str, Any],
    started: datetime,
    runner: str,
) -> dict[str, Any]:
    """What _EXPORT says besides results."""
    newest = runs[-1].manifest
    return {
        "schema_version": exports.SCHEMA_VERSION,
        "export": f"{runs[-1].run_id}-{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:8]}",
        "format": config.format,
        "output": secrets.redacted(config.output),
        "runs": [run.run_id for run in runs],
        "complete": not identity["base"],
        "identity": identity,
        "generation": newest["generation"],
        "model": newest["model"],
        "preprocessing": newest["preprocessing"],
        "columns": [{"feature": name, "kind": kind} for name, kind in kinds.items()],
        "beam": {"version": beam.__version__, "runner": runner},
        "versions": {"embed-images": __version__},
        "started": layout.timestamp(started, "seconds"),
    }
