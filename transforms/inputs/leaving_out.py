"""What of a folder is no image, told by its name alone, and the kinds that it is counted as."""

from __future__ import annotations

import functools
import posixpath
from collections.abc import Callable

from transforms.images.formats import extensions  # and no decoder: a worker that lists needs none
from transforms.inputs.kinds import OTHER

# What file systems and their viewers keep beside the files of people.
SYSTEM_FOLDERS = frozenset(
    {
        "lost+found",
        "__MACOSX",
        ".AppleDouble",
        ".Spotlight-V100",
        ".Trashes",
        ".fseventsd",
        "$RECYCLE.BIN",
        "System Volume Information",
    }
)
SYSTEM_FILES = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
# Of each file that it cannot keep whole on a foreign disk, a Mac leaves the rest beside it (RFC 1740), under its name:
# `._photo.jpg` is no image.
APPLE_DOUBLE = "._"

UNREADABLE = "unreadable/"
NO_EXTENSION = "none"
LONGEST_EXTENSION = 16


def system_kind(name: str) -> str:
    """The kind of something that a system keeps for itself, by its name below an input; "" of all else."""
    folders, _, base = name.rpartition("/")
    if base.startswith(APPLE_DOUBLE):
        return f"{APPLE_DOUBLE}*"
    if base in SYSTEM_FILES:
        return base
    return next((f"{folder}/" for folder in folders.split("/") if folder in SYSTEM_FOLDERS), "")


def kind_left_out(name: str, all_files: bool) -> str:
    """As what a file of a folder is counted that is left out; "" of one that is taken.

    Args:
        name: below the input, such as "deep/er/readme.txt".

    Returns:
        An extension in lower case, with its dot; a kind of `system_kind`; `NO_EXTENSION`; or `OTHER`.
    """
    if kind := system_kind(name):
        return kind
    extension = posixpath.splitext(name)[1].lower()
    if all_files or extension in _extensions():
        return ""
    if len(extension) > LONGEST_EXTENSION or not extension.isprintable():
        return OTHER
    return extension or NO_EXTENSION


def glob_takes(pattern: str) -> Callable[[str], bool]:
    """Whether a glob that matches a name takes it: what systems keep only when it names that itself."""
    if any(system_kind(part) or part in SYSTEM_FOLDERS for part in pattern.split("/")):
        return lambda name: True
    return lambda name: not system_kind(name)


@functools.cache
def _extensions() -> frozenset[str]:
    return extensions()
