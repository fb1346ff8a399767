"""Tables written for others, as the name of their file says."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from transforms.stores import storage

JSON_LINES = (".jsonl", ".ndjson")


def write_table(table: pa.Table, uri: str) -> None:
    """As Parquet, CSV with a header, or JSON Lines, by an extension of `values.TABLES`; at a local path or in a store.

    Args:
        table: of columns of texts and numbers.
    """
    sink = pa.BufferOutputStream()
    if uri.endswith(JSON_LINES):
        sink.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist()).encode())
    elif uri.endswith(".csv"):
        pyarrow.csv.write_csv(table, sink)
    else:
        pq.write_table(table, sink, compression="zstd")
    storage.write_bytes(storage.normalize(uri), sink.getvalue().to_pybytes())
