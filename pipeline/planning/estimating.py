"""From what was counted and measured to shards, requests, time and money."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from apache_beam.options.pipeline_options import PipelineOptions, WorkerOptions

from pipeline.options.beam import runner_of, works_locally
from pipeline.options.config import RunConfig
from pipeline.planning.counting import Found
from pipeline.planning.measuring import Measured
from pipeline.planning.prices import Prices
from transforms.inputs.paging import PAGE
from transforms.stores import filesystems
from transforms.stores.storage import UPLOAD_CHUNK_BYTES
from transforms.stores.streaming import PIECE_BYTES

PUBLISH_SECONDS = 15e-6  # an image, of ledgers and moves: docs/performance.md, 100,000 images
SHUFFLED_BYTES = 150  # a listing row in a block, with what earlier runs know of it: docs/performance.md
HOUR, GB = 3600.0, 1e9


class Workers(NamedTuple):
    """Attributes:
    number: of them; 1 on one machine.
    cores: of all of them.
    speed: of one of these cores, beside one here.
    start_seconds: until they work.
    machine: their type, where that is known; else "".
    """

    number: int
    cores: float
    speed: float = 1.0
    start_seconds: float = 0.0
    machine: str = ""


class Estimate(NamedTuple):
    """Attributes:
    images: that would be fetched, decoded and embedded; of containers, about so many.
    core_seconds: an image, of a core of this machine.
    seconds: by phase.
    workers: None where it is not known how many cores the runner has.
    shards, output_bytes: of the run.
    requests: by store and kind: list, read, write.
    cost: by what is paid for; empty where nothing is known.
    """

    images: int
    core_seconds: float
    seconds: dict[str, float]
    workers: Workers | None
    shards: int
    output_bytes: int
    requests: dict[str, dict[str, int]]
    cost: dict[str, float]


def estimate(
    config: RunConfig,
    options: PipelineOptions,
    found: Found,
    measured: Measured | None,
    overhead: dict[str, float],
    cores: tuple[int, int],
    prices: Prices,
) -> Estimate:
    """What a run would take.

    Args:
        measured: None where nothing is to be embedded.
        overhead: seconds by phase that were measured: "start", "model", "list".
        cores: (that were measured on, that the runner has; 0 where it is not said).

    Raises:
        ConfigError: a machine type without a price.
    """
    members = round(found.containers.bytes / measured.member_bytes) if measured and measured.member_bytes else 0
    images = found.selected.number + members
    here, there = cores
    workers = _workers(config, options, prices, here, there)
    core_seconds = measured.image_seconds * here if measured else 0.0
    seconds = dict(overhead)
    if workers is not None:
        seconds["start"] += workers.start_seconds
        first, publish = (measured.first_seconds, measured.publish_seconds) if measured else (0.0, 0.0)
        seconds["embed"] = first + images * core_seconds / (workers.cores * workers.speed)
        seconds["publish"] = publish + (images + sum(found.decisions.values())) * PUBLISH_SECONDS
    output_bytes = _scaled(measured.shard_bytes + measured.ledger_bytes, images, measured.images) if measured else 0
    bundles = workers.number if workers is not None else 1
    shards = _shards(config, images, output_bytes, seconds.get("embed", 0.0), bundles)
    requests = _requests(config, found, images, shards, output_bytes)
    cost = _cost(options, seconds, workers, requests, found, prices)
    return Estimate(images, core_seconds, seconds, workers, shards, output_bytes, requests, cost)


def _scaled(amount: int, images: int, measured: int) -> int:
    return round(amount * images / max(measured, 1))


def _workers(config: RunConfig, options: PipelineOptions, prices: Prices, here: int, there: int) -> Workers | None:
    """Of the runner that was asked for."""
    if works_locally(options):
        return Workers(1, there or here)
    if not _is_dataflow(options):
        return Workers(1, there) if there else None
    asked = options.view_as(WorkerOptions)
    count = asked.max_num_workers or asked.num_workers or 1
    machine = str(asked.machine_type or "n1-standard-4")
    start = prices.dataflow.start_minutes * 60
    if there:
        return Workers(count, there, prices.dataflow.core_speed, start, machine)
    vcpus = prices.machine(machine).vcpus
    busy = min(vcpus, config.threads) if config.threads else vcpus
    return Workers(count, count * busy, prices.dataflow.core_speed, start, machine)


def _is_dataflow(options: PipelineOptions) -> bool:
    return runner_of(options).rpartition(".")[2].lower().startswith("dataflow")


def _shards(config: RunConfig, images: int, output_bytes: int, embed_seconds: float, bundles: int) -> int:
    """Full ones, or those that are old before, and the last one of each worker."""
    if not images:
        return 0
    by_size = math.ceil(output_bytes / config.shard_size)
    by_age = math.ceil(embed_seconds / config.shard_seconds) * bundles if config.shard_seconds else 0
    return max(by_size, by_age, 1)


def _requests(
    config: RunConfig, found: Found, images: int, shards: int, output_bytes: int
) -> dict[str, dict[str, int]]:
    """Without those that are tried again."""
    requests: dict[str, Counter[str]] = {}
    sources = _shares(config.input)
    for scheme, share in sources.items():
        of = requests.setdefault(scheme, Counter())
        of["list"] += math.ceil(found.rows * share / PAGE) + 1
        of["read"] += round(found.selected.number * share) + math.ceil(found.containers.bytes * share / PIECE_BYTES)
    if not filesystems.is_local(config.output):
        of = requests.setdefault(filesystems.scheme_of(config.output), Counter())
        # A shard comes in parts between two requests and is copied into place; its ledger is written twice.
        of["write"] += math.ceil(output_bytes / UPLOAD_CHUNK_BYTES) + 5 * shards + 10 if shards else 10
        of["read"] += 2 * shards + 10
    return {scheme: dict(of) for scheme, of in requests.items()}


def _shares(inputs: Sequence[str]) -> dict[str, float]:
    """Of the inputs in stores, by scheme, what part of all images each is taken to have."""
    schemes = [filesystems.scheme_of(text) for text in inputs if not filesystems.is_local(text)]
    return {scheme: schemes.count(scheme) / len(inputs) for scheme in schemes}


def _cost(
    options: PipelineOptions,
    seconds: dict[str, float],
    workers: Workers | None,
    requests: dict[str, dict[str, int]],
    found: Found,
    prices: Prices,
) -> dict[str, float]:
    cost: dict[str, float] = {}
    if workers is not None and _is_dataflow(options):
        own = prices.dataflow
        machine = prices.machine(workers.machine)
        hours = workers.number * (seconds["list"] + seconds["embed"] + seconds["publish"]) / HOUR
        disk: Any = options.view_as(WorkerOptions).disk_size_gb or 25
        cost["workers"] = hours * (machine.vcpus * own.vcpu_hour + machine.memory_gb * own.memory_gb_hour)
        cost["disks"] = hours * disk * own.disk_gb_hour
        cost["shuffle"] = 2 * (found.rows + sum(found.decisions.values())) * SHUFFLED_BYTES / GB * own.shuffle_gb
    for scheme, kinds in requests.items():
        if price := prices.stores.get(scheme):
            cost[f"{scheme} requests"] = sum(number * getattr(price, kind) for kind, number in kinds.items()) / 1000
    return cost
