"""NumPy: `.npy` files that can be mapped into memory, float32 [rows, features], and beside each a Parquet file of
`uri`, `version` and the columns, row by row.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy_format

from transforms.exports.format import Format, Part
from transforms.exports.parquet import open_writer
from transforms.records.arrow import EMBEDDING, embeddings_of
from transforms.stores.spooling import Spools
from transforms.stores.streams import Stream

BLOCK = 8192  # vectors that are read at once
LITTLE_ENDIAN = np.dtype("<f4")


def write(batches: Iterable[pa.RecordBatch], schema: pa.Schema, rows: int, spool: Spools) -> Iterator[Part]:
    """The vectors, and what they are of.

    Raises ValueError when there are not so many, as the header says.
    """
    vectors, others = spool.stream(), spool()
    rest = pa.schema([field for field in schema if field.name != EMBEDDING])
    feature_dim = schema.field(EMBEDDING).type.list_size
    written = 0
    with open_writer(others, rest) as parquet:
        _write_header(vectors, rows, feature_dim)
        for batch in batches:
            vectors.write(np.ascontiguousarray(embeddings_of(batch), LITTLE_ENDIAN).data)
            parquet.write_table(pa.Table.from_batches([batch.select(rest.names)]))
            written += batch.num_rows
    if written != rows:
        raise ValueError(f"{written:,} vectors in a file of {rows:,}")
    yield ".npy", vectors
    yield ".uris.parquet", others


def read_header(file: IO[bytes]) -> tuple[int, int]:
    """(rows, features) of an open file of vectors, which is then at the first of them.

    Raises:
        ValueError: it is none.
    """
    version = npy_format.read_magic(file)
    shape, by_columns, kind = npy_format.read_array_header_1_0(file)
    if version != (1, 0) or by_columns or kind != LITTLE_ENDIAN or len(shape) != 2:
        raise ValueError(f"an array of {kind} {shape}, no vectors")
    return shape[0], shape[1]


def blocks(file: IO[bytes]) -> Iterator[np.ndarray]:
    """The vectors of an open file, float32 [some rows, features] at a time.

    Raises:
        ValueError: it is none, or ends early.
    """
    rows, feature_dim = read_header(file)
    for first in range(0, rows, BLOCK):
        size = min(BLOCK, rows - first)
        data = file.read(size * feature_dim * LITTLE_ENDIAN.itemsize)
        yield np.frombuffer(data, LITTLE_ENDIAN).reshape(size, feature_dim)


def some(file: IO[bytes], rows: np.ndarray) -> np.ndarray:
    """Some vectors of an open file, float32 [rows, features], by their places in ascending order."""
    found, first = [], 0
    for block in blocks(file):
        found.append(block[rows[(rows >= first) & (rows < first + len(block))] - first])
        first += len(block)
    return np.concatenate(found) if found else np.zeros((0, 0), LITTLE_ENDIAN)


def _write_header(file: Stream, rows: int, feature_dim: int) -> None:
    described = {"descr": LITTLE_ENDIAN.str, "fortran_order": False, "shape": (rows, feature_dim)}
    npy_format.write_array_header_1_0(file, described)


NPY = Format("npy", write)
