"""StorePoints: the newest vectors into a vector database, what is gone out of it, and both looked at afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

import apache_beam as beam
from apache_beam.ml.rag.types import EmbeddableItem
from apache_beam.pvalue import AsList, AsSingleton, PCollection
from apache_beam.transforms.combiners import Count

from transforms.elements import Stored
from transforms.exporting import columns_of
from transforms.exports import qdrant
from transforms.exports.format import rows_at_once
from transforms.exports.qdrant import Sink, Target
from transforms.records.arrow import RecordReader, Spread
from transforms.records.placed import places_in, unpack
from transforms.records.uris import unit_of
from transforms.stores import filesystems
from transforms.stores.filesystems import StorageOptions

DELETING = 16  # units of uris, one worker each
T = TypeVar("T")


@dataclass
class StorePoints(beam.PTransform[Mapping[str, PCollection[Any]], PCollection[Stored]]):
    """Upserts records, deletes what is gone, and asks the database for both; each step begins when the last is done.

    In: {"records": (shard, block), see `records.placed`, of rows whose uri and version are told, "spreads": what
    `SpreadColumns` gives, "deleted": uris}. Out: `Stored`, to be added up.

    Raises, in a worker: what the client raises; what `RecordReader.read_rows` raises.

    Attributes:
        target: the collection.
        feature_dim: values of an embedding.
        columns: (feature, kind) of what goes along.
        storage_options: of the stores, see `filesystems.configure`.
    """

    target: Target
    feature_dim: int
    columns: Sequence[tuple[str, str]]
    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, inputs: Mapping[str, PCollection[Any]]) -> PCollection[Stored]:
        shards = inputs["records"] | "GroupByShard" >> beam.GroupByKey()
        read = beam.FlatMap(self._items, AsSingleton(inputs["spreads"])).with_output_types(EmbeddableItem)
        items = shards | "ReadItems" >> read
        upserted = items | "CountUpserted" >> Count.Globally() | "Upserted" >> beam.Map(lambda n: Stored(upserted=n))
        sink = Sink(self.target.connection, self.target.collection, dense_embedding_key=qdrant.VECTOR)
        # The sink gives nothing out; that this nothing is counted says that it is done.
        done = AsSingleton(items | "Upsert" >> sink.create_write_transform() | "Done" >> Count.Globally())
        found = shards | "FindPoints" >> beam.Map(self._find, done).with_output_types(Stored)
        deleted = (
            inputs["deleted"]
            | "Key" >> beam.Map(lambda uri: (unit_of(uri, DELETING), uri)).with_output_types(tuple[int, str])
            | "GroupDeleted" >> beam.GroupByKey()
            | "DeletePoints" >> beam.Map(self._delete, done).with_output_types(Stored)
        )
        changed = (found, deleted) | "Changed" >> beam.Flatten()
        start = shards.pipeline | "Start" >> beam.Create([None])
        points = start | "CountPoints" >> beam.Map(self._count, AsList(changed)).with_output_types(Stored)
        stored: PCollection[Stored] = (upserted, changed, points) | "Stored" >> beam.Flatten()
        return stored

    def _items(
        self, shard_and_blocks: tuple[str, Iterable[bytes]], spreads: Mapping[str, Spread]
    ) -> Iterator[EmbeddableItem]:
        filesystems.configure(self.storage_options)
        shard, blocks = shard_and_blocks
        reader = RecordReader(self.feature_dim, columns_of(self.columns, spreads))
        for batch in reader.read_rows(shard, places_in(blocks).tolist(), rows_at_once(self.feature_dim)):
            yield from qdrant.items(batch)

    def _find(self, shard_and_blocks: tuple[str, Iterable[bytes]], _: int) -> Stored:
        """By the ledgers, not by what was read."""
        rows = [unpack(block).select(["uri", "version"]) for block in shard_and_blocks[1]]
        versions = [(each["uri"], each["version"]) for batch in rows for each in batch.to_pylist()]
        with self.target.client() as client:
            collection = self.target.collection
            return Stored(found=sum(qdrant.found(client, collection, dict(of)) for of in _some(versions)))

    def _delete(self, unit_and_uris: tuple[int, Iterable[str]], _: int) -> Stored:
        with self.target.client() as client:
            collection = self.target.collection
            return Stored(deleted=sum(qdrant.delete(client, collection, uris) for uris in _some(unit_and_uris[1])))

    def _count(self, _: None, __: Sequence[Stored]) -> Stored:
        with self.target.client() as client:
            return Stored(points=qdrant.points(client, self.target.collection))


def _some(elements: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(elements)
    while some := list(islice(iterator, qdrant.POINTS)):
        yield some
