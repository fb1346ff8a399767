"""The TFRecord container: framing with masked CRC32C, written and read without TensorFlow.

The format is that of tensorflow/core/lib/io/record_writer.h: uint64 length, uint32 masked CRC of the
length, the data, uint32 masked CRC of the data; little-endian. Importing TensorFlow for its writer
alone would cost each worker about 6 s and 0.4 GB; tests read every shard back with `tf.data`.
"""

from __future__ import annotations

import gzip
import io
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import IO, Any, NamedTuple, cast

import google_crc32c

from transforms.stores import filesystems
from transforms.stores.streaming import open_current
from transforms.stores.streams import BUFFER_BYTES, Ahead

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_LENGTH = struct.Struct("<Q")
_FURTHEST = 1 << 60  # a place in a file; beyond, no file can be asked for one
READ_BYTES = 1 << 20  # of a shard at once
HEADERS_KEPT = 4096  # records of a run are of few lengths


class DamagedRecordError(Exception):
    """A record whose checksum or length does not hold; its text says which and where."""


def frame(record: bytes) -> bytes:
    """A record as it stands in a file."""
    length = _LENGTH.pack(len(record))
    return b"".join((_HEADER.pack(len(record), _masked_crc(length)), record, _FOOTER.pack(_masked_crc(record))))


@contextmanager
def open_shard(uri: str) -> Iterator[IO[bytes]]:
    """A file of framed records, decompressed as its name says."""
    compression = "gzip" if uri.endswith(".gz") else "none"
    with open_current(uri) as file, _ahead(file, uri) as opened, decompressed(opened, compression) as records:
        buffered = io.BufferedReader(cast(io.RawIOBase, records), READ_BYTES)
        yield cast(IO[bytes], buffered)
        buffered.detach()


def _ahead(file: IO[bytes], uri: str) -> AbstractContextManager[Any]:
    """Of stores, the next pieces are under way already; and what is small has come when it is asked for."""
    large = filesystems.is_local(uri) and os.fstat(file.fileno()).st_size > BUFFER_BYTES
    return Ahead(cast(io.BufferedIOBase, file)) if large else nullcontext(file)


def decompressed(file: Any, compression: str) -> IO[bytes]:
    """A file that can be read, decompressed."""
    return gzip.GzipFile(fileobj=file) if compression == "gzip" else file  # type: ignore[return-value]


class Framed(NamedTuple):
    """A record as a file holds it.

    Attributes:
        offset: of its frame in the file.
        size: bytes of its data.
        data: None of one that is larger than was asked for.
        crc32c: of the data, as its frame tells.
        holds: whether the data is what the frame tells; of what was not read, True.
    """

    offset: int
    size: int
    data: bytes | None
    crc32c: int
    holds: bool


def read_frames(file: IO[bytes], most: int | None = None) -> Iterator[Framed]:
    """The records of a file, those with damaged data as well: the next one can be told by their length.

    Args:
        file: at its beginning.
        most: bytes of data; what is larger is gone over unread.

    Raises:
        DamagedRecordError: at a length that does not hold, or that leads beyond the file; what follows cannot be found.
    """
    index = offset = 0
    while header := file.read(_HEADER.size):
        if len(header) < _HEADER.size:
            raise DamagedRecordError(f"{_where(index, offset)}: the file ends within its header")
        if (length := _length_in(header)) is None:
            raise DamagedRecordError(f"{_where(index, offset)}: the checksum of its length does not hold")
        data = None
        if most is None or length <= most:
            data = file.read(length)
        elif length <= _FURTHEST:
            file.seek(offset + _HEADER.size + length)
        footer = file.read(_FOOTER.size)
        if (data is not None and len(data) < length) or len(footer) < _FOOTER.size or length > _FURTHEST:
            raise DamagedRecordError(f"{_where(index, offset)}: the file ends within its {length} bytes")
        (masked,) = _FOOTER.unpack(footer)
        yield Framed(offset, length, data, _unmasked(masked), data is None or _masked_crc(data) == masked)
        index += 1
        offset += _HEADER.size + length + _FOOTER.size


def read_records(file: IO[bytes]) -> Iterator[bytes]:
    """The records of a file.

    Raises:
        DamagedRecordError: at the first record that does not hold.
    """
    for index, framed in enumerate(read_frames(file)):
        yield _held(index, framed)


def read_rows(shard: str, rows: Sequence[int]) -> Iterator[bytes]:
    """Some records of a shard.

    What is wanted has to hold, and nothing else: of a record between, its length, by which the next one is found; what
    lies behind the last one is not read. Whether a shard is whole, `embed-images verify` tells.

    Args:
        rows: which, in ascending order, each once.

    Raises:
        DamagedRecordError: one of them does not hold, or is not there.
    """
    found = 0
    try:
        with open_shard(shard) as file:
            for record in _rows_of(file, rows):
                found += 1
                yield record
        if found != len(rows):
            raise DamagedRecordError(f"it holds {found:,} of the {len(rows):,} records that ledgers have of it")
    except DamagedRecordError as e:
        raise DamagedRecordError(f"{shard}: {e}") from None


def _rows_of(file: IO[bytes], rows: Iterable[int]) -> Iterator[bytes]:
    frames = enumerate(read_frames(file))
    for row in rows:
        for index, framed in frames:
            if index == row:
                yield _held(index, framed)
                break


def _held(index: int, framed: Framed) -> bytes:
    if framed.data is None or not framed.holds:
        raise DamagedRecordError(f"{_where(index, framed.offset)}: the checksum of its data does not hold")
    return framed.data


def _where(index: int, offset: int) -> str:
    return f"record {index} at byte {offset}"


def begins_with_frame(data: bytes) -> bool:
    """Whether a file that begins so is one of records."""
    return len(data) >= _HEADER.size and _masked_crc(data[: _LENGTH.size]) == _HEADER.unpack_from(data)[1]


@lru_cache(HEADERS_KEPT)
def _length_in(header: bytes) -> int | None:
    """The length that a header tells; None where its checksum does not hold."""
    length: int
    length, length_crc = _HEADER.unpack(header)
    return length if _masked_crc(header[: _LENGTH.size]) == length_crc else None


def _masked_crc(data: bytes) -> int:
    """The CRC rotated and offset, so that a CRC of data that holds CRCs is no trouble."""
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _unmasked(masked: int) -> int:
    rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return ((rotated >> 17) | (rotated << 15)) & 0xFFFFFFFF
