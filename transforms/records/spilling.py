"""Blocks of rows as they cross shuffles: compressed, and on the local disk in the place of memory while a runner that
works in this process shuffles them.

Such a runner holds what it shuffles in memory, several times over: a million listing rows with captions of 200 bytes,
122 MB in blocks, took it 0.5 GB. What it is given instead is where a block lies in a spool of this process.
"""

from __future__ import annotations

import contextlib
import functools
import os
import struct
import threading
from collections.abc import Iterator
from typing import IO

import pyarrow as pa

from transforms.stores.spooling import naming, open_spool

MARK = b"spilled"  # as no block begins, whose size would be beyond all memory
_SIZE = struct.Struct("<Q")  # of the rows of a block
_PLACE = struct.Struct("<QQ")  # where it begins, how long it is
_lock = threading.Lock()
_spool: IO[bytes] | None = None


@contextlib.contextmanager
def spilling() -> Iterator[None]:
    """While it lasts, `put` writes to a spool. Only for a graph whose every stage works in this process."""
    global _spool
    _spool = open_spool()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # of a full disk, which has been told
            _spool.close()
        _spool = None


def put(rows: bytes | pa.Buffer) -> bytes:
    """What to shuffle for the rows of a block: these, compressed, or where they lie so.

    Raises:
        OSError: the disk is full; it names the folder of temporary files.
    """
    block: bytes = _SIZE.pack(len(rows)) + _codec().compress(rows, asbytes=True)
    with _lock:
        if _spool is None:
            return block
        with naming():
            begin = _spool.tell()
            _spool.write(block)
            _spool.flush()  # here, where an error can be named
    return MARK + _PLACE.pack(begin, len(block))


def get(block: bytes) -> pa.Buffer:
    """The rows that were put."""
    if block.startswith(MARK):
        block = _spilled(block)
    (size,) = _SIZE.unpack_from(block)
    return _codec().decompress(memoryview(block)[_SIZE.size :], size)


def _spilled(block: bytes) -> bytes:
    with _lock:
        if _spool is None:
            raise RuntimeError("a block was spilled by another process than the one that wants it")
        begin, size = _PLACE.unpack_from(block, len(MARK))
        return os.pread(_spool.fileno(), size, begin)


@functools.cache
def _codec() -> pa.Codec:
    """Of listing rows, it makes blocks smaller by 40 % than zlib's level 1, in a quarter of its time."""
    return pa.Codec("zstd", compression_level=1)
