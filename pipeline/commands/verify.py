"""embed-images verify."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.commands.command import Command
from pipeline.commands.reading import add_output, add_storage_options, configure_stores, sentences
from pipeline.console.results import say


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    parser.add_argument("--run_id", metavar="ID", help="check this run only")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_storage_options(parser)


def _verify(given: argparse.Namespace, _: Sequence[str]) -> bool:
    from pipeline.outputs.verify import verify_output

    configure_stores(given)
    with sentences(given.output):
        result = verify_output(given.output, given.run_id)
    say(result.as_json() if given.json else result.as_text())
    return result.holds


VERIFY = Command(
    "verify",
    help="prove from the files alone that runs are whole",
    description="Checks every file of the published runs of an output: checksums, counts, vectors, ledgers.",
    add_arguments=_add_arguments,
    execute=_verify,
)
