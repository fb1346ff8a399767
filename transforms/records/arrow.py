"""Records as Arrow batches of chosen columns: what programs read, and what exports write.

A column of which no image has more than one value is one of single values, null where there is none; of any other,
each row is a list. Which it is, ledgers tell (`spread`): batches of one table are of one schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from transforms.records.examples import example, float_feature
from transforms.records.tfrecord import read_blocks
from transforms.records.vectors import Split, split_blocks

URI, VERSION, EMBEDDING = "uri", "version", "embedding"
# Features of the records by the columns that every table has.
FEATURES = {URI: "image/uri", VERSION: "image/version", EMBEDDING: "image/embedding"}
# What records tell of every image besides, and of what kind; see `columns.KINDS`.
OWN = {"image/format": "text", "image/key/sha256": "text", "image/width": "int64", "image/height": "int64"}
TYPES = {"int64": pa.int64(), "float": pa.float32(), "text": pa.string(), "bytes": pa.binary()}
# Of which type tf.Examples hold them, as tfx-bsl gives it.
ENCODED = {"int64": pa.int64(), "float": pa.float32(), "text": pa.large_binary(), "bytes": pa.large_binary()}


class DamagedExampleError(Exception):
    """A record that is not what a run of that manifest writes."""


class Spread(NamedTuple):
    """How many values images have in a column: the least and the most."""

    least: int
    most: int


class ReadColumn(NamedTuple):
    """A column of a table.

    Attributes:
        feature: its name, in records and in the table.
        kind: of its values, one of `columns.KINDS`.
        spread: of these, over all rows of the table.
    """

    feature: str
    kind: str
    spread: Spread = Spread(1, 1)

    @property
    def arrow(self) -> pa.Field:
        of_one = TYPES[self.kind]
        return pa.field(self.feature, of_one if self.spread.most <= 1 else pa.list_(of_one), self.spread.least < 1)


class RecordReader:
    """Serialized tf.Examples in, Arrow batches of `schema` out.

    Args:
        feature_dim: values of an embedding.
        columns: that the batches get besides `uri`, `version` and `embedding`.
    """

    def __init__(self, feature_dim: int, columns: Sequence[ReadColumn]):
        self._feature_dim = feature_dim
        self._columns = columns
        self.schema = schema_of(feature_dim, columns)
        self._decoder = ExamplesToRecordBatchDecoder()

    def read_rows(self, shard: str, rows: Sequence[int], at_once: int) -> Iterator[pa.RecordBatch]:
        """Some records of a shard, as `tfrecord.read_blocks` has them; the next ones are read in a thread meanwhile.

        Raises:
            DamagedRecordError, DamagedExampleError: one of them does not hold, or is not there.
        """
        splits = split_blocks(read_blocks(shard, rows), FEATURES[EMBEDDING], self._feature_dim, at_once)
        with ThreadPoolExecutor(1) as thread:
            coming = thread.submit(next, splits, None)
            while (split := coming.result()) is not None:
                coming = thread.submit(next, splits, None)
                yield self.batch(split)

    def batch(self, split: Split) -> pa.RecordBatch:
        """Raises DamagedExampleError when a record is no tf.Example, or of other features than these."""
        try:
            decoded, embeddings = self._copied(split) or self._decoded(self._joined(split))
            uris, versions = (_single(_lists(decoded, FEATURES[name], "text"), pa.string()) for name in (URI, VERSION))
            arrays = [uris, versions, *(self._column(decoded, column) for column in self._columns)]
            return pa.RecordBatch.from_arrays([*arrays, embeddings], schema=self.schema)
        except (RuntimeError, ValueError, pa.ArrowException) as e:
            raise DamagedExampleError(str(e)) from None

    def _decoded(self, examples: Sequence[bytes]) -> tuple[pa.RecordBatch, pa.Array]:
        decoded = self._decoder.DecodeBatch(list(examples))
        return decoded, self._embeddings(decoded)

    def _copied(self, split: Split) -> tuple[pa.RecordBatch, pa.Array] | None:
        """What `_decoded` gives of the records, of which only what lies behind the vectors is decoded.

        None where one is written otherwise than runs do, or does not hold.
        """
        if split.whole:
            return None
        try:
            decoded = self._decoder.DecodeBatch([example(other) for other in split.others])
        except RuntimeError:
            return None
        if FEATURES[EMBEDDING] in decoded.schema.names:  # the last one would count
            return None
        count = len(split.others) * self._feature_dim
        flat = pa.Array.from_buffers(pa.float32(), count, [None, pa.py_buffer(split.vectors)])
        return decoded, pa.FixedSizeListArray.from_arrays(flat, self._feature_dim)

    def _joined(self, split: Split) -> list[bytes]:
        """The records as they were."""
        vectors = (float_feature(FEATURES[EMBEDDING], vector.tobytes()) for vector in split.vectors)
        return [example(vector, other) for vector, other in zip(vectors, split.others, strict=False)] + split.whole

    def _column(self, decoded: pa.RecordBatch, column: ReadColumn) -> pa.Array:
        lists = _lists(decoded, column.feature, column.kind)
        if column.spread.most <= 1:
            return _single(lists, TYPES[column.kind])
        return lists.cast(pa.list_(TYPES[column.kind]))

    def _embeddings(self, decoded: pa.RecordBatch) -> pa.Array:
        lists = _lists(decoded, FEATURES[EMBEDDING], "float")
        if pc.any(pc.not_equal(pc.fill_null(pc.list_value_length(lists), 0), self._feature_dim)).as_py():
            raise ValueError(f"an embedding of other than {self._feature_dim} values")
        return pa.FixedSizeListArray.from_arrays(lists.flatten(), self._feature_dim)


def schema_of(feature_dim: int, columns: Sequence[ReadColumn]) -> pa.Schema:
    """`uri`, `version`, the columns, and `embedding`, a fixed-size list of float32."""
    names = (pa.field(name, pa.string(), nullable=False) for name in (URI, VERSION))
    embedding = pa.field(EMBEDDING, pa.list_(pa.field("item", pa.float32(), nullable=False), feature_dim), False)
    return pa.schema([*names, *(column.arrow for column in columns), embedding])


def embeddings_of(batch: pa.RecordBatch | pa.Table) -> np.ndarray:
    """The embeddings of a batch: float32 [rows, features], of a batch without a copy."""
    embeddings = batch.column(EMBEDDING)
    if isinstance(embeddings, pa.ChunkedArray):
        embeddings = embeddings.combine_chunks()
    vectors: np.ndarray = embeddings.flatten().to_numpy(zero_copy_only=False)
    return vectors.reshape(batch.num_rows, embeddings.type.list_size)


def counts(carried: str) -> str:
    """How many values each column has of what is carried of an image (`records.columns`): few texts for many images."""
    if not carried:
        return ""
    values: Mapping[str, Any] = json.loads(carried)
    return json.dumps({name: _count(value) for name, value in values.items()})


def spread(of_images: Iterable[str], features: Sequence[str]) -> dict[str, Spread]:
    """The spread of each column over images, of each of which `counts` is given, at least once."""
    found = [json.loads(text) if text else {} for text in of_images]
    numbers = {feature: [values.get(feature, 0) for values in found] for feature in features}
    return {name: Spread(min(each, default=0), max(each, default=0)) for name, each in numbers.items()}


def _count(value: Any) -> int:
    return len(value) if isinstance(value, list) else int(value is not None)


def _lists(decoded: pa.RecordBatch, feature: str, kind: str) -> pa.Array:
    """The values of a feature, a list of each record: null, or empty, of one that has none.

    Raises:
        ValueError: they are of another kind.
    """
    place = decoded.schema.get_field_index(feature)
    wanted = pa.large_list(ENCODED[kind])
    if place < 0:
        return pa.nulls(decoded.num_rows, wanted)
    lists = decoded.column(place)
    if pa.types.is_null(lists.type):
        return lists.cast(wanted)
    if lists.type.value_type not in (ENCODED[kind], pa.null()):
        raise ValueError(f"its feature {feature!r} holds {lists.type.value_type}, not {kind}")
    return lists.cast(wanted)


def _single(lists: pa.Array, kind: pa.DataType) -> pa.Array:
    """The value of each list, null of an empty one.

    Raises:
        ValueError: a list of more.
    """
    lengths = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    values = lists.flatten().cast(kind)
    if (lengths == 1).all():
        return values
    if (lengths > 1).any():
        raise ValueError("several values of an image in a column of single ones")
    places = pa.array(np.cumsum(lengths) - 1, mask=lengths == 0)
    return values.take(places)
