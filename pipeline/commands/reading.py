"""What commands share that read an output: its arguments, and what its store has to say."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from pipeline.console import logs
from pipeline.errors import ConfigError, ModelError, OutputError, RunError
from pipeline.options.config import check_option
from pipeline.options.reaching import check_readable, check_stores, store_sentences
from pipeline.options.values import NotAllowedError, folder_uri
from transforms.inputs.rules import ListingError
from transforms.stores import filesystems, secrets
from transforms.stores.store_errors import describe_error

T = TypeVar("T")
PLACES = ("to", "html", "export")  # options that name what is written, or listed, besides the output
INPUTS = ("image", "model")  # and single objects


def add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("output", metavar="OUTPUT", help="the --output of the runs")


def add_storage_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--storage_option", dest="storage_options", metavar="SCHEME.KEY=VALUE", action="append", help="as for run"
    )


def checked(name: str, value: Any, check: Callable[[Any], T]) -> T:
    """The value of an option that only one command has. Raises ConfigError when it is not allowed."""
    try:
        return check(value)
    except NotAllowedError as e:
        raise ConfigError(name, value, str(e)) from None


def configure_stores(given: argparse.Namespace) -> None:
    """Has this process reach the stores, and looks whether the output is there, and what else is named can be asked.

    Raises:
        ConfigError: an option of a store is none, or the output a name that cannot be one.
        RunError: the output is not there, or cannot be reached, see `check_readable`.
    """
    secrets.remember_uri(given.output)
    filesystems.configure(check_option("storage_options", given.storage_options))
    checked("OUTPUT", given.output, folder_uri)
    logs.keep_quiet()
    check_readable(given.output)
    places = {name: uri for name in PLACES if (uri := getattr(given, name, None))}
    inputs = [uri for name in INPUTS if (uri := getattr(given, name, None))]
    check_stores([checked(f"--{name}", uri, folder_uri) for name, uri in places.items()], inputs)


@contextmanager
def sentences(uri: str) -> Iterator[None]:
    """Turns what a store or a file system says into a `RunError`."""
    try:
        with store_sentences():
            yield
    except (ConfigError, ListingError, ModelError, OutputError, RunError):
        raise
    except Exception as e:  # stores have error classes of their own
        raise RunError(f"{uri}: {describe_error(e)}") from e
