"""Parquet manifests: one column, a batch at a time, and never more of it than its file can be worth."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.inputs.bounds import MOST_OF_PARQUET, ManifestError, check_unpacked
from transforms.inputs.texts import check_columns

BATCH_ROWS = 16_384
LARGEST_BATCH = 256 << 20  # of the names of so many rows
LARGEST_CHUNK = 1 << 30  # of a row group's names, unpacked; writers make groups of a million rows, or of 128 MiB


def rows(file: IO[bytes], column: str) -> Iterator[tuple[int, Any]]:
    """(row, value of the column), rows from 1."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    # As a dictionary: a long value that is repeated is in memory once, until it is known how long it is.
    parquet = pq.ParquetFile(file, read_dictionary=[column])
    schema = parquet.schema_arrow
    check_columns(column, schema.names)
    _check_type(column, schema.field(column).type)
    _check_chunks(parquet.metadata, column)
    number = unpacked = 0
    for batch in parquet.iter_batches(BATCH_ROWS, columns=[column], use_threads=False):
        names = batch.column(0)
        length = _unpacked_bytes(names)
        unpacked += length
        check_unpacked(unpacked, size, MOST_OF_PARQUET)
        if length > LARGEST_BATCH:
            raise ManifestError(f"{BATCH_ROWS:,} rows after row {number} hold {length:,} bytes of names")
        plain = names.dictionary_decode() if pa.types.is_dictionary(names.type) else names
        for name in plain.to_pylist():
            number += 1
            yield number, name


def _check_type(column: str, kind: pa.DataType) -> None:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain)):
        raise ManifestError(f"its column {column!r} holds {plain}, not text")


def _check_chunks(metadata: Any, column: str) -> None:
    """The sizes that the footer tells, before a page is unpacked."""
    places = range(metadata.num_columns)
    place = next(i for i in places if metadata.schema.column(i).path == column)
    for group in range(metadata.num_row_groups):
        size = metadata.row_group(group).column(place).total_uncompressed_size
        if size > LARGEST_CHUNK:
            raise ManifestError(
                f"row group {group} holds {size:,} bytes of names; write groups of at most {LARGEST_CHUNK:,}"
            )


def _unpacked_bytes(names: pa.Array) -> int:
    lengths = (
        pc.binary_length(names.dictionary).take(names.indices)
        if pa.types.is_dictionary(names.type)
        else (pc.binary_length(names))
    )
    return int(pc.sum(pc.cast(lengths, pa.int64())).as_py() or 0)
