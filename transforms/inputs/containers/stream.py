"""The bytes of a container, one version of it, as a file that can be read and sought."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from transforms.elements import ImageObject
from transforms.stores import storage
from transforms.stores.fetching import FetchError, Policy, fetch_error


@contextmanager
def open_container(row: ImageObject, policy: Policy) -> Iterator[IO[bytes]]:
    """The version of `row`.

    Raises:
        FetchError: it cannot be had, or it is another version than was listed.
    """
    try:
        storage.describe(row.uri)  # before it is opened: a pipe would be waited for
        with open(storage.path_of(row.uri), "rb") as file:
            _check_version(file, row)
            yield file
            _check_version(file, row)
    except OSError as e:
        raise fetch_error(e) from e


def _check_version(file: IO[bytes], row: ImageObject) -> None:
    found = storage.describe_local(row.uri, os.fstat(file.fileno()))
    if row.version not in ("", found.version):
        raise FetchError("ContentChanged", "it has changed since it was listed")
