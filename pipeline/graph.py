"""The way of an image, in Beam: list, select, load, embed, encode, write, publish."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsList

from pipeline.model.feature_model import FeatureModel
from pipeline.options.config import RunConfig
from transforms.adopting import AdoptStaged, without
from transforms.deciding import CONTAINERS, DECISIONS, RECORDS, Selection
from transforms.embedding import EmbedImages
from transforms.encoding import EncodeExamples
from transforms.history import DELETED, SELECTED, LedgerFile, ReadHistory
from transforms.holding import HoldLease
from transforms.inputs.rules import Rules
from transforms.listing import LEFT_OUT, LISTED, ListImages
from transforms.loading import LoadImages
from transforms.publishing import PublishRun
from transforms.records import layout
from transforms.records.columns import Column
from transforms.records.leases import Lease
from transforms.records.uris import UNITS_HERE as UNITS_HERE
from transforms.records.uris import UNITS_ON_CLUSTERS as UNITS_ON_CLUSTERS
from transforms.rewriting import RewriteColumns
from transforms.selecting import REJECTED, SelectImages
from transforms.stores.fetching import Policy
from transforms.writing import WriteContainers, WriteDeadLetters, WriteDeleted, WriteShards


def build(
    pipeline: beam.Pipeline,
    config: RunConfig,
    model: FeatureModel,
    artifact_uri: str,
    attempt: str,
    head: Mapping[str, Any],
    history: Sequence[LedgerFile] = (),
    leftovers: Sequence[str] = (),
    units: int = UNITS_HERE,
    renewed: Lease | None = None,
    columns: Sequence[Column] = (),
) -> None:
    """Adds a run to a pipeline.

    Args:
        artifact_uri: where workers find the artifact of `model`.
        attempt: unique to this pipeline, see `PublishRun`.
        head: what the manifest says besides results, see `PublishRun`.
        history: ledgers of earlier runs whose images are not embedded again.
        units: see `SelectImages`.
        leftovers: ledgers of finished shards of killed attempts, see `AdoptStaged`.
        columns: that are carried, of known kinds.
        renewed: what the workers of a job elsewhere renew, see `HoldLease`.
    """
    listing = listing_of(config, columns, renewed)
    stores, rules = config.storage_options, listing.rules
    writing = config.shard_size, config.compression, stores, config.shard_seconds
    staging = layout.staging_folder(config.output, config.run_id, attempt)

    # Listing runs in the graph: a bucket of millions is never in the launcher's memory.
    listed = pipeline | "Inputs" >> beam.Create(list(config.input)) | "ListImages" >> listing
    # The one shuffle, of uris. From here to WriteShards all is one fused stage: no pixel and no vector
    # is ever serialized.
    rows: dict[str, Any] = {"listed": listed[LISTED]}
    more: list[Any] = []
    if leftovers:
        taken_over = pipeline | "AdoptStaged" >> AdoptStaged(leftovers, config.compression, stores)
        rows["adopted"] = taken_over["past"]
    if history:
        rows["history"] = pipeline | "ReadHistory" >> ReadHistory(history, stores, renewed, bool(rules.columns))
    # With an accelerator, all of that stage is given it: a stage of other workers would be another one.
    hints = {"accelerator": config.accelerator} if config.accelerator else {}
    decided = rows | "SelectImages" >> SelectImages(selection_of(config, rules), units, stores, hints)
    selected = decided[SELECTED]
    if leftovers:
        rejected = AsList(decided[REJECTED])
        more.append(taken_over["staged"] | "LeaveOutRejected" >> beam.FlatMapTuple(without, rejected))
    load = loading_of(config, model.input_size)
    embed = EmbedImages(model.engine, model.precision, artifact_uri, config.batch_size, config.threads, stores)
    loaded, failed_to_load = selected | "LoadImages" >> load.with_resource_hints(**hints)
    embedded, failed_to_embed = loaded | "EmbedImages" >> embed.with_resource_hints(**hints)
    shards = (
        embedded
        | "EncodeExamples" >> EncodeExamples().with_resource_hints(**hints)
        | "HoldLease" >> HoldLease(renewed, stores).with_resource_hints(**hints)
        | "WriteShards" >> WriteShards(staging, *writing).with_resource_hints(**hints)
    )
    dead_letters = (
        (failed_to_load, failed_to_embed)
        | "AllFailed" >> beam.Flatten()
        | "WriteDeadLetters" >> WriteDeadLetters(staging, storage_options=stores)
    )
    if history and rules.columns:
        rewritten = (
            decided[RECORDS]
            | "RewriteColumns" >> RewriteColumns(stores)
            | "WriteRewritten" >> WriteShards(staging, *writing)
        )
        more.append(rewritten)
    deleted = decided[DELETED] | "WriteDeleted" >> WriteDeleted(staging, storage_options=stores)
    containers = decided[CONTAINERS] | "WriteContainers" >> WriteContainers(staging, storage_options=stores)
    left_out = (listed[LEFT_OUT], decided[LEFT_OUT]) | "AllLeftOut" >> beam.Flatten()
    staged = (shards, dead_letters, deleted, containers, *more) | "AllStaged" >> beam.Flatten()
    # Counted apart from the records: publishing refuses when the two do not agree.
    results = {"staged": staged, DECISIONS: decided[DECISIONS], LEFT_OUT: left_out}
    _ = results | "PublishRun" >> PublishRun(
        config.output, config.run_id, config.compression, config.max_failure_rate, head, attempt, stores, renewed
    )


def listing_of(config: RunConfig, columns: Sequence[Column] = (), lease: Lease | None = None) -> ListImages:
    """How a run lists its inputs, and which columns it carries."""
    rules = config.carrying(columns) if columns else config.rules
    return ListImages(rules, config.storage_options, config.output, lease)


def selection_of(config: RunConfig, rules: Rules) -> Selection:
    """Which of the listed images a run chooses, and how it reads containers."""
    return Selection(
        config.input,
        rules,
        _seconds(config.since),
        _seconds(config.until),
        config.limit,
        config.retry_dead_letters,
        config.dedup == "listing",
        policy_of(config),
        config.incremental,
    )


def loading_of(config: RunConfig, input_size: tuple[int, int]) -> LoadImages:
    """How a run fetches and decodes its images, for a model of (height, width)."""
    return LoadImages(
        input_size,
        config.resize,
        config.max_image_pixels,
        config.max_object_bytes,
        config.fetch_concurrency,
        config.prefetch_bytes,
        policy_of(config),
        config.storage_options,
        config.threads,
        config.batch_size,
    )


def policy_of(config: RunConfig) -> Policy:
    """How often an object is tried, and how large it may be."""
    return Policy(config.fetch_retries, max_bytes=config.max_object_bytes)


def _seconds(time: str | None) -> float | None:
    """Since the epoch, of a checked time."""
    return datetime.fromisoformat(time).timestamp() if time else None
