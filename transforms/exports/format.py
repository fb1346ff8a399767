"""What a format of exports is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import IO

import pyarrow as pa

from transforms.stores.spooling import Spools
from transforms.stores.streams import Stream

GROUP_BYTES = 8 << 20  # of the vectors that are read and written at once
MOST_ROWS = 4096

OpenFile = Callable[[str], AbstractContextManager[IO[bytes]]]
"""Opens a file of the export by its path in it."""
Part = tuple[str, IO[bytes] | Stream]
"""What follows `vectors-…` in a file's name, and its content."""


@dataclass(frozen=True)
class Format:
    """A kind of files that vectors are exported as, or a database.

    Attributes:
        name: what is typed.
        write: batches, their schema (`arrow.schema_of`), how many rows they have, in; the files of one shard out, the
            first of which holds the vectors. None of a database, which `transforms.upserting` writes to.
        by_changes: an export holds what has changed since the one before, and what is gone; else all there is.
        finish: the paths of the files of vectors in their order, and what opens one, in; files that are made of all of
            them out, by their whole names.
        package: that it needs, which the extra of the format's name brings; "" for none.
        write_deleted: uris in, a file of what is gone out; of formats that go by changes.
    """

    name: str
    write: Callable[[Iterable[pa.RecordBatch], pa.Schema, int, Spools], Iterator[Part]] | None = None
    by_changes: bool = False
    finish: Callable[[Sequence[str], OpenFile, Spools], Iterator[Part]] | None = None
    package: str = ""
    write_deleted: Callable[[Iterable[str], Spools], Iterator[Part]] | None = None


def rows_at_once(feature_dim: int) -> int:
    """How many vectors are some 8 MiB."""
    return max(1, min(MOST_ROWS, GROUP_BYTES // (4 * feature_dim)))
