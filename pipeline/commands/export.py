"""embed-images export."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from pipeline.commands.command import Command
from pipeline.commands.reading import add_output, add_storage_options, configure_stores
from pipeline.commands.showing import add_showing, set_up_showing
from pipeline.console.results import conclude
from pipeline.errors import ConfigError
from pipeline.options import lean
from pipeline.options.beam_flags import remember_values
from pipeline.options.config import ExportConfig, check_option
from transforms.stores import secrets, storage
from transforms.stores.secrets import HIDDEN

FORMATS = ("parquet", "npy", "faiss", "tensorboard", "vertex", "qdrant")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    parser.add_argument("--to", metavar="URI", required=True, help="the folder for exports of this output and format")
    parser.add_argument("--format", metavar="NAME", required=True, help=f"one of {', '.join(FORMATS)}")
    parser.add_argument("--run_id", metavar="ID", default="", help="of one run; by default the newest of all")
    parser.add_argument("--columns", metavar="NAMES", help="such as label,image/width; by default all carried")
    parser.add_argument("--database", metavar="URL", default="", help="of qdrant: its URL, or a folder, embedded")
    parser.add_argument("--collection", metavar="NAME", default="", help="of qdrant: where in the database")
    parser.add_argument("--complete", action="store_true", help="all vectors, where it would be changes alone")
    parser.add_argument("--keep_deleted", action="store_true", help="images that are gone, too")
    add_showing(parser)
    add_storage_options(parser)


def _export(given: argparse.Namespace, unknown: Sequence[str]) -> bool:
    for uri in (given.output, given.to, given.database):
        secrets.remember_uri(uri)
    remember_values(unknown)
    lean.settle(unknown)
    if given.format not in FORMATS:
        raise ConfigError("--format", given.format, f"give one of {', '.join(FORMATS)}")
    _check_database(given)
    configure_stores(given)
    config = ExportConfig(
        output=storage.normalize(given.output),
        to=storage.normalize(given.to),
        format=given.format,
        run_id=given.run_id,
        columns=None if given.columns is None else [name for name in given.columns.split(",") if name],
        complete=given.complete,
        storage_options=check_option("storage_options", given.storage_options),
        beam_args=unknown,
        database=given.database if not given.database or _is_url(given.database) else storage.normalize(given.database),
        collection=given.collection,
        keep_deleted=given.keep_deleted,
    )
    set_up_showing(given)
    from pipeline.runs.export import export

    published = export(config)
    counts = published.manifest["counts"]
    gone = f", {counts['deleted']:,} of images that are gone" if counts["deleted"] else ""
    text = f"{counts['vectors']:,} vectors{gone}, in {published.folder}"
    conclude(text, text, {"folder": published.folder, "format": given.format, "counts": counts})
    return True


def _check_database(given: argparse.Namespace) -> None:
    if given.format != "qdrant":
        for option, value in (("--database", given.database), ("--collection", given.collection)):
            if value:
                raise ConfigError(option, HIDDEN, f"--format {given.format} is files; it is for qdrant")
        return
    if not re.fullmatch(r"\w[\w .-]{0,254}", given.collection):
        raise ConfigError("--collection", given.collection, "give the name of one: letters, digits and _ . -")
    parts = urlsplit(given.database)
    if not given.database or ("://" in given.database and not _is_url(given.database)):
        raise ConfigError("--database", secrets.redacted(given.database), "give an http or https URL, or a folder")
    if _is_url(given.database) and ("@" in parts.netloc or parts.query or parts.fragment):
        raise ConfigError("--database", HIDDEN, "give the URL alone, and a key in the environment as QDRANT_API_KEY")


def _is_url(database: str) -> bool:
    return database.startswith(("http://", "https://"))


EXPORT = Command(
    "export",
    help="vectors as files of other systems",
    description="Writes the newest vector of every image that is not gone, for other systems to read.",
    epilog="Any other option goes to Apache Beam.",
    add_arguments=_add_arguments,
    execute=_export,
    passes_on=True,
)
