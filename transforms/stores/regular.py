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
    return open(path, "rb", opener=lambda path, _: open_descriptor(path, path)[0])


def open_descriptor(path: str, name: str) -> tuple[int, os.stat_result]:
    """A descriptor to read a regular file by, and what it is; as `open_regular`, called by a name.

    It is opened without waiting, and looked at again: it may be another one meanwhile.
    """
    check_regular(name, os.stat(path))
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        stat = os.fstat(descriptor)
        check_regular(name, stat)
    except NotAFileError:
        os.close(descriptor)
        raise
    return descriptor, stat
