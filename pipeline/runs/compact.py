"""embed-images compact: the latest view of an output, rewritten as one run."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import apache_beam as beam
from apache_beam.transforms.combiners import Count

from pipeline.console.logs import logger
from pipeline.errors import RunError
from pipeline.jobs.asking import has_ended_there
from pipeline.jobs.submitting import name_job
from pipeline.options.beam import (
    check_secrets,
    ends_with_launcher,
    job_endpoint_of,
    runner_options,
    runs_here,
    works_locally,
)
from pipeline.options.beam_flags import shown_flags
from pipeline.options.config import CompactConfig
from pipeline.outputs.history import PublishedRun, all_ledgers_of
from pipeline.outputs.latest import runs_of_newest_generation
from pipeline.outputs.lease import lease
from pipeline.runs.elsewhere import execute_elsewhere
from pipeline.runs.launching import check_endpoint, check_output, check_scratch, launching
from pipeline.runs.phases import Phases
from pipeline.runs.resuming import note_attempt
from pipeline.runs.running import RunReport, at_work, execute, report_of
from transforms.compacting import ReadRecords, SelectLatest
from transforms.history import EMBED, SELECTED
from transforms.holding import HoldLease
from transforms.publishing import PublishRun
from transforms.records import layout, removal
from transforms.records.leases import Lease
from transforms.stores import filesystems, storage
from transforms.writing import WriteShards


def compact(config: CompactConfig) -> RunReport:
    """Rewrites the newest vector of every image, but for deleted ones, as one run.

    The old runs stay; with the new run published they may be removed, unless a reader still needs them. An image that
    failed has no vector and so no place in the new run.

    Raises:
        RunError: nothing was published, and why.
        ConfigError: an argument that Beam does not know.
    """
    output, run_id = config.output, config.run_id
    started, attempt = datetime.now(UTC), uuid.uuid4().hex
    with ExitStack() as held:
        with launching():
            filesystems.configure(config.storage_options)
            options = runner_options(config.beam_args)
            check_secrets(config.storage_options, options)
            check_endpoint(job_endpoint_of(options))
            check_scratch()
            runs = runs_of_newest_generation(output, all_of_them=True)
            if storage.exists(storage.join(layout.run_folder(output, run_id), layout.SUCCESS)):
                raise RunError(f"--run_id: {run_id!r} is published in {output} already; give another one")
            check_output(output, run_id)
            name_job(options, run_id)
            ended = partial(has_ended_there, options=options)
            hold = held.enter_context(lease(output, run_id, attempt, here=ends_with_launcher(options), has_ended=ended))
        logger.info("compacting %d runs of %s into run %s", len(runs), output, run_id)
        locally, phases = works_locally(options), Phases()
        with at_work(output, run_id, attempt):
            with launching():
                removal.remove_unpublished(output, run_id)
                head = compact_head(config, runs, started)
                note_attempt(output, run_id, attempt, {"identity": head["identity"], "generation": head["generation"]})
                pipeline = beam.Pipeline(options=options)
                build(pipeline, config, runs, attempt, head, None if locally else hold.lease)
            if locally:
                execute(pipeline, shown=runs_here(options))
        if not locally:
            execute_elsewhere(pipeline, options, hold, phases, wait=True)
        return report_of(output, run_id, phases)


def build(
    pipeline: beam.Pipeline,
    config: CompactConfig,
    runs: Sequence[PublishedRun],
    attempt: str,
    head: dict[str, Any],
    renewed: Lease | None = None,
) -> None:
    """Adds a compaction to a pipeline: select the newest rows, read their records, write and publish."""
    stores = config.storage_options
    staging = layout.staging_folder(config.output, config.run_id, attempt)
    wanted = (pipeline | "SelectLatest" >> SelectLatest(all_ledgers_of(runs), stores)).records
    staged = (
        wanted
        | "ReadRecords" >> ReadRecords(stores)
        | "HoldLease" >> HoldLease(renewed, stores)
        | "WriteShards" >> WriteShards(staging, config.shard_size, config.compression, stores)
    )
    # Counted apart from the records: publishing refuses when the two do not agree.
    count = wanted | "CountSelected" >> Count.Globally()
    decisions = count | "Decisions" >> beam.FlatMap(lambda number: [(EMBED, number), (SELECTED, number)])
    _ = {"staged": staged, "decisions": decisions} | "PublishRun" >> PublishRun(
        config.output, config.run_id, config.compression, 0.0, head, attempt, stores, renewed
    )


def compact_head(config: CompactConfig, runs: Sequence[PublishedRun], started: datetime) -> dict[str, Any]:
    """What the manifest says besides results: the newest run's, and which runs were compacted.

    The run is placed right after the newest of them in the order of time, so that a run that was at work meanwhile
    stays newer than it.
    """
    newest = runs[-1].manifest
    as_of = datetime.fromisoformat(newest["as_of"]) + timedelta(microseconds=1)
    kept = ("schema_version", "generation", "model", "preprocessing", "beam", "versions")
    return {
        **{name: newest[name] for name in kept},
        "run_id": config.run_id,
        "started": layout.timestamp(started, "seconds"),
        "as_of": layout.timestamp(as_of, "microseconds"),
        "identity": {"compacted": [run.run_id for run in runs]},
        "compression": config.compression,
        "columns": list(
            {entry["feature"]: entry for run in runs for entry in run.manifest.get("columns", [])}.values()
        ),
        "config": {
            "output": config.output,
            "run_id": config.run_id,
            "shard_size": config.shard_size,
            "beam_args": shown_flags(config.beam_args),
        },
    }
