"""embed-images export: vectors of an output as files of another format, or in a vector database."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import apache_beam as beam
from apache_beam.transforms.combiners import Count

from pipeline import __version__
from pipeline.console.logs import logger, tell
from pipeline.errors import RunError
from pipeline.jobs.submitting import name_job
from pipeline.options.beam import check_secrets, job_endpoint_of, runner_of, runner_options, runs_here, works_locally
from pipeline.options.config import ExportConfig
from pipeline.outputs.exports import PublishedExport, current_export, published_export
from pipeline.outputs.history import PublishedRun, all_ledgers_of
from pipeline.outputs.selection import columns_to_read, runs_to_read
from pipeline.runs.elsewhere import execute_unheld
from pipeline.runs.launching import check_endpoint, check_scratch, enclosing_output, launching
from pipeline.runs.phases import Phases
from pipeline.runs.running import execute
from transforms.compacting import CountRecords, SelectLatest
from transforms.exporting import ExportDeleted, ExportShards, PublishExport, SpreadColumns
from transforms.exports.formats import FORMATS
from transforms.records import exports, layout
from transforms.records.uris import UNITS_HERE, UNITS_ON_CLUSTERS
from transforms.stores import filesystems, secrets, storage

if TYPE_CHECKING:
    from transforms.exports.qdrant import Target


def export(config: ExportConfig) -> PublishedExport:
    """Exports the newest vector of every image that is not gone, or of those, too, or the vectors of one run.

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
        runs = runs_to_read(config.output, config.run_id)
        columns = columns_to_read(runs, config.columns, config.output)
        current = _current(config)
        wanted = _wanted(config, runs, list(columns))
        target = None
        if config.database:
            target, points = _prepared(config, runs[-1].manifest["model"]["feature_dim"], runs_here(options))
            current = _still_held(current, wanted, points)
        again = config.complete and current and (current.by_changes or config.database)
        if current and current.manifest["identity"]["of"] == wanted and not again:
            logger.info("%s is exported already: nothing to do", current.folder)
            return current
        base = None if config.complete else _base(wanted, current)
        identity = {"of": wanted, "base": base.manifest["export"] if base else ""}
        head = _head(config, runs, columns, identity, started, runner_of(options))
        name_job(options, f"export-{runs[-1].run_id}")
        pipeline = beam.Pipeline(options=options)
        units = UNITS_HERE if works_locally(options) else UNITS_ON_CLUSTERS
        build(pipeline, config, runs, head, base, current, target, units)
    told = {"output": config.output, "to": config.to, "format": config.format, "runs": len(runs)}
    number = f"{len(runs)} run{'' if len(runs) == 1 else 's'}"
    tell("start", told, "exporting %s of %s as %s to %s", number, config.output, config.format, config.to)
    if works_locally(options):
        with Phases().show_graph("export", processes=not runs_here(options)):
            execute(pipeline)
    else:
        execute_unheld(pipeline, options)
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
    target: Target | None = None,
    units: int = UNITS_HERE,
) -> None:
    """Adds an export to a pipeline: select the newest records, write those of each shard, publish.

    Args:
        base: the export whose changes are exported; None for all there is.
        current: the export whose files may be taken over.
        target: the collection that vectors go into, of a format that is a database.
        units: see `SelectLatest`.
    """
    stores, folder = config.storage_options, storage.join(config.to, head["export"])
    after = -1 if base is None else len(base.manifest["runs"]) - 1
    columns = [(entry["feature"], entry["kind"]) for entry in head["columns"]]
    told = [*(("uri", "version") if target else ()), *(("columns",) if columns else ())]
    latest = pipeline | "SelectLatest" >> SelectLatest(
        all_ledgers_of(runs), stores, after, told, units, config.keep_deleted
    )
    feature_dim = head["model"]["feature_dim"]
    selected = latest.records | "CountSelected" >> CountRecords()
    spreads = latest.records | "SpreadColumns" >> SpreadColumns([name for name, _ in columns])
    records = {"records": latest.records, "spreads": spreads}
    publish = PublishExport(config.to, head, stores)
    if target is not None:
        from transforms.upserting import StorePoints

        # What is known to be gone is deleted by a complete export, too: the collection may hold it.
        store = StorePoints(target, feature_dim, columns, stores)
        stored = {**records, "deleted": latest.deleted} | "StorePoints" >> store
        gone = latest.deleted | "CountDeleted" >> Count.Globally()
        _ = {"stored": stored, "selected": selected, "gone": gone} | "PublishExport" >> publish
        return
    shards = ExportShards(
        folder,
        config.format,
        feature_dim,
        columns,
        {run.run_id: run.manifest["attempt"] for run in runs},
        current.reusable if current else {},
        stores,
    )
    files = records | "ExportShards" >> shards
    gone = pipeline | "NothingGone" >> beam.Create([0])
    if base is not None:
        gone = latest.deleted | "CountDeleted" >> Count.Globally()
        deleted = latest.deleted | "ExportDeleted" >> ExportDeleted(folder, config.format, stores)
        files = (files, deleted) | "AllFiles" >> beam.Flatten()
    inputs = {"files": files, "selected": selected, "gone": gone}
    _ = inputs | "PublishExport" >> publish


def _prepared(config: ExportConfig, feature_dim: int, here: bool) -> tuple[Target, int]:
    """The collection, which is made where there is none, and how many points it holds.

    Raises:
        RunError: it cannot hold these vectors, or workers elsewhere cannot reach it.
    """
    from transforms.exports import qdrant

    secrets.remember(os.environ.get(qdrant.API_KEY, ""))
    if not here and "://" not in config.database:
        raise RunError(
            f"--database: {config.database} is a folder, which Qdrant's embedded engine opens for one process; give "
            f"the URL of a server"
        )
    target = qdrant.Target(config.database, config.collection)
    try:
        return target, qdrant.prepare(target, feature_dim)
    except qdrant.CollectionError as e:
        raise RunError(f"--collection: {e}; give another name") from None


def _still_held(current: PublishedExport | None, wanted: Mapping[str, Any], points: int) -> PublishedExport | None:
    """The current export, but where its collection has lost points since, as one that was made anew."""
    if current is None:
        return None
    was = current.manifest["identity"]["of"]
    same = all(was.get(name) == wanted[name] for name in ("database", "collection"))
    held = current.manifest.get("counts", {}).get("points", 0)
    if not same or points >= held:
        return current
    logger.warning("all is exported: the collection holds %d points, and %d after the last export", points, held)
    return None


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


def _wanted(config: ExportConfig, runs: Sequence[PublishedRun], columns: list[str]) -> dict[str, Any]:
    """What an export is of, so that it is known again."""
    return {
        "output": secrets.identified(config.output),
        "format": config.format,
        "run_id": config.run_id,
        "runs": [_signed(run) for run in runs],
        "columns": columns,
        **({"keep_deleted": True} if config.keep_deleted else {}),
        **_place(config, secrets.identified),
    }


def _place(config: ExportConfig, shown: Callable[[str], str]) -> dict[str, str]:
    """Which collection of which database, of a format that is one."""
    return {"database": shown(config.database), "collection": config.collection} if config.database else {}


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
        **_place(config, secrets.redacted),
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
