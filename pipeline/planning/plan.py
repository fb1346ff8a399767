"""embed-images plan: the story of a plan, from checked options to what a run would find, do, take and cost."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from pipeline.options.beam import beam_options, check_secrets, runner_of, runs_here
from pipeline.options.config import RunConfig
from pipeline.options.reaching import check_stores
from pipeline.outputs.history import check_generation, generation_of, ledgers_of, published_runs, settle_columns
from pipeline.planning.counting import Found, count
from pipeline.planning.estimating import Estimate, estimate
from pipeline.planning.measuring import Measured, measure
from pipeline.planning.prices import Prices
from pipeline.planning.stages import stages_of
from pipeline.runs.head import preprocessing_of
from pipeline.runs.launching import check_inputs, find_columns, launching, patiently
from pipeline.runs.run import model_of
from transforms.stores import filesystems

CONTAINERS = 4  # that some members are taken of
T = TypeVar("T")


class Plan(NamedTuple):
    """Attributes:
    runner: that was asked for.
    model: that would embed, as a manifest has it.
    found: what the inputs hold, and what of it would be embedded.
    measured: what the images of a sample took; None where nothing would be embedded.
    cores: of this machine, that they took it on.
    estimate: what the run would take.
    published: runs that are there.
    stages: lines, see `stages`.
    prices: what money was reckoned with.
    """

    runner: str
    model: dict[str, Any]
    found: Found
    measured: Measured | None
    cores: int
    estimate: Estimate
    published: int
    stages: Sequence[str]
    prices: Prices


def make_plan(config: RunConfig, images: int, prices: Prices, cores: int = 0, start_seconds: float = 0.0) -> Plan:
    """Lists, decides and measures as the run would, and writes nothing but into caches and temporary folders.

    Args:
        images: how many are measured at most.
        cores: that the runner has in all; 0 where that is not said.
        start_seconds: that it takes a command to be loaded.

    Raises:
        RunError, ListingError, ModelError, ConfigError: as the run would be refused.
    """
    with launching(), tempfile.TemporaryDirectory() as scratch:
        filesystems.configure(config.storage_options)
        options = beam_options(config)
        check_secrets(config.storage_options, options)
        with patiently([config.output, *config.input]):
            check_stores([config.output], [*config.input, config.model])
            check_inputs(config.input, config.rules, config.output, config.max_object_bytes)
            columns = find_columns(config)
            earlier = published_runs(config.output, all_of_them=config.incremental)
        # int8 is calibrated for an output, and kept there: a plan keeps it nowhere.
        as_asked = config if earlier or config.precision != "int8" else replace(config, output=scratch)
        ready = partial(model_of, as_asked, runs_here(options))
        ready()  # for the cache, where the run will find it
        model, model_seconds = timed(ready)
        generation = generation_of(model, preprocessing_of(config.resize))
        check_generation(earlier, generation, new_model=config.new_model)
        columns = settle_columns(columns, earlier)
        history = ledgers_of(earlier, generation) if config.incremental else []
        found, list_seconds = timed(partial(count, config, columns, history, images, CONTAINERS))
        some, containers = found.some, found.of_containers
        measured = measure(config, model, some, containers) if some or containers else None
    here = config.threads or os.cpu_count() or 1
    overhead = {"start": start_seconds, "model": model_seconds, "list": list_seconds}
    estimated = estimate(config, options, found, measured, overhead, (here, cores), prices)
    stages = stages_of(config).splitlines()
    return Plan(runner_of(options), model.describe(), found, measured, here, estimated, len(earlier), stages, prices)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What comes of it, and the seconds that it took."""
    started = time.monotonic()
    result = work()
    return result, time.monotonic() - started
