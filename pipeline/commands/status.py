"""embed-images status."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.commands.command import Command
from pipeline.commands.reading import add_output, add_storage_options, configure_stores, sentences
from pipeline.console.results import say


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    parser.add_argument("--json", action="store_true", help="print it as JSON")
    add_storage_options(parser)


def _status(given: argparse.Namespace, _: Sequence[str]) -> bool:
    from pipeline.runs.status import status_of

    configure_stores(given)
    with sentences(given.output):
        status = status_of(given.output)
        text = status.as_json() if given.json else status.as_text()
    say(text)
    return True


STATUS = Command(
    "status",
    help="what the last night did, and how the output stands",
    description="Says what the newest run found new, changed, gone and failed, and where the newest vectors are.",
    add_arguments=_add_arguments,
    execute=_status,
)
