"""Vectors, as programs read them: as Arrow batches, in memory, and as a tf.data.Dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.errors import OutputError, RunError
from pipeline.outputs import dataset
from pipeline.outputs.history import PublishedRun
from pipeline.outputs.latest import newest_rows, rows_by_shard, runs_of_newest_generation
from transforms.records import arrow, layout
from transforms.records.arrow import EMBEDDING, FEATURES, OWN, URI, VERSION, ReadColumn, RecordReader
from transforms.records.tfrecord import DamagedRecordError, open_shard, read_records
from transforms.stores import storage

if TYPE_CHECKING:
    import tensorflow as tf

BATCH_RECORDS = 1024


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


@dataclass(frozen=True)
class Selection:
    """Which records of an output are read, and as what.

    Attributes:
        feature_dim: values of an embedding.
        columns: that are read besides.
        places: (URI of a shard, int64 rows in ascending order).
    """

    feature_dim: int
    columns: Sequence[ReadColumn]
    places: Sequence[tuple[str, np.ndarray]]

    @property
    def count(self) -> int:
        return sum(len(rows) for _, rows in self.places)

    def sampled(self, count: int, seed: int) -> Selection:
        """`count` of its records at random, the same ones for the same seed; all where there are no more."""
        if self.count <= count:
            return self
        chosen = np.sort(np.random.default_rng(seed).choice(self.count, count, replace=False))
        ends = np.cumsum([len(rows) for _, rows in self.places])
        parts = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
        starts = ends - [len(rows) for _, rows in self.places]
        places = zip(self.places, parts, starts, strict=True)
        return replace(self, places=[(shard, rows[part - start]) for (shard, rows), part, start in places if len(part)])

    @property
    def schema(self) -> pa.Schema:
        return arrow.schema_of(self.feature_dim, self.columns)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The records as batches of `schema`, one shard after the other.

        Raises:
            OutputError: a record does not hold, or is not there.
        """
        reader = RecordReader(self.feature_dim, self.columns)
        for shard, rows in self.places:
            found = 0
            try:
                for examples in _chosen(shard, rows):
                    found += len(examples)
                    yield reader.read(examples)
            except (DamagedRecordError, arrow.DamagedExampleError) as e:
                raise OutputError(f"{shard}: {e}; `embed-images verify` tells what else does not hold") from None
            if found != len(rows):
                raise OutputError(f"{shard}: it holds {found:,} of the {len(rows):,} records that its ledger has of it")


def select_features(
    output: str, *, run_id: str = "", columns: Sequence[str] | None = None, drop_deleted: bool = False
) -> Selection:
    """The newest record of every image, of the newest run's generation; or all records of one run.

    The ledgers are in memory meanwhile, some 100 bytes a row.

    Args:
        run_id: of one run; "" for the newest of all.
        columns: features that are read besides `uri`, `version` and `embedding`: those that runs carry, and
            `arrow.OWN`; None for all that are carried.
        drop_deleted: leave out images whose objects an incremental run has found deleted since.

    Raises:
        RunError: no such run, or no such column.
        OutputError: a run that is needed cannot be read.
    """
    runs = [_run_of(output, run_id)] if run_id else runs_of_newest_generation(output, all_of_them=True)
    kinds = {entry["feature"]: entry["kind"] for run in runs for entry in run.manifest.get("columns", [])}
    wanted = list(kinds) if columns is None else list(dict.fromkeys(columns))
    _check_columns(wanted, kinds, output)
    rows = newest_rows(runs, drop_deleted=drop_deleted, counted=bool(kinds.keys() & set(wanted)))
    spreads = {}
    if "counts" in rows.column_names:
        spreads = arrow.spread(rows["counts"].combine_chunks().unique().to_pylist(), list(kinds))
    found = [
        ReadColumn(name, kinds[name], spreads[name]) if name in kinds else ReadColumn(name, OWN[name])
        for name in wanted
    ]
    return Selection(runs[-1].manifest["model"]["feature_dim"], found, list(rows_by_shard(rows)))


def stream_features(
    output: str, *, run_id: str = "", columns: Sequence[str] | None = None, drop_deleted: bool = False
) -> pa.RecordBatchReader:
    """Vectors as Arrow batches of some 1,000 rows: `uri`, `version`, the columns, and `embedding`, a fixed-size list.

    What is in memory is one batch and the places of all records, some 100 bytes each while they are looked up.
    Arguments and errors are those of `select_features`; OutputError also of a record that does not hold, when it is
    read.
    """
    chosen = select_features(output, run_id=run_id, columns=columns, drop_deleted=drop_deleted)
    return pa.RecordBatchReader.from_batches(chosen.schema, chosen.batches())


def load_features(
    output: str, *, run_id: str = "", columns: Sequence[str] | None = None, drop_deleted: bool = False
) -> Features:
    """Vectors in memory: theirs, 4 bytes a value, and what uris and columns take, in Arrow.

    Arguments and errors are those of `stream_features`.
    """
    return load_selection(select_features(output, run_id=run_id, columns=columns, drop_deleted=drop_deleted))


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
    output: str, *, run_id: str = "", columns: Sequence[str] | None = None, drop_deleted: bool = False
) -> tf.data.Dataset:
    """Vectors as a dataset of dicts, one an image: `image/uri`, `image/embedding` float32 [features], and the columns.

    A column of which every image has exactly one value gives scalars; any other gives tensors [values], so that an
    image may have none, or many. Texts and bytes are tf.string. Nothing is kept in memory but a batch, and the places
    of all records; `shuffle` and `batch` are the caller's.

    Arguments and errors are those of `stream_features`.
    """
    import tensorflow as tf

    chosen = select_features(output, run_id=run_id, columns=columns, drop_deleted=drop_deleted)
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


def _run_of(output: str, run_id: str) -> PublishedRun:
    output = storage.normalize(output)
    if run_id not in dataset.run_ids(output):
        raise RunError(f"{output}: no published run {run_id!r}; `embed-images runs` lists those that are there")
    folder = layout.run_folder(output, run_id)
    return PublishedRun(folder, dataset.read_manifest(folder))


def _check_columns(wanted: Sequence[str], kinds: dict[str, str], output: str) -> None:
    if missing := [name for name in wanted if name not in kinds and name not in OWN]:
        there = ", ".join(map(repr, [*kinds, *OWN]))
        raise RunError(f"{output}: its records have no column {missing[0]!r}; they have {there}")
    if clashing := [name for name in wanted if name in FEATURES]:
        others = ", ".join(map(repr, (name for name in wanted if name not in FEATURES)))
        raise RunError(
            f"{output}: the column {clashing[0]!r} of its records has a name that tables have for another one; "
            f"choose columns without it ({others or 'none'})"
        )


def _chosen(shard: str, rows: np.ndarray) -> Iterator[list[bytes]]:
    """The records in these rows of a shard, some at a time."""
    wanted = iter(rows.tolist())
    next_row = next(wanted, None)

    def chosen() -> Iterator[bytes]:
        nonlocal next_row
        with open_shard(shard) as file:
            for row, record in enumerate(read_records(file)):
                if row == next_row:
                    yield record
                    next_row = next(wanted, None)
                    if next_row is None:
                        return

    records = chosen()
    while examples := list(islice(records, BATCH_RECORDS)):
        yield examples


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
