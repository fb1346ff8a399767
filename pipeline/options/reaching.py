"""The places that a command is told of, looked at before anything else, so that each is refused in one sentence."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipeline.errors import ConfigError, RunError
from transforms.stores import filesystems, storage
from transforms.stores.first_answer import StoreError, bucket_of, check_store
from transforms.stores.folders import scheme_hint
from transforms.stores.secrets import HIDDEN


@contextmanager
def store_sentences() -> Iterator[None]:
    """Turns what `filesystems` and `first_answer` refuse into the errors of a command."""
    try:
        yield
    except StoreError as e:
        raise RunError(str(e)) from e
    except filesystems.OptionError as e:
        raise ConfigError("--storage_option", HIDDEN, str(e)) from None


def check_stores(outputs: Sequence[str], inputs: Sequence[str] = ()) -> None:
    """Asks the store of each place once, if it is one; of a bucket that is named several times, once for all.

    Args:
        outputs: places that are listed.
        inputs: places of which single objects may be all that is read.

    Raises:
        RunError: a store does not answer, wants other credentials, or has no such bucket.
        ConfigError: an option of a store is none.
    """
    asked: set[tuple[str, str]] = set()
    with store_sentences():
        for scheme in storage.WEB_SCHEMES:  # whose images a manifest may name
            filesystems.check_names(scheme)
        for uri in (*outputs, *inputs):
            bucket = filesystems.scheme_of(uri), bucket_of(uri)
            if bucket not in asked:
                check_store(uri, lists=uri in outputs)
                asked.add(bucket)


def check_readable(output: str) -> None:
    """Refuses an output that is not there, or may not be looked into.

    Raises:
        RunError, ConfigError: as `check_stores`; a folder that is none, or may not be read.
    """
    if not filesystems.is_local(output):
        with store_sentences():
            if not check_store(output):
                raise RunError(f"{output}: no published run: there is nothing of that name")
        return
    path = storage.path_of(storage.normalize(output))
    try:
        names = os.scandir(path)
    except FileNotFoundError:
        raise RunError(f"{output}: no published run: there is no such folder{scheme_hint(output)}") from None
    except OSError as e:
        raise RunError(f"{output}: no folder that may be read ({e.strerror})") from None
    names.close()
