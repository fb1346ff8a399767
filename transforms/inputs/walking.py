"""Local folders: walked whole, or as far as a glob reaches."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator

from fsspec.utils import glob_translate

from transforms.elements import ImageObject
from transforms.stores import storage


def walk_folder(folder: str) -> Iterator[ImageObject]:
    """Every file below a folder, in the order of names; each real folder is visited once, so loops end.

    Raises:
        OSError: a folder cannot be listed.
    """
    yield from _walk(folder, set())


def match_folder(folder: str, steps: list[str], matches: Callable[[str], object]) -> Iterator[ImageObject]:
    """Follows a pattern folder by folder up to its `**`, below which everything is looked at."""
    if steps[0] == "**":
        yield from (image for image in walk_folder(folder) if matches(image.uri))
        return
    step = re.compile(glob_translate(steps[0])).match
    for entry in _entries(folder):
        if not step(entry.name):
            continue
        if len(steps) == 1:
            yield from _file(entry)
        elif _is_dir(entry):
            yield from match_folder(entry.path, steps[1:], matches)


def _walk(folder: str, visited: set[tuple[int, int]]) -> Iterator[ImageObject]:
    entries = _entries(folder)
    stat = os.stat(folder)
    if (stat.st_dev, stat.st_ino) in visited:
        return
    visited.add((stat.st_dev, stat.st_ino))
    for entry in entries:
        if _is_dir(entry):
            yield from _walk(entry.path, visited)
        else:
            yield from _file(entry)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _file(entry: os.DirEntry[str]) -> Iterator[ImageObject]:
    """The row of a file; of a link to nothing, or a file that went away meanwhile, its bare name.

    The fetch will say what is wrong with it. Devices and pipes are no files and not listed.
    """
    try:
        if entry.is_file():
            yield storage.describe_local(_as_text(entry.path), entry.stat())
        elif entry.is_symlink() and not os.path.exists(entry.path):
            yield ImageObject(_as_text(entry.path))
    except OSError:
        yield ImageObject(_as_text(entry.path))


def _as_text(path: str) -> str:
    """A name that is no UTF-8 with its odd bytes spelled out: records and ledgers hold text.

    Such a file cannot be found again by that spelling and so ends as a dead letter that names it.
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")
