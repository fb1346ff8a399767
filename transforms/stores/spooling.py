"""Spools: temporary files that have no name, so that nothing is left of them whatever ends their process."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import Iterator
from typing import IO

import google_crc32c

READ_BYTES = 1 << 20
FULL = (errno.ENOSPC, errno.EDQUOT)


def open_spool() -> IO[bytes]:
    """A file in the folder of temporary ones, open for writing and reading, gone when it is closed."""
    return tempfile.TemporaryFile()


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


def size_and_crc32c(file: IO[bytes]) -> tuple[int, str]:
    """The bytes of an open file, and their CRC32C as eight hexadecimal digits."""
    size, checksum = 0, google_crc32c.Checksum()
    file.seek(0)
    while chunk := file.read(READ_BYTES):
        size += len(chunk)
        checksum.update(chunk)
    digest: bytes = checksum.digest()
    return size, digest.hex()
