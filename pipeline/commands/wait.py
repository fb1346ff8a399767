"""embed-images wait."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.commands.command import Command
from pipeline.commands.reading import add_output, add_storage_options, configure_stores, sentences
from pipeline.commands.showing import add_showing, set_up_showing
from pipeline.console.results import conclude


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    parser.add_argument("--run_id", required=True, help="the run")
    add_showing(parser)
    add_storage_options(parser)


def _wait(given: argparse.Namespace, _: Sequence[str]) -> bool:
    from pipeline.runs.waiting import wait_until_ended

    set_up_showing(given)
    configure_stores(given)
    with sentences(given.output):
        report = wait_until_ended(given.output, given.run_id)
    from pipeline.runs.summary import summary  # which takes Beam along

    conclude(summary(report), *report.told())
    return True


WAIT = Command(
    "wait",
    help="wait for a run whose job works elsewhere",
    description="Waits until a run is published, as its output tells; its launcher need not live.",
    epilog="Exits 0 when it is published, 1 when it is not and nobody works at it any more.",
    add_arguments=_add_arguments,
    execute=_wait,
)
