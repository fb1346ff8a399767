"""How many processes work on one machine: as many as keep its cores busy, since a process has one interpreter lock."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace

from pipeline.options.beam_flags import pairs
from pipeline.options.config import RunConfig
from pipeline.options.lean import names_other_runner

# `make bench-cores`: a process gives 0.90 of what 8 cores could, 0.73 of 16, half of 32, a quarter of 64. Up to
# `CORES_OF_ONE` a second one would gain less than it costs in memory and at the start; beyond, each gets about 8 cores.
CORES_OF_ONE = 16
CORES_OF_EACH = 8
CHOSEN = ("--direct_num_workers", "--direct_running_mode")


def spread(config: RunConfig) -> RunConfig:
    """The options with workers for all cores of this machine; as they are where they name workers or another runner."""
    cores = os.cpu_count() or 1
    if cores <= CORES_OF_ONE or config.threads or names_other_runner(config.beam_args) or _chosen(config.beam_args):
        return config
    processes = math.ceil(cores / CORES_OF_EACH)
    workers = (f"--direct_num_workers={processes}", "--direct_running_mode=multi_processing")
    return replace(config, beam_args=(*config.beam_args, *workers), threads=math.ceil(cores / processes))


def _chosen(beam_args: Sequence[str]) -> bool:
    return any(name in CHOSEN for name, _ in pairs(beam_args))
