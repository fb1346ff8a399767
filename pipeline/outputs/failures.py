"""What failed in a run: where its dead letters lie, and one of each class."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.console.logs import logger
from pipeline.console.printable import shortened
from pipeline.outputs.dataset import read_dead_letters
from transforms.stores import storage

FILES_LOOKED_AT = 8  # of dead letters, 16 MB each; a class that is in none of them gets no example
MOST_BYTES = 64 << 20
MESSAGE_SHOWN = 200  # characters


class Failure(NamedTuple):
    """A class of errors in a run, and one image that met it; "" where none was looked at.

    Attributes:
        images: that met it.
        uri, message: of a dead letter.
    """

    error: str
    images: int
    uri: str = ""
    message: str = ""


def failures_of(folder: str, manifest: Mapping[str, Any]) -> list[Failure]:
    """The classes of errors of a run, the commonest first, each with an example.

    Args:
        folder, manifest: of a run that is published, or was refused.
    """
    wanted: dict[str, int] = manifest["counts"]["failed_by_error"]
    found: dict[str, Failure] = {}
    for entry in manifest["dead_letters"][:FILES_LOOKED_AT]:
        if len(found) == len(wanted):
            break
        for letter in read_dead_letters(storage.join(folder, entry["path"]), MOST_BYTES):
            error = str(letter.get("error"))
            if error in wanted and error not in found:
                found[error] = Failure(error, wanted[error], str(letter.get("uri")), str(letter.get("message")))
    return [found.get(error) or Failure(error, count) for error, count in wanted.items()]


def failure_lines_if_read(folder: str, manifest: Mapping[str, Any]) -> list[str]:
    """As `failure_lines`, at the end of a run, which no dead letter that cannot be read may spoil."""
    try:
        return failure_lines(folder, manifest)
    except Exception as e:  # of a store, or of a file that another hand has changed
        logger.debug("dead letters not read: %s", e)
        return []


def failure_lines(folder: str, manifest: Mapping[str, Any]) -> list[str]:
    """Where the dead letters are, for a shell, and an example of each class; nothing when nothing failed."""
    counts, files = manifest["counts"], manifest["dead_letters"]
    if not counts["failed"] or not files:
        return []
    name = shlex.quote(files[0]["path"]) if len(files) == 1 else "dead_letters-*.jsonl"
    lines = [f"dead letters: {shlex.quote(folder)}/{name}"]
    for failure in failures_of(folder, manifest):
        such_as = f", such as {failure.uri}: {shortened(failure.message, MESSAGE_SHOWN)}" if failure.uri else ""
        lines.append(f"  {failure.images:,} {failure.error}{such_as}")
    return lines
