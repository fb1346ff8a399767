"""Blocks on the local disk in the place of memory, while a runner that works in this process shuffles them.

Such a runner holds what it shuffles in memory, several times over: a million listing rows with captions of 200 bytes,
122 MB in blocks, took it 0.5 GB. What it is given instead is where a block lies in a spool of this process.
"""

from __future__ import annotations

import contextlib
import os
import struct
import threading
from collections.abc import Iterator
from typing import IO

from transforms.stores.spooling import naming, open_spool

MARK = b"spilled"  # as no compressed block begins
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


def put(block: bytes) -> bytes:
    """What to shuffle for a block: where it lies, or where nothing is spilled the block itself.

    Raises:
        OSError: the disk is full; it names the folder of temporary files.
    """
    with _lock:
        if _spool is None:
            return block
        with naming():
            begin = _spool.tell()
            _spool.write(block)
            _spool.flush()  # here, where an error can be named
    return MARK + _PLACE.pack(begin, len(block))


def get(block: bytes) -> bytes:
    """The block that was put."""
    if not block.startswith(MARK):
        return block
    with _lock:
        if _spool is None:
            raise RuntimeError("a block was spilled by another process than the one that wants it")
        begin, size = _PLACE.unpack_from(block, len(MARK))
        return os.pread(_spool.fileno(), size, begin)
