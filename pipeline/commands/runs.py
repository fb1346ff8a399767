"""embed-images runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pipeline.commands.command import Command
from pipeline.commands.reading import add_output, add_storage_options, configure_stores, sentences
from pipeline.console.printable import printable
from pipeline.console.results import say


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    parser.add_argument("--prune", action="store_true", help="remove what was left by runs that nobody works at")
    parser.add_argument(
        "--prune_compacted", action="store_true", help="remove runs whose newest vectors a compaction holds"
    )
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    add_storage_options(parser)


def _runs(given: argparse.Namespace, _: Sequence[str]) -> bool:
    from pipeline.runs.housekeeping import contents_of, prune

    configure_stores(given)
    with sentences(given.output):
        for left in prune(given.output) if given.prune else ():
            print(printable(f"removed what {left.run_id} had left: {left.bytes / 1e6:,.1f} MB"), file=sys.stderr)
        if given.prune_compacted:
            _prune_compacted(given.output)
        contents = contents_of(given.output)
    say(contents.as_json() if given.json else contents.as_text())
    return True


def _prune_compacted(output: str) -> None:
    from pipeline.runs.superfluous import prune_compacted

    removed, lost = prune_compacted(output)
    for run in removed:
        whose = f", whose newest vectors are in {run.held_by}" if run.held_by else ", the rest of it"
        print(printable(f"removed run {run.run_id}{whose}: {run.bytes / 1e6:,.1f} MB"), file=sys.stderr)
    went = [
        (lost.vectors, "vectors of images that are gone: {:,}"),
        (lost.failed, "what was known of images that failed, which the next run tries once more: {:,}"),
        (lost.containers, "what was known of containers, which the next run reads once more: {:,}"),
    ]
    for count, what in went:
        if count:
            print(f"with them went {what.format(count)}", file=sys.stderr)
    if not removed:
        print("no run is superfluous: nothing was removed", file=sys.stderr)


RUNS = Command(
    "runs",
    help="list the runs of an output, and what killed ones have left",
    description="Lists published runs, and staged files of runs that did not publish.",
    add_arguments=_add_arguments,
    execute=_runs,
)
