"""embed-images duplicates."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pipeline.commands.command import Command
from pipeline.commands.reading import add_output, add_storage_options, checked, configure_stores, sentences
from pipeline.console.printable import printable
from pipeline.console.results import say
from pipeline.options.values import share, table_uri

MIN_COSINE = 0.97


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    parser.add_argument(
        "--min_cosine", metavar="COSINE", default=MIN_COSINE, help=f"of two images that are near ({MIN_COSINE})"
    )
    parser.add_argument("--run_id", metavar="ID", help="compare the images of this run only, and all of it")
    parser.add_argument("--to", metavar="FILE", help="write the groups there: a .parquet, .csv or .jsonl")
    add_storage_options(parser)


def _duplicates(given: argparse.Namespace, _: Sequence[str]) -> bool:
    min_cosine = checked("--min_cosine", given.min_cosine, share)
    if given.to is not None:
        checked("--to", given.to, table_uri)
    from pipeline.vectors.duplicates import as_json_lines, find_duplicates, summary, write_groups

    configure_stores(given)
    with sentences(given.output):
        found = find_duplicates(given.output, min_cosine=min_cosine, run_id=given.run_id or "")
    line = summary(found, min_cosine)
    if given.to:
        with sentences(given.to):
            write_groups(found, given.to)
        say(f"{line}, written to {given.to}")
        return True
    if found.groups:
        say(as_json_lines(found))
    print(printable(line), file=sys.stderr)
    return True


DUPLICATES = Command(
    "duplicates",
    help="groups of images that are nearly the same",
    description="Finds groups of images whose vectors are near each other, by cosine, as JSON Lines.",
    add_arguments=_add_arguments,
    execute=_duplicates,
)
