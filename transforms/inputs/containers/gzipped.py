"""Containers that are packed as a whole by gzip, which is told by their first bytes and not by their names."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from transforms.inputs.containers.member import DamagedContainerError

GZIP = b"\x1f\x8b"


@contextmanager
def unpacked(file: IO[bytes]) -> Iterator[IO[bytes]]:
    """A file from its first byte, unpacked when it is packed. It is for reading forward: back costs all of it again.

    Raises:
        DamagedContainerError: within the block, when its gzip breaks.
    """
    file.seek(0)
    is_packed = file.read(len(GZIP)) == GZIP
    file.seek(0)
    if not is_packed:
        yield file
        return
    plain = cast(IO[bytes], gzip.GzipFile(fileobj=cast(Any, file)))
    try:
        yield plain
    except EOFError:
        raise DamagedContainerError(f"its gzip is cut short at byte {file.tell():,}") from None
    except (gzip.BadGzipFile, zlib.error) as e:
        # The checksum stands at the end of gzip: what was unpacked before may be wrong, and nothing tells where.
        raise DamagedContainerError(f"its gzip is damaged at byte {file.tell():,} or before: {e}") from None
