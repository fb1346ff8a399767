"""SelectLatest and ReadRecords: the newest record of every image, out of the shards of many runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection, TaggedOutput

from transforms import tally
from transforms.elements import EncodedBatch, ImageObject, PlacedRecord
from transforms.history import READ
from transforms.packing import PackByShard
from transforms.records.blocks import unpack
from transforms.records.ledger import read_columns
from transforms.records.tfrecord import open_shard, read_records
from transforms.records.uris import uri_hash
from transforms.stores import filesystems, storage
from transforms.stores.filesystems import StorageOptions

COLUMNS = ("uri", "version", "size", "updated", "outcome", "shard", "row", "columns")
BATCH_RECORDS = 128
DELETED = "deleted"


class RunLedger(NamedTuple):
    """A ledger, the folder of its run, and the run's place in the order of time."""

    uri: str
    folder: str
    run: int


class Latest(NamedTuple):
    """What is newest of every image.

    Attributes:
        records: (shard, `PlacedRecord`), of those that were not deleted after it.
        deleted: uris of those that were.
    """

    records: PCollection[tuple[str, PlacedRecord]]
    deleted: PCollection[str]


@dataclass
class SelectLatest(beam.PTransform[PBegin, Latest]):
    """Out: `Latest`, the newest record of every image, or that it is gone.

    Attributes:
        ledgers: of runs of one generation.
        after: leave out what runs of this place in the order of time, and earlier ones, have found.
        storage_options: of the stores, see `filesystems.configure`.
    """

    ledgers: Sequence[RunLedger]
    storage_options: StorageOptions = field(default_factory=dict)
    after: int = -1

    def expand(self, begin: PBegin) -> Latest:
        newest = (
            begin
            | "Ledgers" >> beam.Create([*self.ledgers])
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(self._rows).with_output_types(tuple[bytes, PlacedRecord])
            | "GroupByUri" >> beam.GroupByKey()
            | "Newest" >> beam.FlatMapTuple(self._newest).with_outputs(DELETED, main="records")
        )
        records = beam.Map(lambda placed: placed).with_output_types(tuple[str, PlacedRecord])
        deleted = beam.Map(lambda uri: uri).with_output_types(str)
        return Latest(newest["records"] | "Records" >> records, newest[DELETED] | "Deleted" >> deleted)

    def _newest(self, _: bytes, records: Iterable[PlacedRecord]) -> Iterator[Any]:
        newest = max(records, key=lambda record: record.run)
        if newest.run <= self.after:
            return
        if newest.shard:
            tally.count("records_selected")
        yield (newest.shard, newest) if newest.shard else TaggedOutput(DELETED, newest.image.uri)

    def _rows(self, ledger: RunLedger) -> Iterator[tuple[bytes, PlacedRecord]]:
        filesystems.configure(self.storage_options)
        for batch in read_columns(ledger.uri, COLUMNS):
            for row in batch.to_pylist():
                if row["outcome"] in ("failed", READ):
                    continue
                updated = row["updated"].timestamp() if row["updated"] else None
                image = ImageObject(row["uri"], row["size"], row["version"], updated, columns=row["columns"] or "")
                shard = storage.join(ledger.folder, row["shard"]) if row["outcome"] == "embedded" else ""
                yield uri_hash(image.uri), PlacedRecord(image, ledger.run, shard, row["row"])


@dataclass
class ReadRecords(beam.PTransform[PCollection[tuple[str, PlacedRecord]], PCollection[EncodedBatch]]):
    """Reads each shard once, for the records that are wanted of it. Out: `EncodedBatch`, bytes as they were.

    Raises, in a worker: DamagedRecordError.
    """

    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, wanted: PCollection[tuple[str, PlacedRecord]]) -> PCollection[EncodedBatch]:
        batches: PCollection[EncodedBatch] = (
            wanted
            | "Pack" >> PackByShard()
            | "GroupByShard" >> beam.GroupByKey()
            | "Read" >> beam.FlatMapTuple(self._read).with_output_types(EncodedBatch)
        )
        return batches

    def _read(self, shard: str, blocks: Iterable[bytes]) -> Iterator[EncodedBatch]:
        filesystems.configure(self.storage_options)
        wanted = (sighting.placed_record() for block in blocks for sighting in unpack(block))
        images = {record.row: record.image for record in wanted}
        found = 0
        with open_shard(shard) as file:
            records = ((row, example) for row, example in enumerate(read_records(file)) if row in images)
            while batch := list(islice(records, BATCH_RECORDS)):
                found += len(batch)
                yield EncodedBatch([images[row] for row, _ in batch], [example for _, example in batch])
        if found != len(images):
            raise RuntimeError(f"{shard} holds {found} of the {len(images)} records that ledgers have of it")
