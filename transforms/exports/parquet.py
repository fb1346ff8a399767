"""Parquet: `uri`, `version`, the columns, and `embedding` as a fixed-size list of float32.

Vectors do not compress, and are neither compressed nor looked through for statistics or repeated values. A row group is
some 8 MiB of them, a page 1 MiB: so much is read for one vector.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.exports.format import Format, Part
from transforms.records.arrow import EMBEDDING, URI
from transforms.stores.spooling import Spools
from transforms.stores.streams import Stream


def write(batches: Iterable[pa.RecordBatch], schema: pa.Schema, _: int, spool: Spools) -> Iterator[Part]:
    """One file, a row group for each batch."""
    file = spool.stream()
    with open_writer(file, schema) as parquet:
        for batch in batches:
            parquet.write_table(pa.Table.from_batches([batch]), row_group_size=max(1, batch.num_rows))
    yield ".parquet", file


def open_writer(file: IO[bytes] | Stream, schema: pa.Schema) -> pq.ParquetWriter:
    """Of a table that may have vectors."""
    # Parquet has a name of its own for what is in lists.
    leaves = [f"{field.name}.list.element" if pa.types.is_nested(field.type) else field.name for field in schema]
    plain = dict(zip(leaves, schema.names, strict=True))
    return pq.ParquetWriter(
        file,
        schema,
        compression={leaf: "none" if name == EMBEDDING else "zstd" for leaf, name in plain.items()},
        use_dictionary=[leaf for leaf, name in plain.items() if name not in (URI, EMBEDDING)],
        write_statistics=[leaf for leaf, name in plain.items() if name != EMBEDDING],
        write_page_index=True,
    )


PARQUET = Format("parquet", write)
