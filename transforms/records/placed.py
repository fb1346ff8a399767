"""Where records lie, as Arrow: rows of ledgers, many in a block, as they cross shuffles.

In a shuffle that the local runner holds in memory a row takes some 30 bytes, and what is looked at is looked at by
Arrow, some thousand rows at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from transforms.elements import ImageObject, PlacedRecord
from transforms.records.spilling import get, put

# Of `shard` and `row` see `PlacedRecord`; what a reader has not asked for is null.
SCHEMA = pa.schema(
    [
        pa.field("uri", pa.string()),
        pa.field("version", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("updated", pa.float64()),
        pa.field("columns", pa.string()),
        pa.field("run", pa.int64()),
        pa.field("shard", pa.string()),
        pa.field("row", pa.int64()),
    ]
)


def rows_of(count: int, columns: dict[str, Any]) -> pa.RecordBatch:
    """So many rows of some columns of `SCHEMA`; the others are null."""
    arrays = [columns.get(field.name, pa.nulls(count, field.type)) for field in SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def rows_of_records(records: Sequence[PlacedRecord]) -> pa.RecordBatch:
    """All that is kept of an image: what a ledger tells of it."""
    values = [(*_kept(record.image), record.run, record.shard, record.row) for record in records]
    columns = zip(*values, strict=True) if values else ([] for _ in SCHEMA)
    return pa.RecordBatch.from_arrays(
        [pa.array(column, field.type) for field, column in zip(SCHEMA, columns, strict=True)], schema=SCHEMA
    )


def images_of(rows: pa.RecordBatch) -> Iterator[tuple[int, ImageObject]]:
    """(row of the shard, image) of rows of which all is told that ledgers tell."""
    names = ("row", "uri", "size", "version", "updated", "columns")
    for row, uri, size, version, updated, columns in zip(*(rows.column(n).to_pylist() for n in names), strict=True):
        yield row, ImageObject(uri, size, version, updated, columns=columns or "")


def places_in(blocks: Iterable[bytes]) -> np.ndarray:
    """int64, the rows of a shard that its blocks tell, in ascending order."""
    rows = [unpack(block).column("row").to_numpy() for block in blocks]
    return np.sort(np.concatenate(rows)) if rows else np.zeros(0, np.int64)


def newest_of(rows: pa.Table) -> pa.Table:
    """The row of the latest run of each uri."""
    uris = rows["uri"].combine_chunks().dictionary_encode()
    order = np.argsort(rows["run"].to_numpy(), kind="stable")
    newest = np.empty(len(uris.dictionary), np.int64)
    newest[uris.indices.to_numpy()[order]] = order  # of several for one uri, the last one stays
    return rows.take(pa.array(newest))


def blocks_by(rows: pa.Table, keys: pa.Array) -> Iterator[tuple[Any, bytes]]:
    """(key, block) of the rows of each key."""
    encoded = keys.dictionary_encode()
    codes = encoded.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], np.arange(len(encoded.dictionary)), "right")
    ordered = rows.take(pa.array(order)).combine_chunks()
    for key, start, end in zip(encoded.dictionary.to_pylist(), [0, *ends.tolist()], ends.tolist(), strict=False):
        for batch in ordered.slice(start, end - start).to_batches():
            yield key, pack(batch)


def pack(rows: pa.RecordBatch) -> bytes:
    return put(rows.serialize())


def unpack(block: bytes) -> pa.RecordBatch:
    return pa.ipc.read_record_batch(get(block), SCHEMA)


def _kept(image: ImageObject) -> tuple[Any, ...]:
    return image.uri, image.version, image.size, image.updated, image.columns
