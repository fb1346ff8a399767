"""The TFRecord container: framing with masked CRC32C, written and read without TensorFlow.

The format is that of tensorflow/core/lib/io/record_writer.h: uint64 length, uint32 masked CRC of the
length, the data, uint32 masked CRC of the data; little-endian. Importing TensorFlow for its writer
alone would cost each worker about 6 s and 0.4 GB; tests read every shard back with `tf.data`.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterator
from typing import IO, Any

import google_crc32c

from transforms.stores.filesystems import filesystem

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_LENGTH = struct.Struct("<Q")


class DamagedRecordError(Exception):
    """A record whose checksum or length does not hold; its text says which and where."""


def frame(record: bytes) -> bytes:
    """A record as it stands in a file."""
    length = _LENGTH.pack(len(record))
    return b"".join((_HEADER.pack(len(record), _masked_crc(length)), record, _FOOTER.pack(_masked_crc(record))))


def open_shard(uri: str) -> IO[bytes]:
    """A file of framed records, decompressed as its name says."""
    return decompressed(filesystem(uri).open(uri, "rb"), "gzip" if uri.endswith(".gz") else "none")


def decompressed(file: Any, compression: str) -> IO[bytes]:
    """A file that can be read, decompressed."""
    return gzip.GzipFile(fileobj=file) if compression == "gzip" else file  # type: ignore[return-value]


def read_records(file: IO[bytes]) -> Iterator[bytes]:
    """The records of a file.

    Raises:
        DamagedRecordError: at the first record that does not hold; what follows it cannot be found.
    """
    index = offset = 0
    while header := file.read(_HEADER.size):
        where = f"record {index} at byte {offset}"
        if len(header) < _HEADER.size:
            raise DamagedRecordError(f"{where}: the file ends within its header")
        length, length_crc = _HEADER.unpack(header)
        if _masked_crc(header[: _LENGTH.size]) != length_crc:
            raise DamagedRecordError(f"{where}: the checksum of its length does not hold")
        record, footer = file.read(length), file.read(_FOOTER.size)
        if len(record) < length or len(footer) < _FOOTER.size:
            raise DamagedRecordError(f"{where}: the file ends within its {length} bytes")
        if _masked_crc(record) != _FOOTER.unpack(footer)[0]:
            raise DamagedRecordError(f"{where}: the checksum of its data does not hold")
        yield record
        index += 1
        offset += _HEADER.size + length + _FOOTER.size


def _masked_crc(data: bytes) -> int:
    """The CRC rotated and offset, so that a CRC of data that holds CRCs is no trouble."""
    crc: int = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
