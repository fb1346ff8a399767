"""Tables of Parquet and ORC: the wanted columns, a batch at a time, and never more than their file can be worth."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from transforms.inputs.bounds import MOST_OF_PARQUET, ManifestError, check_unpacked
from transforms.inputs.texts import check_columns

BATCH_ROWS = 16_384
LARGEST_BATCH = 256 << 20  # of the names of so many rows
LARGEST_CHUNK = 1 << 30  # of a row group's names, unpacked; writers make groups of a million rows, or of 128 MiB


def names(file: IO[bytes]) -> list[str]:
    """The columns of a table."""
    found: list[str] = pq.read_schema(file).names
    return found


def rows(file: IO[bytes], columns: Sequence[str], all_columns: bool) -> Iterator[tuple[int, Sequence[Any]]]:
    """(row, values of the columns), rows from 1; the first column holds text."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    schema = pq.read_schema(file)
    present = [name for name in columns if name in schema.names or name == columns[0] or not all_columns]
    _check_schema(present, schema)
    # As dictionaries: a long value that is repeated is in memory once, until it is known how long it is.
    parquet = pq.ParquetFile(file, read_dictionary=[name for name in present if _is_text(schema.field(name).type)])
    for column in present:
        _check_chunks(parquet.metadata, column)
    yield from _rows_of(parquet.iter_batches(BATCH_ROWS, columns=present, use_threads=False), columns, size)


def columns_of_orc(file: IO[bytes]) -> list[str]:
    from pyarrow.orc import ORCFile

    names: list[str] = ORCFile(file).schema.names
    return names


def rows_of_orc(file: IO[bytes], columns: Sequence[str]) -> Iterator[tuple[int, Sequence[Any]]]:
    """As `rows`, of ORC; times are UTC's, without a zone."""
    from pyarrow.dataset import OrcFileFormat  # of whose packages most listings need none

    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    # A batch at a time: a whole stripe, which is all that pyarrow.orc reads, took 600 MB where this took 140.
    fragment = OrcFileFormat().make_fragment(file)
    _check_schema(columns, fragment.physical_schema)
    batches = fragment.to_batches(
        columns=list(columns), batch_size=BATCH_ROWS, batch_readahead=0, fragment_readahead=0, use_threads=False
    )
    yield from _rows_of(batches, columns, size)


def _rows_of(
    batches: Iterator[pa.RecordBatch], columns: Sequence[str], size: int
) -> Iterator[tuple[int, Sequence[Any]]]:
    """(row, values of the columns) of batches of a file of `size` bytes."""
    number = unpacked = 0
    for batch in batches:
        found = {name: batch.column(name) for name in columns if name in batch.schema.names}
        length = sum(_unpacked_bytes(values) if _is_text(values.type) else values.nbytes for values in found.values())
        unpacked += length
        check_unpacked(unpacked, size, MOST_OF_PARQUET)
        if length > LARGEST_BATCH:
            raise ManifestError(f"{BATCH_ROWS:,} rows after row {number} hold {length:,} bytes of names")
        nothing = pa.nulls(batch.num_rows)
        for row in zip(*(_as_python(found.get(name, nothing)) for name in columns), strict=True):
            number += 1
            yield number, row


def _as_python(values: pa.Array) -> list[Any]:
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    elif pa.types.is_timestamp(values.type) and values.type.unit == "ns":
        values = values.cast(pa.timestamp("us", values.type.tz), safe=False)  # Python's times know no nanoseconds
    plain: list[Any] = values.to_pylist()
    return plain


def _check_schema(columns: Sequence[str], schema: pa.Schema) -> None:
    check_columns(columns, schema.names)
    if not _is_text(schema.field(columns[0]).type):
        raise ManifestError(f"its column {columns[0]!r} holds {_plain(schema.field(columns[0]).type)}, not text")


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    plain = _plain(kind)
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain) or pa.types.is_string_view(plain))


def _check_chunks(metadata: Any, column: str) -> None:
    """The sizes that the footer tells, before a page is unpacked; what is nested has several columns in the file."""
    paths = [metadata.schema.column(place).path for place in range(metadata.num_columns)]
    places = [place for place, path in enumerate(paths) if path == column or path.startswith(column + ".")]
    for group in range(metadata.num_row_groups):
        size = sum(metadata.row_group(group).column(place).total_uncompressed_size for place in places)
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
