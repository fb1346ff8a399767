"""The ledger of a file: one row for each of its records, in Parquet."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.elements import DeadLetter, ImageObject
from transforms.records import columns, layout
from transforms.records.output_error import OutputError
from transforms.stores import storage
from transforms.stores.spooling import naming, open_spool

SCHEMA = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("listed_version", pa.string()),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("updated", pa.timestamp("us", tz="UTC")),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("shard", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("stage", pa.string()),
        pa.field("error", pa.string()),
        pa.field("columns", pa.string()),
        pa.field("columns_digest", pa.string()),
        pa.field("reason", pa.string()),
    ]
)
READ = "read"  # the outcome of a container that was read to its end
LATER_COLUMNS = ("columns", "columns_digest", "reason")  # which ledgers of earlier builds of 0.1.0 do not have
# Why an incremental run embedded an image, or failed to: no earlier run met it, or it was gone; it was met with another
# version; it failed in this one; its listing tells no version, and a vector is there; or only its columns have changed.
REASONS = NEW, CHANGED, RETRIED, REPEATED, COLUMNS_CHANGED = "new", "changed", "retried", "repeated", "columns_changed"
ROWS_IN_MEMORY = 2000
BATCH_ROWS = 8192  # of a few columns, at a read


class LedgerSpool:
    """Rows that grow on local disk beside their file; the name of their shard is set at publish.

    Attributes:
        rows: added so far.
        reasons: of these, by their reason; without those that have none.
    """

    def __init__(self) -> None:
        self._file = open_spool()
        self._parquet = pq.ParquetWriter(self._file, SCHEMA, compression="zstd")
        self._waiting: list[dict[str, Any]] = []
        self.rows = 0
        self.reasons: Counter[str] = Counter()

    def add(self, source: ImageObject, outcome: str, failure: DeadLetter | None = None) -> None:
        self._waiting.append(ledger_row(source, self.rows, outcome, failure))
        self.rows += 1
        if source.reason:
            self.reasons[source.reason] += 1
        if len(self._waiting) >= ROWS_IN_MEMORY:
            self._flush()

    def stage(self, uri: str, metadata: Mapping[str, str]) -> None:
        """Finishes the file, with metadata of its own, and uploads it to `uri`."""
        self._flush()
        with naming():
            self._parquet.add_key_value_metadata(metadata)
            self._parquet.close()
            self._file.flush()
        storage.upload(self._file, uri)

    def close(self) -> None:
        """Closes the local file, staged or not, on a full disk, too."""
        for close in (self._parquet.close, self._file.close):
            with contextlib.suppress(OSError):
                close()

    def _flush(self) -> None:
        if self._waiting:
            with naming():
                self._parquet.write_table(pa.Table.from_pylist(self._waiting, SCHEMA))
            self._waiting.clear()


def ledger_row(source: ImageObject, row: int, outcome: str, failure: DeadLetter | None = None) -> dict[str, Any]:
    """One row of `SCHEMA`, but for its shard."""
    return {
        "uri": source.uri,
        "version": source.version,
        "listed_version": source.listed_version or None,
        "size": source.size,
        "updated": round(source.updated * 1_000_000) if _is_a_date(source.updated) else None,
        "outcome": outcome,
        "row": row,
        "stage": failure.stage if failure else None,
        "error": failure.error if failure else None,
        "columns": source.columns or None,
        "columns_digest": columns.digest(source.columns) or None,
        "reason": source.reason or None,
    }


def complete(staged: bytes, shard: str) -> tuple[bytes, int]:
    """A staged ledger with the name that its shard got, and the number of its rows; what it is too old for is null."""
    rows = pq.ParquetFile(pa.BufferReader(staged))
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, SCHEMA, compression="zstd") as parquet:
        for batch in rows.iter_batches(ROWS_IN_MEMORY):
            there = dict(zip(batch.schema.names, batch.columns, strict=True))
            there["shard"] = pa.repeat(shard, batch.num_rows)
            arrays = [there.get(field.name, pa.nulls(batch.num_rows, field.type)) for field in SCHEMA]
            parquet.write_batch(pa.RecordBatch.from_arrays(arrays, schema=SCHEMA))
    return sink.getvalue().to_pybytes(), rows.metadata.num_rows


def read_columns(ledger: str, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of a ledger, batch by batch, in the order of their names; those that it is too old for are null.

    Raises:
        OutputError: it is no ledger, or its shards have names that no run gives.
    """
    try:
        parquet = pq.ParquetFile(pa.BufferReader(storage.read_bytes(ledger)))
        check_schema(parquet.schema_arrow, ledger)
        present = set(parquet.schema_arrow.names)
        for batch in parquet.iter_batches(BATCH_ROWS, columns=[name for name in names if name in present]):
            nothing = pa.nulls(batch.num_rows, pa.string())  # what `LATER_COLUMNS` would hold
            found = [batch.column(name) if name in present else nothing for name in names]
            if "shard" in names:
                _check_names(batch.column("shard"), ledger)
            yield pa.RecordBatch.from_arrays(found, names=list(names))
    except pa.ArrowException as e:
        raise OutputError(f"{ledger}: no ledger that can be read: {e}") from None


def check_schema(schema: pa.Schema, ledger: str) -> None:
    """Raises OutputError where the columns of a ledger are not those that runs write."""
    for field in SCHEMA:
        if field.name in LATER_COLUMNS and field.name not in schema.names:
            continue
        if field.name not in schema.names or schema.field(field.name).type != field.type:
            raise OutputError(f"{ledger}: no ledger that runs write: its column {field.name!r} is not of {field.type}")


def _check_names(shards: pa.Array, ledger: str) -> None:
    for name in shards.unique().to_pylist():
        if name is None or not layout.SHARD.fullmatch(name):
            raise OutputError(f"{ledger}: it names a shard {name!r}, as no run does")


def _is_a_date(seconds: float | None) -> TypeGuard[float]:
    """Whether a time is one that can be shown; files may claim any."""
    return seconds is not None and 0 <= seconds < layout.YEAR_10000
