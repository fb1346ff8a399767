"""What a manifest may cost: bytes of a line, and bytes that few bytes unpack to."""

from __future__ import annotations

import io
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

LONGEST_LINE = 16 << 20  # bytes of one line, or of one row of CSV, which may have several
# gzip makes a tenth or a twentieth of lists of names, and at most a thousandth of anything; Parquet a thousandth of a
# table that names each image for a thousand rows. What unpacks to more than so many times its size, and to more than
# `FREE_BYTES`, is made to fill a memory or a night.
MOST_OF_GZIP = 100
MOST_OF_PARQUET = 1000
FREE_BYTES = 64 << 20


class ManifestError(Exception):
    """A manifest that is refused; the text is a sentence that says where in it and why."""


def check_unpacked(unpacked: int, packed: int, most: int) -> None:
    """Raises ManifestError when few bytes have become very many, more than `most` times as many."""
    if unpacked > max(FREE_BYTES, most * packed):
        raise ManifestError(f"{packed:,} bytes of it unpack to more than {unpacked:,}; a list of images does not")


class BoundedReader(io.RawIOBase):
    """What a file unpacks to, as long as it is in proportion to what was read of the packed one."""

    def __init__(self, unpacked: IO[bytes] | io.RawIOBase | io.BufferedIOBase, packed: IO[bytes]):
        self._unpacked = unpacked
        self._packed = packed

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._unpacked.seek(offset, whence)

    def tell(self) -> int:
        return self._unpacked.tell()

    def readinto(self, buffer: WriteableBuffer) -> int:
        data = self._unpacked.read(len(memoryview(buffer)))
        memoryview(buffer)[: len(data or b"")] = data or b""
        check_unpacked(self._unpacked.tell(), self._packed.tell(), MOST_OF_GZIP)
        return len(data or b"")
