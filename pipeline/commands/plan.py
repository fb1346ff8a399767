"""embed-images plan."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from pipeline.commands.command import Command
from pipeline.commands.reading import checked
from pipeline.commands.showing import show
from pipeline.console.results import say
from pipeline.options import lean
from pipeline.options.arguments import add_arguments
from pipeline.options.config import make_config
from pipeline.options.values import whole_number

MEASURED = 512


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", metavar="FILE.yaml", help="a run config: these options by name, and pipeline_options:"
    )
    parser.add_argument("--json", action="store_true", help="print the plan as JSON")
    parser.add_argument(
        "--measure",
        metavar="N",
        default=MEASURED,
        help=f"images that are fetched, decoded and embedded to tell what one takes (default: {MEASURED})",
    )
    parser.add_argument(
        "--cores",
        metavar="N",
        default=0,
        help="that the runner has in all; known of this machine, and of Dataflow by its machine type and workers",
    )
    parser.add_argument("--prices", metavar="FILE.yaml", default="", help="prices and machine types of your own")
    add_arguments(parser)


def _plan(given: argparse.Namespace, unknown: Sequence[str]) -> bool:
    started = time.monotonic()
    config = make_config(vars(given), unknown)
    lean.settle(config.beam_args)
    images = checked("--measure", given.measure, whole_number(1, 100_000))
    cores = checked("--cores", given.cores, whole_number(0, 1_000_000))
    show(config.progress, config.log_format, config.verbose)
    from pipeline.planning.plan import make_plan
    from pipeline.planning.prices import read_prices
    from pipeline.planning.showing import plan_json, plan_text

    plan = make_plan(config, images, read_prices(given.prices), cores, time.monotonic() - started)
    say(plan_json(plan) if given.json else plan_text(plan))
    return True


PLAN = Command(
    "plan",
    help="what a run would find, do, take and cost",
    description="Lists and decides as a run with the same options would, measures some of the images, and tells what "
    "the run would do, how long it would take and what it would cost. Nothing is written.",
    epilog="Any other option goes to Apache Beam, as for run.",
    add_arguments=_add_arguments,
    execute=_plan,
    passes_on=True,
)
