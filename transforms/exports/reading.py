"""Exports read back: blocks of vectors, single ones, and the rows that stand beside them.

Of files on a local disk, vectors are mapped into memory, a block at a time, with the next one asked of the disk
meanwhile; of stores they are streamed. A file that is not what exports write is an OutputError.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from transforms.exports import npy, pages
from transforms.records.arrow import EMBEDDING, embeddings_of
from transforms.records.output_error import OutputError
from transforms.stores import filesystems
from transforms.stores.streaming import open_current

NPY, PARQUET = ".npy", ".parquet"
BLOCK_BYTES = 32 << 20
BESIDE_BYTES = 1 << 20  # about so much of other columns lies between the vectors of two row groups


def blocks(uri: str) -> Iterator[np.ndarray]:
    """The vectors of a file, float32 [some rows, features] at a time, for reading only."""
    with _opened(uri) as file:
        if uri.endswith(PARQUET):
            yield from _of_parquet(file, filesystems.is_local(uri))
        elif filesystems.is_local(uri):
            yield from _mapped(file)
        else:
            yield from npy.blocks(file)


def vectors_at(uri: str, rows: np.ndarray) -> np.ndarray:
    """Some vectors of a file, float32 [rows, features], by their places in ascending order; each is read alone."""
    if uri.endswith(PARQUET):
        return embeddings_of(_table_at(uri, rows, [EMBEDDING]))
    with _opened(uri) as file:
        _, feature_dim = npy.read_header(file)
        first, size = file.tell(), feature_dim * npy.LITTLE_ENDIAN.itemsize
        found = []
        for row in rows.tolist():
            file.seek(first + row * size)
            found.append(np.frombuffer(file.read(size), npy.LITTLE_ENDIAN, feature_dim))
        return np.array(found, npy.LITTLE_ENDIAN).reshape(len(rows), feature_dim)


def rows_at(uri: str, rows: np.ndarray, columns: Sequence[str]) -> pa.Table:
    """What is known of some vectors of a file besides, by their places in ascending order."""
    return _table_at(_beside(uri), rows, columns)


def column_of(uri: str, column: str) -> Iterator[pa.ChunkedArray]:
    """A column of the rows of a file, some rows at a time."""
    with _opened(_beside(uri)) as file:
        parquet = pq.ParquetFile(file)
        for group in range(parquet.num_row_groups):
            yield parquet.read_row_group(group, columns=[column]).column(column)


def _beside(uri: str) -> str:
    return uri.removesuffix(NPY) + ".uris.parquet" if uri.endswith(NPY) else uri


def _table_at(uri: str, rows: np.ndarray, columns: Sequence[str]) -> pa.Table:
    """Only the row groups that hold some of them are read."""
    with _opened(uri) as file:
        parquet = pq.ParquetFile(file)
        tables = [parquet.schema_arrow.empty_table().select(list(columns))]
        first = 0
        for group in range(parquet.num_row_groups):
            size = parquet.metadata.row_group(group).num_rows
            low, high = np.searchsorted(rows, [first, first + size])
            if low < high:
                table = parquet.read_row_group(group, columns=list(columns)).select(list(columns))
                tables.append(table.take(pa.array(rows[low:high] - first)))
            first += size
        found = pa.concat_tables(tables)
        if len(found) != len(rows):
            raise ValueError(f"it has no row {int(rows[-1]):,}")
        return found


def _of_parquet(file: IO[bytes], local: bool) -> Iterator[np.ndarray]:
    parquet = pq.ParquetFile(file)
    kind = parquet.schema_arrow.field(EMBEDDING).type
    if not pa.types.is_fixed_size_list(kind) or kind.value_type != pa.float32():
        raise ValueError(f"embeddings of {kind}")
    for group in range(parquet.num_row_groups):
        rows = parquet.metadata.row_group(group).num_rows
        vectors = pages.plain_vectors(_chunk(file, parquet.metadata.row_group(group), local), rows, kind.list_size)
        yield embeddings_of(parquet.read_row_group(group, columns=[EMBEDDING])) if vectors is None else vectors


def _chunk(file: IO[bytes], group: pq.RowGroupMetaData, local: bool) -> memoryview:
    """The bytes of the embeddings of a row group; none of those that are packed."""
    columns = map(group.column, range(group.num_columns))
    column = next(column for column in columns if column.path_in_schema.startswith(f"{EMBEDDING}."))
    if column.compression != "UNCOMPRESSED" or column.has_dictionary_page:
        return memoryview(b"")
    start, size = column.data_page_offset, column.total_compressed_size
    if local:
        _ask_for(file, start + size, size + BESIDE_BYTES)
        return np.memmap(file, np.uint8, "r", start, (size,)).data
    file.seek(start)
    return memoryview(file.read(size))


def _mapped(file: IO[bytes]) -> Iterator[np.ndarray]:
    """Each block is a map of its own, which goes with it: what is in memory does not grow with the file."""
    rows, feature_dim = npy.read_header(file)
    start, width = file.tell(), feature_dim * npy.LITTLE_ENDIAN.itemsize
    if os.fstat(file.fileno()).st_size < start + rows * width:
        raise ValueError("it ends early")
    at_once = max(1, BLOCK_BYTES // max(1, width))
    for first in range(0, rows, at_once):
        begin = start + first * width
        _ask_for(file, begin + at_once * width, at_once * width)
        mapped = np.memmap(file, npy.LITTLE_ENDIAN, "r", begin, (min(at_once, rows - first), feature_dim))
        yield mapped.view(np.ndarray)


def _ask_for(file: IO[bytes], start: int, size: int) -> None:
    """Has the system read on in the background, where it can be told so."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), start, size, os.POSIX_FADV_WILLNEED)


@contextmanager
def _opened(uri: str) -> Iterator[IO[bytes]]:
    try:
        with open_current(uri) as file:
            yield file
    except FileNotFoundError:
        raise OutputError(f"{uri}: it is not there, though the export names it") from None
    except (ValueError, KeyError, pa.ArrowException) as e:
        raise OutputError(f"{uri}: not what exports write there ({e})") from None
