"""Spools: temporary files that have no name, so that nothing is left of them whatever ends their process."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from typing import IO, Self

import google_crc32c

from transforms.stores.streams import Stream

READ_BYTES = 1 << 20
O_TMPFILE: int = getattr(os, "O_TMPFILE", 0)  # Linux alone has it
FULL = (errno.ENOSPC, errno.EDQUOT)


def open_spool(folder: str = "") -> IO[bytes]:
    """A file without a name, open for writing and reading, gone when it is closed.

    Args:
        folder: where it is to lie, if it can, so that it may get a name there; by default that of temporary files.
    """
    if O_TMPFILE:
        for where in (folder, tempfile.gettempdir()):
            with contextlib.suppress(OSError):  # a file system that has none
                return os.fdopen(os.open(where, os.O_RDWR | os.O_CLOEXEC | O_TMPFILE, 0o666), "w+b")
    return tempfile.TemporaryFile()


class Spools:
    """Opens spools, all of which are closed at the end.

    Args:
        folder: where they are to get names; those without are read again soon, and sent to a store.
    """

    def __init__(self, folder: str = ""):
        self._folder = folder
        self._open: list[IO[bytes] | Stream] = []

    def __call__(self) -> IO[bytes]:
        self._open.append(file := open_spool(self._folder))
        return file

    def stream(self) -> Stream:
        """One that is large, and written from its beginning to its end."""
        stream = Stream(self(), direct=bool(self._folder))
        self._open.append(stream)
        return stream

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._open.pop().close()


def give_name(file: IO[bytes], path: str) -> bool:
    """Gives a finished spool a name, under which it appears whole, and without a copy of it.

    Returns:
        False where that cannot be: a file that has a name, another file system, or a name that is taken.
    """
    file.flush()
    found, disk = os.fstat(file.fileno()), os.stat(os.path.dirname(path)).st_dev
    if found.st_nlink or found.st_dev != disk or os.path.lexists(path):
        return False
    os.fsync(file.fileno())
    try:
        # With a descriptor of a folder, which a whole path has no use for, links are followed: this one to the spool.
        os.link(f"/proc/self/fd/{file.fileno()}", path, src_dir_fd=file.fileno())
    except (OSError, NotImplementedError):
        return False
    return True


@contextlib.contextmanager
def naming(path: str | None = None) -> Iterator[None]:
    """Has an error of the disk say where it is, as one of a write does not; and, when it is full, what helps.

    Args:
        path: of the file; by default the folder of temporary files, since a spool has no name.
    """
    try:
        yield
    except OSError as e:
        if e.filename is not None:
            raise
        remedy = (
            "" if e.errno not in FULL else "; free some" if path else "; free some, or name another folder in TMPDIR"
        )
        raise OSError(e.errno, (e.strerror or str(e)) + remedy, path or tempfile.gettempdir()) from e


def finished(file: IO[bytes] | Stream) -> tuple[IO[bytes], int, str]:
    """The spool behind what all was written to, its bytes, and their CRC32C as eight hexadecimal digits.

    Raises OSError when something could not be written.
    """
    file.flush()
    if isinstance(file, Stream):
        return file.file, *file.size_and_crc32c()
    return file, *size_and_crc32c(file)


def size_and_crc32c(file: IO[bytes]) -> tuple[int, str]:
    """The bytes of an open file, and their CRC32C as eight hexadecimal digits."""
    size, checksum = 0, google_crc32c.Checksum()
    file.seek(0)
    while chunk := file.read(READ_BYTES):
        size += len(chunk)
        checksum.update(chunk)
    digest: bytes = checksum.digest()
    return size, digest.hex()
