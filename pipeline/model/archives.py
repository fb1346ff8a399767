"""Modules out of archives and stores: only files and folders, only beneath their folder, only so much.

tarfile reads the headers; what is written is decided here. Its own `extractall` with filter="data" could be led out of
its folder by links (CVE-2025-4517), and knows no bounds.
"""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Protocol

# A MobileNet has 5 files of 25 MB, the largest image modules of TF Hub some 4 GB.
MAX_FILES = 1_000
MAX_BYTES = 16 << 30
# Weights hardly shrink when they are packed: 1.1 times. A graph does, 20 times, and is a few MB.
MAX_RATIO, FREE_BYTES = 20, 64 << 20
MAX_NAME_BYTES, MAX_DEPTH = 255, 32
# A header's own bytes, which tarfile holds in memory: longer names and times stand there.
HEADER_BYTES = 1 << 20
CHUNK = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"


class Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class ArchiveError(Exception):
    """An archive, or a folder of a store, that is not unpacked; the text says what is wrong with it."""


class Allowance:
    """What one module may bring; raises `ArchiveError` above it."""

    def __init__(self) -> None:
        self._files = 0
        self._bytes = 0

    def admit(self, name: str, size: int) -> PurePosixPath:
        """The relative path of a file or folder of so many bytes."""
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ArchiveError(f"it has the name {name[:100]!r}, which leads out of its folder")
        if "\0" in name or "\\" in name or not name.isprintable():
            raise ArchiveError(f"it has the name {name[:100]!r}, which is none of a module's file")
        if len(os.fsencode(name)) > MAX_NAME_BYTES or len(path.parts) > MAX_DEPTH:
            raise ArchiveError(f"it has a name of more than {MAX_NAME_BYTES} bytes or {MAX_DEPTH} folders")
        self._files += 1
        self._bytes += size
        if self._files > MAX_FILES:
            raise ArchiveError(f"it has more than {MAX_FILES:,} files")
        if self._bytes > MAX_BYTES:
            raise ArchiveError(f"it unpacks to more than {MAX_BYTES >> 30} GiB")
        return path


def unpack(packed: Readable, folder: Path) -> None:
    """Unpacks a .tar or .tar.gz, read once from its beginning to its end, to a new folder.

    Raises:
        ArchiveError: it is none, it is damaged, or it holds what no module holds; a part may have been written.
        OSError: of what is read or written.
    """
    folder.mkdir(parents=True)
    allowance = Allowance()
    source = _Bounded(packed)
    with _damage_told():
        source.allow(HEADER_BYTES)
        with tarfile.open(fileobj=source, mode="r|") as archive:
            for member in archive:
                path = folder / allowance.admit(member.name, max(member.size, 0))
                if member.type == tarfile.DIRTYPE:
                    path.mkdir(parents=True, exist_ok=True)
                elif member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and member.sparse is None:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    source.allow(member.size + HEADER_BYTES)
                    content = archive.extractfile(member)
                    with path.open("xb") as file:
                        shutil.copyfileobj(content or io.BytesIO(), file, CHUNK)
                else:
                    raise ArchiveError(f"{member.name[:100]!r} in it is no file and no folder but a link or a device")
                source.allow(HEADER_BYTES)
        while source.read(CHUNK):  # to the end, where gzip's checksum stands
            pass


@contextmanager
def _damage_told() -> Iterator[None]:
    """tarfile's and zlib's many errors as one; those of a disk or a connection stay what they are."""
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as e:
        raise ArchiveError(f"it has the name {os.path.basename(e.filename)!r} twice") from e
    except (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, ValueError, OverflowError) as e:
        raise ArchiveError(f"it is not a .tar.gz that can be read ({type(e).__name__}: {e})") from e


class _Bounded(io.RawIOBase):
    """The unpacked bytes of an archive, of which no more are given than were allowed.

    That is a bound on what tarfile reads by itself, such as a header that claims to be a gigabyte long, and on how
    much larger the whole gets than what was packed.
    """

    def __init__(self, packed: Readable):
        self._packed = _Counted(packed)
        self._unpacked: Readable = self._packed
        if self._packed.peek(2) == GZIP_MAGIC:
            self._unpacked = gzip.GzipFile(fileobj=self._packed, mode="rb")
        self._given = 0
        self._allowed = 0

    def allow(self, size: int) -> None:
        """So many bytes from here on; tarfile reads blocks of 10 KiB ahead."""
        self._allowed = self._given + size

    def read(self, size: int = -1) -> bytes:
        data = self._unpacked.read(size)
        self._given += len(data)
        if self._given > self._allowed:
            raise ArchiveError(f"more than {HEADER_BYTES >> 20} MiB in it belong to no file")
        if self._given > FREE_BYTES + MAX_RATIO * self._packed.given:
            raise ArchiveError(f"it unpacks to more than {MAX_RATIO} times its size")
        return data


class _Counted(io.RawIOBase):
    """A stream that counts what was taken of it."""

    def __init__(self, stream: Readable):
        self._stream = stream
        self._ahead = b""
        self.given = 0

    def peek(self, size: int) -> bytes:
        self._ahead = self._stream.read(size)
        return self._ahead

    def read(self, size: int = -1) -> bytes:
        data, self._ahead = self._ahead or self._stream.read(size), b""
        self.given += len(data)
        return data
