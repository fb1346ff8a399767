"""embed-images report."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.commands.command import Command
from pipeline.commands.reading import add_output, add_storage_options, checked, configure_stores, sentences
from pipeline.console import logs
from pipeline.console.results import say
from pipeline.errors import ConfigError
from pipeline.options.values import whole_number
from transforms.stores import secrets

MAPS = ("auto", "pca", "umap")
MOST_PICTURES = 5_000
HTML = (".html", ".htm")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    parser.add_argument("--to", metavar="FILE.html", required=True, help="write the page there")
    parser.add_argument(
        "--run_id", metavar="ID", default="", help="the run, and its vectors (the newest run, and the newest vectors)"
    )
    parser.add_argument(
        "--uri", metavar="URI", action="append", help="show what is nearest to this image of the output; repeatable"
    )
    parser.add_argument(
        "--columns", metavar="NAMES", help="columns that color the map, with commas between, '' for none (all)"
    )
    parser.add_argument(
        "--map", metavar="METHOD", default="auto", help="pca, umap, or auto: umap where it is installed (auto)"
    )
    parser.add_argument("--sample", metavar="N", help="look at so many vectors at most (20,000)")
    parser.add_argument("--pictures", metavar="N", help="show pictures of so many images at most (300)")
    parser.add_argument("--seed", metavar="N", default="0", help="of the sample and of the map (0)")
    add_storage_options(parser)


def _report(given: argparse.Namespace, _: Sequence[str]) -> bool:
    if not given.to.endswith(HTML):
        raise ConfigError("--to", given.to, f"a file that ends in {' or '.join(HTML)}")
    if given.map not in MAPS:
        raise ConfigError("--map", given.map, f"one of {', '.join(MAPS)}")
    from pipeline.report.report import PICTURES, SAMPLE, make_report

    sample = checked("--sample", given.sample or SAMPLE, whole_number(2, 10**6))
    pictures = checked(
        "--pictures", PICTURES if given.pictures is None else given.pictures, whole_number(0, MOST_PICTURES)
    )
    seed = checked("--seed", given.seed, whole_number(0, 2**32 - 1))
    columns = None if given.columns is None else [name for name in given.columns.split(",") if name]
    configure_stores(given)
    for uri in (given.to, *(given.uri or ())):
        secrets.remember_uri(uri)
    logs.set_up(False)
    from pipeline.report.page import write_report

    with sentences(given.output):
        report = make_report(
            given.output,
            run_id=given.run_id,
            uris=given.uri or (),
            columns=columns,
            projection=given.map,
            sample=sample,
            pictures=pictures,
            seed=seed,
        )
    with sentences(given.to):
        write_report(report, given.to)
    say(f"drift: {report.drift.sentences[0]}\nwritten to {given.to}")
    return True


REPORT = Command(
    "report",
    help="a run and its vectors as one page to look at",
    description="Writes a page that needs nothing else: counts, failures, time, a map of the vectors, drift.",
    epilog="It holds small pictures of images and what columns say of them: give it to whom may see these.",
    add_arguments=_add_arguments,
    execute=_report,
)
