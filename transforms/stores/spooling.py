"""Spools: temporary files that have no name, so that nothing is left of them whatever ends their process."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import IO

import google_crc32c

READ_BYTES = 1 << 20
BEHIND_SECONDS = 0.2
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


@contextlib.contextmanager
def writing_behind(folder: str = "") -> Iterator[Callable[[], IO[bytes]]]:
    """Gives what opens spools, which are closed at the end.

    Of those in a folder of their own, what is written goes to the disk meanwhile: who waits for it in the end waits for
    the last of it.
    """
    spools: list[IO[bytes]] = []
    errors: list[OSError] = []
    ended = threading.Event()

    def write_behind() -> None:
        while not errors and not ended.wait(BEHIND_SECONDS):
            try:
                for file in [*spools]:
                    os.fsync(file.fileno())
            except OSError as e:  # which is told once: who waits for the file in the end does not get it again
                errors.append(e)

    def open_one() -> IO[bytes]:
        spools.append(open_spool(folder))
        return spools[-1]

    thread = threading.Thread(target=write_behind, daemon=True)
    if folder:
        thread.start()
    try:
        yield open_one
    finally:
        ended.set()
        if folder:
            thread.join()
        for file in spools:
            file.close()
    for error in errors:
        raise error


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


def size_and_crc32c(file: IO[bytes]) -> tuple[int, str]:
    """The bytes of an open file, and their CRC32C as eight hexadecimal digits."""
    size, checksum = 0, google_crc32c.Checksum()
    file.seek(0)
    while chunk := file.read(READ_BYTES):
        size += len(chunk)
        checksum.update(chunk)
    digest: bytes = checksum.digest()
    return size, digest.hex()
