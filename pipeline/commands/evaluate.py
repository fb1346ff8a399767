"""embed-images evaluate."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.commands.command import Command
from pipeline.commands.reading import add_output, add_storage_options, checked, configure_stores, sentences
from pipeline.console.results import say
from pipeline.errors import ConfigError
from transforms.stores import secrets


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    parser.add_argument("--run_id", metavar="ID", default="", help="this run only (default: the newest of all runs)")
    parser.add_argument("--column", metavar="NAME", default="", help="the labels: a column of whole numbers or texts")
    parser.add_argument(
        "--group_column",
        metavar="NAME",
        default="",
        help="images of one value here are never held against each other, such as crops of a photo",
    )
    parser.add_argument("--to", metavar="FILE", help="write all likely label mistakes there, .jsonl or .parquet")
    parser.add_argument("--sample", metavar="N", help="look at so many images at most (default: 50,000)")
    parser.add_argument("--seed", metavar="N", default="0", help="of the sample and of the probe's cut (default: 0)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    add_storage_options(parser)


def _evaluate(given: argparse.Namespace, _: Sequence[str]) -> bool:
    from pipeline.evaluation.evaluate import SAMPLE, evaluate_output
    from pipeline.evaluation.mistakes import JSON_LINES, PARQUET, write_mistakes
    from pipeline.evaluation.report import as_json, as_text
    from pipeline.options.values import whole_number

    for name in ("to", "group_column"):
        if getattr(given, name) and not given.column:
            raise ConfigError(f"--{name}", getattr(given, name), "only with --column, which names the labels")
    if given.to:
        secrets.remember_uri(given.to)
        if not given.to.endswith(PARQUET + JSON_LINES):
            raise ConfigError("--to", given.to, f"a file that ends in {', '.join(JSON_LINES + PARQUET)}")
    sample = checked("--sample", given.sample or SAMPLE, whole_number(1, 10**9))
    seed = checked("--seed", given.seed, whole_number(0, 2**32 - 1))
    configure_stores(given)
    with sentences(given.output):
        found = evaluate_output(
            given.output,
            run_id=given.run_id,
            column=given.column,
            group_column=given.group_column,
            sample=sample,
            seed=seed,
        )
    say(as_json(found) if given.json else as_text(found))
    if found.by_label is None or found.by_label.refused:
        return found.by_label is None
    if given.to:
        with sentences(given.to):
            write_mistakes(found.by_label.mistakes, found.by_label.kind, given.to)
        if not given.json:
            say(f"\nall likely label mistakes are in {given.to}")
    return True


EVALUATE = Command(
    "evaluate",
    help="tell how good the vectors are",
    description="Tells what the vectors of an output are like, and by --column how well they tell labels apart.",
    epilog="Exits 1 when figures by labels were asked for and there is nothing to tell apart.",
    add_arguments=_add_arguments,
    execute=_evaluate,
)
