"""Vectors out of Parquet's pages: held against pyarrow, and whatever else may lie there left to it."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.exports.pages import plain_vectors
from transforms.exports.parquet import open_writer
from transforms.records.arrow import EMBEDDING, schema_of

ROWS, FEATURES = 700, 1000  # of more than one page


def batch(rows: int = ROWS) -> pa.RecordBatch:
    values = np.random.default_rng(1).normal(size=rows * FEATURES).astype(np.float32)
    schema = schema_of(FEATURES, [])
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(values), FEATURES).cast(schema.field(EMBEDDING).type)
    texts = pa.array([str(i) for i in range(rows)])
    return pa.RecordBatch.from_arrays([texts, texts, vectors], schema=schema)


def chunks(file: io.BytesIO) -> list[tuple[bytes, int]]:
    """(bytes, rows) of the embeddings of each row group."""
    metadata = pq.read_metadata(file)
    found = []
    for i in range(metadata.num_row_groups):
        group = metadata.row_group(i)
        column = group.column(group.num_columns - 1)
        start = column.dictionary_page_offset or column.data_page_offset
        found.append((file.getvalue()[start : start + column.total_compressed_size], group.num_rows))
    return found


def written(**options: Any) -> list[tuple[bytes, int]]:
    file = io.BytesIO()
    plain = {"compression": "none", "use_dictionary": False, "write_statistics": False}
    pq.write_table(pa.Table.from_batches([batch(50)]), file, **plain | options)
    return chunks(file)


def test_what_exports_write_is_read_as_pyarrow_reads_it() -> None:
    file = io.BytesIO()
    with open_writer(file, batch().schema) as writer:  # type: ignore[arg-type]
        for rows in (ROWS, 1, 3):
            writer.write_table(pa.Table.from_batches([batch(rows)]), row_group_size=rows)
    table = pq.read_table(file)
    vectors = [plain_vectors(memoryview(data), rows, FEATURES) for data, rows in chunks(file)]
    assert [len(each) for each in vectors if each is not None] == [ROWS, 1, 3]
    wanted = table[EMBEDDING].combine_chunks().flatten().to_numpy().reshape(-1, FEATURES)
    np.testing.assert_array_equal(np.concatenate([each for each in vectors if each is not None]), wanted)


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "snappy"},
        {"use_dictionary": True},
        {"data_page_version": "2.0"},
        {"use_byte_stream_split": ["embedding.list.element"]},
        {"write_statistics": True},
    ],
)
def test_what_is_laid_out_otherwise_is_left_to_pyarrow(options: dict[str, Any]) -> None:
    for data, rows in written(**options):
        assert plain_vectors(memoryview(data), rows, FEATURES) is None


@pytest.mark.parametrize("lists", [[[1.0, 2.0], [3.0, None], [5.0, 6.0]], [[1.0, 2.0], None, [3.0, 4.0]]])
def test_lists_with_nulls_are_left_to_pyarrow(lists: list[Any]) -> None:
    file = io.BytesIO()
    vectors = pa.array(lists, pa.list_(pa.float32(), 2))
    table = pa.table({EMBEDDING: vectors})
    pq.write_table(table, file, compression="none", use_dictionary=False, write_statistics=False)
    ((data, rows),) = chunks(file)
    assert plain_vectors(memoryview(data), rows, 2) is None


def test_damage_is_no_error_and_no_vectors_of_another_number() -> None:
    ((data, rows),) = written()
    assert plain_vectors(memoryview(data), rows, FEATURES) is not None
    for wrong in (rows - 1, rows + 1, 0, 1 << 40):
        assert plain_vectors(memoryview(data), wrong, FEATURES) is None
    for length in (0, 1, 5, 20, 30, len(data) - 1):
        assert plain_vectors(memoryview(data[:length]), rows, FEATURES) is None
    random = np.random.default_rng(2)
    for _ in range(2000):
        damaged = bytearray(data)
        damaged[random.integers(0, 40)] = random.integers(0, 256)
        found = plain_vectors(memoryview(damaged), rows, FEATURES)
        assert found is None or found.shape == (rows, FEATURES)
