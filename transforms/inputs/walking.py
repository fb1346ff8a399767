"""Local folders: walked whole, or as far as a glob reaches."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterator

from fsspec.utils import glob_translate

from transforms.elements import ImageObject
from transforms.inputs.leaving_out import SYSTEM_FOLDERS, UNREADABLE
from transforms.inputs.rules import ListingError, Rules, Skipped
from transforms.stores import storage

EFFECTIVE = os.access in os.supports_effective_ids  # else asked for the real user, where that is another one


def walk_folder(folder: str, rules: Rules, skipped: Skipped) -> Iterator[ImageObject]:
    """Every file below a folder, in the order of names, those behind linked folders last.

    Each real folder is visited once, under its own name where it lies below `folder`: loops end, and a new link
    takes no name from an image that had one.

    Raises:
        ListingError: a folder within may not be listed, and `rules` do not leave it out.
        OSError: `folder` cannot be listed.
    """
    visited: set[tuple[int, int]] = set()
    waiting = deque([folder])
    while waiting:
        top = waiting.popleft()
        opened = [_visit(top, visited)] if top == folder else [_visit_within(top, visited, rules, skipped)]
        while opened:  # no recursion: folders may be a thousand deep
            entry = next(opened[-1], None)
            if entry is None:
                opened.pop()
            elif not _is_dir(entry):
                yield from _file(entry)
            elif entry.name in SYSTEM_FOLDERS:
                skipped(entry.path, f"{entry.name}/")
            elif entry.is_symlink():
                waiting.append(entry.path)
            else:
                opened.append(_visit_within(entry.path, visited, rules, skipped))


def match_folder(
    folder: str, steps: list[str], matches: Callable[[str], object], rules: Rules, skipped: Skipped
) -> Iterator[ImageObject]:
    """Follows a pattern folder by folder up to its `**`, below which everything is looked at."""
    if steps[0] == "**":
        walked = walk_folder(folder, rules, skipped)
        yield from (image for image in walked if matches(storage.path_of(image.uri)))
        return
    step = re.compile(glob_translate(steps[0])).match
    for entry in _entries(folder):
        if not step(entry.name):
            continue
        if len(steps) == 1:
            if matches(entry.path):
                yield from _file(entry)
        elif _is_dir(entry):
            if entry.name in SYSTEM_FOLDERS and steps[0] != entry.name:
                continue
            try:
                yield from match_folder(entry.path, steps[1:], matches, rules, skipped)
            except PermissionError as e:
                _left_out(e, entry.path, rules, skipped)


def accessible(folder: str, root: str) -> bool:
    """Whether all folders from `root` down to `folder` that are there may be listed."""
    while len(folder) > len(root):
        if os.path.lexists(folder) and not os.access(folder, os.R_OK | os.X_OK, effective_ids=EFFECTIVE):
            return False
        folder = os.path.dirname(folder)
    return True


def _visit(folder: str, visited: set[tuple[int, int]]) -> Iterator[os.DirEntry[str]]:
    entries = _entries(folder)
    stat = os.stat(folder)
    if (stat.st_dev, stat.st_ino) in visited:
        return iter(())
    visited.add((stat.st_dev, stat.st_ino))
    return iter(entries)


def _visit_within(
    folder: str, visited: set[tuple[int, int]], rules: Rules, skipped: Skipped
) -> Iterator[os.DirEntry[str]]:
    """As `_visit`, of a folder that somebody may have removed since its parent was listed."""
    try:
        return _visit(folder, visited)
    except (FileNotFoundError, NotADirectoryError):
        return iter(())
    except PermissionError as e:
        _left_out(e, folder, rules, skipped)
        return iter(())


def _left_out(error: PermissionError, folder: str, rules: Rules, skipped: Skipped) -> None:
    if not rules.skip_unreadable:
        raise ListingError(
            f"{storage.uri_of(folder)}: may not be listed ({error.strerror}); "
            f"give the right to, or leave such folders out with --skip_unreadable"
        ) from error
    skipped(folder, UNREADABLE)


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
            yield storage.describe_local(storage.uri_of(entry.path), entry.stat())
        elif entry.is_symlink() and not os.path.exists(entry.path):
            yield ImageObject(storage.uri_of(entry.path))
    except OSError:
        yield ImageObject(storage.uri_of(entry.path))
