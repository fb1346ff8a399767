"""embed-images search."""

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

MOST = 10_000


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    query = parser.add_mutually_exclusive_group(required=True)
    query.add_argument("--image", metavar="FILE_OR_URI", help="an image, embedded with the model of the newest run")
    query.add_argument("--uri", metavar="URI", help="an image of the output, which is left out of what is found")
    parser.add_argument("-k", metavar="N", default=10, help="how many images are found (10)")
    parser.add_argument("--export", metavar="FOLDER", help="search the current export there, which is faster")
    parser.add_argument("--exact", action="store_true", help="all vectors of an export, whatever index it has")
    parser.add_argument("--run_id", metavar="ID", help="search this run only, and all of it")
    parser.add_argument(
        "--columns", metavar="NAMES", help="what is shown of images, with commas between, '' for nothing (all)"
    )
    parser.add_argument("--model", metavar="HANDLE", help="where the run's module lies now")
    parser.add_argument("--trust_module", action="store_true", help="as for run")
    parser.add_argument("--json", action="store_true", help="print JSON Lines")
    parser.add_argument("--html", metavar="FILE", help="write a page with pictures there")
    add_storage_options(parser)


def _search(given: argparse.Namespace, _: Sequence[str]) -> bool:
    k = checked("-k", given.k, whole_number(1, MOST))
    if given.export and given.run_id:
        raise ConfigError("--run_id", given.run_id, "with --export, which is searched as a whole")
    columns = None if given.columns is None else [name for name in given.columns.split(",") if name]
    configure_stores(given)
    query = given.image or given.uri or ""
    for uri in (query, given.model or "", given.export or ""):
        secrets.remember_uri(uri)
    logs.set_up(False)
    from pipeline.vectors.results import as_json_lines, as_text
    from pipeline.vectors.search import search_output

    with sentences(given.output):
        hits = search_output(
            given.output,
            image=given.image or "",
            uri=given.uri or "",
            k=k,
            run_id=given.run_id or "",
            columns=columns,
            model=given.model or "",
            trust=given.trust_module,
            export=given.export or "",
            exact=given.exact,
        )
    if given.html:
        from pipeline.vectors.page import write_page

        with sentences(given.html):
            write_page(query, hits, given.html)
    if given.json:
        if hits:
            say(as_json_lines(hits))
    else:
        say(as_text(hits) + (f"\nwritten to {given.html}" if given.html else ""))
    return True


SEARCH = Command(
    "search",
    help="the images that are most like another one",
    description="Finds the images of an output whose vectors are nearest to that of an image, by cosine, exactly.",
    add_arguments=_add_arguments,
    execute=_search,
)
