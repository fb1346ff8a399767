"""Vectors, as programs read them: as Arrow batches, in memory, and as a tf.data.Dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.outputs.selection import Selection, select_features
from transforms.records import arrow
from transforms.records.arrow import EMBEDDING, FEATURES, URI, VERSION

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Features:
    """Vectors in memory, and what they are of; row by row.

    Attributes:
        uris: N of them.
        vectors: float32 [N, features].
        columns: by feature, what is carried of the images: NumPy arrays [N] of int64, float32 or, of texts, bytes and
            lists, and where an image has no value (None), of objects.
        table: all but the vectors as Arrow has it: `uri`, `version` and the columns.
    """

    vectors: np.ndarray
    table: pa.Table

    @property
    def uris(self) -> list[str]:
        uris: list[str] = self.table[URI].to_pylist()
        return uris

    @property
    def columns(self) -> dict[str, np.ndarray]:
        names = (name for name in self.table.column_names if name not in (URI, VERSION))
        return {name: _as_numpy(self.table[name]) for name in names}

    def to_arrow(self) -> pa.Table:
        """A table of `uri`, `version`, the columns and `embedding`, which is `vectors` without a copy."""
        flat = pa.array(self.vectors.reshape(-1))
        vectors = pa.FixedSizeListArray.from_arrays(flat, self.vectors.shape[1])
        return self.table.append_column(pa.field(EMBEDDING, vectors.type, nullable=False), vectors)


def stream_features(
    output: str, *, run_id: str = "", columns: Sequence[str] | None = None, keep_deleted: bool = False
) -> pa.RecordBatchReader:
    """Vectors as Arrow batches of some 1,000 rows: `uri`, `version`, the columns, and `embedding`, a fixed-size list.

    What is in memory is one batch and the places of all records, up to 1 KB each while they are looked up.
    Arguments and errors are those of `select_features`; OutputError also of a record that does not hold, when it is
    read.
    """
    chosen = select_features(output, run_id=run_id, columns=columns, keep_deleted=keep_deleted)
    return pa.RecordBatchReader.from_batches(chosen.schema, chosen.batches())


def load_features(
    output: str, *, run_id: str = "", columns: Sequence[str] | None = None, keep_deleted: bool = False
) -> Features:
    """Vectors in memory: theirs, 4 bytes a value, and what uris and columns take, in Arrow.

    Arguments and errors are those of `stream_features`.
    """
    return load_selection(select_features(output, run_id=run_id, columns=columns, keep_deleted=keep_deleted))


def load_selection(chosen: Selection) -> Features:
    """The chosen records in memory. Raises OutputError when one does not hold, or is not there."""
    vectors = np.empty((chosen.count, chosen.feature_dim), np.float32)
    tables, row = [], 0
    for batch in chosen.batches():
        vectors[row : row + batch.num_rows] = arrow.embeddings_of(batch)
        row += batch.num_rows
        tables.append(pa.Table.from_batches([batch]).drop_columns(EMBEDDING))
    schema = pa.schema([field for field in chosen.schema if field.name != EMBEDDING])
    return Features(vectors, pa.concat_tables(tables) if tables else schema.empty_table())


def read_features(
    output: str, *, run_id: str = "", columns: Sequence[str] | None = None, keep_deleted: bool = False
) -> tf.data.Dataset:
    """Vectors as a dataset of dicts, one an image: `image/uri`, `image/embedding` float32 [features], and the columns.

    A column of which every image has exactly one value gives scalars; any other gives tensors [values], so that an
    image may have none, or many. Texts and bytes are tf.string. Nothing is kept in memory but a batch, and the places
    of all records; `shuffle` and `batch` are the caller's.

    Arguments and errors are those of `stream_features`.
    """
    import tensorflow as tf

    chosen = select_features(output, run_id=run_id, columns=columns, keep_deleted=keep_deleted)
    types = {"int64": tf.int64, "float": tf.float32, "text": tf.string, "bytes": tf.string}
    signature: dict[str, tf.TypeSpec] = {
        FEATURES[URI]: tf.TensorSpec([None], tf.string),
        FEATURES[EMBEDDING]: tf.TensorSpec([None, chosen.feature_dim], tf.float32),
    }
    for column in chosen.columns:
        one = column.spread == (1, 1)
        signature[column.feature] = (
            tf.TensorSpec([None], types[column.kind])
            if one
            else tf.RaggedTensorSpec([None, None], types[column.kind], 1, tf.int64)
        )

    def batches() -> Iterator[dict[str, Any]]:
        for batch in chosen.batches():
            tensors = {FEATURES[URI]: _as_bytes(batch.column(URI)), FEATURES[EMBEDDING]: arrow.embeddings_of(batch)}
            for column in chosen.columns:
                array = batch.column(column.feature)
                tensors[column.feature] = _as_bytes(array) if column.spread == (1, 1) else _ragged(array)
            yield tensors

    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature).unbatch()
    return dataset.apply(tf.data.experimental.assert_cardinality(chosen.count))


def _as_numpy(column: pa.ChunkedArray) -> np.ndarray:
    array: np.ndarray
    if column.null_count or pa.types.is_list(column.type) or pa.types.is_string(column.type):
        array = np.empty(len(column), object)
        array[:] = column.to_pylist()
        return array
    array = column.to_numpy()
    return array


def _as_bytes(array: pa.Array) -> np.ndarray:
    """As TensorFlow takes it: texts as bytes."""
    if pa.types.is_string(array.type):
        array = array.cast(pa.binary())
    values: np.ndarray = array.to_numpy(zero_copy_only=False)
    return values


def _ragged(array: pa.Array) -> Any:
    """Lists, or values of which some are missing, as tf.RaggedTensor [rows, values]."""
    import tensorflow as tf

    if pa.types.is_list(array.type):
        lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
        values = array.flatten()
    else:
        lengths = array.is_valid().to_numpy(zero_copy_only=False).astype(np.int64)
        values = array.drop_null()
    flat = tf.constant(_as_bytes(values), {"string": tf.string, "binary": tf.string}.get(str(values.type)))
    return tf.RaggedTensor.from_row_lengths(flat, lengths.astype(np.int64))
