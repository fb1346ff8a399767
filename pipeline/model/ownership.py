"""Whose folder it is: what lies in a folder that others can write to is not taken for what was put there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import ModelError

WRITE_OF_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def refuse_others(folder: Path, remedy: str) -> None:
    """Refuses a folder that is not this user's, or root's, alone to write to; nothing is said of what is in it.

    Raises:
        ModelError: names the folder and who can write there, and ends with `remedy`.
    """
    found = folder.stat()
    if found.st_uid not in (os.geteuid(), 0):
        raise ModelError(f"{folder} belongs to another user (uid {found.st_uid}), who decides what is in it; {remedy}")
    if found.st_mode & WRITE_OF_OTHERS:
        mode = stat.filemode(found.st_mode)
        raise ModelError(f"{folder} can be written to by others ({mode}), who decide what is in it; {remedy}")


def refuse_others_within(folder: Path, remedy: str) -> None:
    """As `refuse_others`, of a folder and of all files and folders in it, links followed.

    Raises:
        ModelError: names the first one that others can write to.
    """
    for path in [folder, *everything_in(folder)]:
        if path.exists():  # no link to nothing
            refuse_others(path, remedy)


def everything_in(folder: Path) -> Iterator[Path]:
    """The files and folders in a folder and its subfolders, links to both followed, each folder once."""
    seen = {os.path.realpath(folder)}
    for parent, folders, files in os.walk(folder, onerror=_not_passed_over, followlinks=True):
        for name in list(folders):
            target = os.path.realpath(os.path.join(parent, name))
            if target in seen:
                folders.remove(name)
            seen.add(target)
        yield from (Path(parent, name) for name in (*folders, *files))


def _not_passed_over(error: OSError) -> None:
    raise error
