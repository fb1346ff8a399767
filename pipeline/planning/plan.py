"""embed-images plan: the story of a plan, from checked options to what a run would find, do, take and cost."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

from pipeline.options.beam import beam_options, check_secrets, runner_of, runs_here
from pipeline.options.config import RunConfig
from pipeline.outputs.history import check_generation, generation_of, ledgers_of, published_runs, settle_columns
from pipeline.planning.counting import Found, count
from pipeline.planning.estimating import Estimate, estimate
from pipeline.planning.measuring import Measured, measure
from pipeline.planning.prices import Prices
from pipeline.planning.stages import stages_of
from pipeline.runs.head import preprocessing_of
from pipeline.runs.launching import check_inputs, check_stores, find_columns, launching, patiently
from pipeline.runs.run import model_of
from transforms.stores import filesystems

CONTAINERS = 4  # that some members are taken of


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
        model_of(as_asked, runs_here(options))
        with phase() as model_seconds:
            model = model_of(as_asked, runs_here(options))
        generation = generation_of(model, preprocessing_of(config.resize))
        check_generation(earlier, generation, new_model=config.new_model)
        columns = settle_columns(columns, earlier)
        history = ledgers_of(earlier, generation) if config.incremental else []
        with phase() as list_seconds:
            found = count(config, columns, history, images, CONTAINERS)
        some, containers = found.some, found.of_containers
        measured = measure(config, model, some, containers) if some or containers else None
    here = config.threads or os.cpu_count() or 1
    overhead = {"start": start_seconds, "model": model_seconds(), "list": list_seconds()}
    estimated = estimate(config, options, found, measured, overhead, (here, cores), prices)
    stages = stages_of(config).splitlines()
    return Plan(runner_of(options), model.describe(), found, measured, here, estimated, len(earlier), stages, prices)


@contextmanager
def phase() -> Iterator[Callable[[], float]]:
    """Gives what tells the seconds that the block took, once it has ended."""
    started = time.monotonic()
    ended: list[float] = []
    yield lambda: ended[0] - started
    ended.append(time.monotonic())
