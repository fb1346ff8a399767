"""What commands share that read an output: its arguments, and what its store has to say."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import ModelError, OutputError, RunError
from pipeline.options.config import check_option
from transforms.stores import filesystems, secrets
from transforms.stores.store_errors import describe_error


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="the --output of the runs")


def add_storage_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--storage_option", dest="storage_options", metavar="SCHEME.KEY=VALUE", action="append", help="as for run"
    )


def configure_stores(given: argparse.Namespace) -> None:
    """Raises ConfigError when an option of a store is none."""
    secrets.remember_uri(given.output)
    filesystems.configure(check_option("storage_options", given.storage_options))


@contextmanager
def sentences(uri: str) -> Iterator[None]:
    """Turns what a store or a file system says into a `RunError`."""
    try:
        yield
    except (ModelError, OutputError, RunError):
        raise
    except Exception as e:  # stores have error classes of their own
        raise RunError(f"{uri}: {describe_error(e)}") from e
