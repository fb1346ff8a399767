"""embed-images latest."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.commands.command import Command
from pipeline.commands.reading import add_output, add_storage_options, checked, configure_stores, sentences
from pipeline.console.results import say
from pipeline.options.values import table_uri


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    parser.add_argument("--keep_deleted", action="store_true", help="images that are gone, too")
    parser.add_argument("--to", metavar="FILE", help="write uri, version, run, shard, row: a .parquet, .csv or .jsonl")
    add_storage_options(parser)


def _latest(given: argparse.Namespace, _: Sequence[str]) -> bool:
    if given.to is not None:
        checked("--to", given.to, table_uri)
    configure_stores(given)
    from pipeline.outputs.latest import latest
    from pipeline.outputs.tables import write_table

    with sentences(given.output):
        selection = latest(given.output, keep_deleted=given.keep_deleted)
    if given.to:
        with sentences(given.to):
            write_table(selection, given.to)
    runs = sorted(set(selection["run_id"].to_pylist()))
    say(
        f"{len(selection):,} images, in {len(runs)} run{'' if len(runs) == 1 else 's'}"
        + (f", written to {given.to}" if given.to else "")
    )
    return True


LATEST = Command(
    "latest",
    help="where the newest vector of every image lies",
    description="Selects, over all runs of the newest generation, the newest record of every image.",
    add_arguments=_add_arguments,
    execute=_latest,
)
