"""The TFRecord container: framing with masked CRC32C, written and read without TensorFlow.

The format is that of tensorflow/core/lib/io/record_writer.h: uint64 length, uint32 masked CRC of the
length, the data, uint32 masked CRC of the data; little-endian. Importing TensorFlow for its writer
alone would cost each worker about 6 s and 0.4 GB; tests read every shard back with `tf.data`.
"""

from __future__ import annotations

import gzip
import io
import mmap
import operator
import os
import struct
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from typing import IO, Any, NamedTuple, Protocol, cast

import google_crc32c

from transforms.stores import filesystems
from transforms.stores.streaming import open_current
from transforms.stores.streams import BUFFER_BYTES, Ahead

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_LENGTH = struct.Struct("<Q")
_FURTHEST = 1 << 60  # a place in a file; beyond, no file can be asked for one
READ_BYTES = 1 << 19  # of a shard at once, which stay in a core's cache
HEADERS_KEPT = 4096  # records of a run are of few lengths


class DamagedRecordError(Exception):
    """A record whose checksum or length does not hold; its text says which and where."""


def frame(record: bytes) -> bytes:
    """A record as it stands in a file."""
    length = _LENGTH.pack(len(record))
    return b"".join((_HEADER.pack(len(record), _masked_crc(length)), record, _FOOTER.pack(_masked_crc(record))))


class Readable(Protocol):
    """A file that is read into memory of its reader."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


@contextmanager
def open_shard(uri: str) -> Iterator[Readable]:
    """A file of framed records, decompressed as its name says."""
    compression = "gzip" if uri.endswith(".gz") else "none"
    with open_current(uri) as file, _ahead(file, uri) as opened, decompressed(opened, compression) as records:
        buffered = io.BufferedReader(cast(io.RawIOBase, records))
        yield buffered
        buffered.detach()


def _ahead(file: IO[bytes], uri: str) -> AbstractContextManager[Any]:
    """Of stores, the next pieces are under way already; and what is small has come when it is asked for."""
    large = filesystems.is_local(uri) and os.fstat(file.fileno()).st_size > BUFFER_BYTES
    return Ahead(file) if large else nullcontext(file)


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


class Block(NamedTuple):
    """Records of a file as they lie in memory, until the next ones are asked for.

    Attributes:
        data: of the file, some bytes.
        spans: where in these each record begins and ends, without its frame.
    """

    data: mmap.mmap | bytes
    spans: list[tuple[int, int]]


def read_records(file: Readable) -> Iterator[bytes]:
    """The records of a file.

    Raises:
        DamagedRecordError: at the first record that does not hold.
    """
    for frames in _whole_frames(file):
        for number in range(len(frames.spans)):
            yield frames.held(number)


def read_rows(shard: str, rows: Sequence[int]) -> Iterator[bytes]:
    """Some records of a shard, as `read_blocks` has them."""
    return (data[start:stop] for data, spans in read_blocks(shard, rows) for start, stop in spans)


def read_blocks(shard: str, rows: Sequence[int]) -> Iterator[Block]:
    """Some records of a shard, those that are read together in a block.

    What is wanted has to hold, and nothing else: of a record between, its length, by which the next one is found; what
    lies behind the last one is not looked at. Whether a shard is whole, `embed-images verify` tells.

    Args:
        rows: which, in ascending order, each once.

    Raises:
        DamagedRecordError: one of them does not hold, or is not there.
    """
    found = 0
    try:
        if any(map(operator.ge, rows, rows[1:])):
            raise DamagedRecordError("ledgers have one of its records more than once")
        with open_shard(shard) as file:
            for frames in _whole_frames(file) if rows else ():
                end = bisect_left(rows, frames.first + len(frames.spans), found)
                numbers = [row - frames.first for row in rows[found:end]]
                for number in numbers:
                    frames.held(number)
                found = end
                yield Block(frames.data, [frames.spans[number] for number in numbers])
                if found == len(rows):
                    break
        if found != len(rows):
            raise DamagedRecordError(f"it holds {found:,} of the {len(rows):,} records that ledgers have of it")
    except DamagedRecordError as e:
        raise DamagedRecordError(f"{shard}: {e}") from None


class _Frames(NamedTuple):
    """Frames that follow one another in a file.

    Attributes:
        first: which record of the file the first one is.
        offset: where in the file `data` begins.
        data, spans: as those of a `Block`.
    """

    first: int
    offset: int
    data: mmap.mmap
    spans: list[tuple[int, int]]

    def held(self, number: int) -> bytes:
        """The data of one of them; raises DamagedRecordError when it does not hold."""
        start, stop = self.spans[number]
        data = self.data[start:stop]
        if _masked_crc(data) != _FOOTER.unpack_from(self.data, stop)[0]:
            where = _where(self.first + number, self.offset + start - _HEADER.size)
            raise DamagedRecordError(f"{where}: the checksum of its data does not hold")
        return data


def _whole_frames(file: Readable) -> Iterator[_Frames]:
    """All frames of a file that is at its beginning, as many at a time as are read at once, their data unchecked.

    Raises:
        DamagedRecordError: where no next one can be told.
    """
    data, kept = mmap.mmap(-1, READ_BYTES), 0
    first = offset = 0
    while True:
        with memoryview(data) as whole, whole[kept:] as room:
            read = file.readinto(room) or 0
        end = kept + read
        spans, at, length = list[tuple[int, int]](), 0, None
        while (start := at + _HEADER.size) <= end and (length := _length_in(data[at:start])) is not None:
            if start + length + _FOOTER.size > end:
                break
            spans.append((start, start + length))
            at = start + length + _FOOTER.size
        if spans:
            yield _Frames(first, offset, data, spans)
        first, offset, kept = first + len(spans), offset + at, end - at
        if kept >= _HEADER.size and length is None:
            raise DamagedRecordError(f"{_where(first, offset)}: the checksum of its length does not hold")
        if not read:
            if kept:
                within = "its header" if kept < _HEADER.size else f"its {length} bytes"
                raise DamagedRecordError(f"{_where(first, offset)}: the file ends within {within}")
            return
        data.move(0, at, kept)
        if kept == len(data):
            larger = mmap.mmap(-1, 2 * kept)  # step by step, since a length may be of more than there is
            larger[:kept] = data[:]
            data = larger


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
