"""Vertex AI Vector Search: JSON Lines of what is new or changed, and in `delete/` the ids of what is gone.

The format is that of https://cloud.google.com/vertex-ai/docs/vector-search/setup/format-structure: `id`, `embedding`,
`restricts` of texts and `numeric_restricts` of numbers. An id is the image's uri. A float32 is written with the fewest
digits that give it back.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from transforms.exports.format import Format, Part
from transforms.records.arrow import EMBEDDING, URI, VERSION
from transforms.stores.spooling import Spools

DELETED = "delete/"


def write(batches: Iterable[pa.RecordBatch], schema: pa.Schema, _: int, spool: Spools) -> Iterator[Part]:
    """One file, a line an image."""
    file = spool()
    columns = [field for field in schema if field.name not in (URI, VERSION, EMBEDDING)]
    for batch in batches:
        embeddings = batch.column(EMBEDDING)
        offsets = pa.array(range(0, (batch.num_rows + 1) * (size := embeddings.type.list_size), size), pa.int32())
        joined = pc.binary_join(pa.ListArray.from_arrays(offsets, embeddings.flatten().cast(pa.string())), ",")
        rows = batch.select([URI, *(field.name for field in columns)]).to_pylist()
        for row, values in zip(rows, joined.to_pylist(), strict=True):
            head = json.dumps({"id": row[URI], **_restricts(row, columns)}, ensure_ascii=False)
            file.write(f'{head[:-1]}, "embedding": [{values}]}}\n'.encode())
    yield ".json", file


def write_deleted(uris: Iterable[str], spool: Spools) -> Iterator[Part]:
    """One file, an id a line."""
    file = spool()
    for uri in uris:
        file.write(f"{uri}\n".encode())
    yield ".txt", file


def _restricts(row: dict[str, Any], columns: list[pa.Field]) -> dict[str, Any]:
    """What a query may filter by: of texts and bytes each value is allowed, of numbers one is told."""
    restricts, numeric = [], []
    for field in columns:
        values = row[field.name] if isinstance(row[field.name], list) else [row[field.name]]
        values = [value for value in values if value is not None]
        of_one = field.type.value_type if pa.types.is_list(field.type) else field.type
        if pa.types.is_int64(of_one) or pa.types.is_float32(of_one):
            named = "value_int" if pa.types.is_int64(of_one) else "value_float"
            numeric += [{"namespace": field.name, named: value} for value in values]
        elif values:
            allowed = [base64.b64encode(value).decode() if isinstance(value, bytes) else value for value in values]
            restricts.append({"namespace": field.name, "allow": allowed})
    return {name: found for name, found in (("restricts", restricts), ("numeric_restricts", numeric)) if found}


VERTEX = Format("vertex", write, by_changes=True, write_deleted=write_deleted)
