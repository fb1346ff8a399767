"""Regular files of local disks. What else may have a file's name, a pipe or a device, may never end, or never begin."""

from __future__ import annotations

import os
from stat import S_ISREG
from typing import BinaryIO


class NotAFileError(OSError):
    """A local name that is no regular file."""


def check_regular(name: str, stat: os.stat_result) -> None:
    """Raises NotAFileError, with this name, of what is none."""
    if not S_ISREG(stat.st_mode):
        raise NotAFileError(f"{name} is a folder, a device or a pipe, not a file")


def open_regular(path: str) -> BinaryIO:
    """A regular file, open for reading; nothing else is waited for or read.

    Raises:
        NotAFileError: it is none.
        OSError: there is none, or it may not be read.
    """
    check_regular(path, os.stat(path))
    return open(path, "rb", opener=_at_once)


def _at_once(path: str, flags: int) -> int:
    """Opens a file without waiting, and looks again: it may be another one meanwhile."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    try:
        check_regular(path, os.fstat(descriptor))
    except NotAFileError:
        os.close(descriptor)
        raise
    return descriptor
