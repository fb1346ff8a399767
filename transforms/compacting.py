"""SelectLatest and ReadRecords: the newest record of every image, out of the shards of many runs."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any, NamedTuple

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.pvalue import PBegin, PCollection, TaggedOutput

from transforms import tally
from transforms.elements import EncodedBatch
from transforms.packing import Pack
from transforms.records.ledger import read_columns
from transforms.records.placed import SCHEMA, blocks_by, images_of, newest_of, rows_of, unpack
from transforms.records.tfrecord import read_rows
from transforms.records.uris import UNITS_HERE
from transforms.stores import filesystems
from transforms.stores.filesystems import StorageOptions

# What ledgers tell of an image besides its uri and where its record lies.
TOLD = ("version", "size", "updated", "columns")
HELD_BYTES = 16 << 20  # of rows of all keys together, before they are packed
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
        records: (shard, block), see `records.placed`, of those that were not deleted after it.
        deleted: uris of those that were.
    """

    records: PCollection[tuple[str, bytes]]
    deleted: PCollection[str]


@dataclass
class SelectLatest(beam.PTransform[PBegin, Latest]):
    """Out: `Latest`, the newest record of every image, or that it is gone.

    Rows of ledgers are grouped by units of uris, in blocks: no element of a pipeline is an image.

    Attributes:
        ledgers: of runs of one generation.
        after: leave out what runs of this place in the order of time, and earlier ones, have found.
        keep_deleted: take the newest record of an image that is gone, too; then none is told to be.
        storage_options: of the stores, see `filesystems.configure`.
        told: which of `TOLD` is told of a record, and "uri" for its uri.
        units: into how many parts the uris are cut, by their hash; see `SelectImages`.
    """

    ledgers: Sequence[RunLedger]
    storage_options: StorageOptions = field(default_factory=dict)
    after: int = -1
    told: Sequence[str] = ("uri", *TOLD)
    units: int = UNITS_HERE
    keep_deleted: bool = False

    def expand(self, begin: PBegin) -> Latest:
        newest = (
            begin
            | "Ledgers" >> beam.Create([*self.ledgers])
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(self._rows).with_output_types(pa.RecordBatch)
            | "PackByUnit" >> beam.ParDo(_packing(self._units)).with_output_types(tuple[int, bytes])
            | "GroupByUnit" >> beam.GroupByKey()
            | "Newest" >> beam.FlatMapTuple(self._newest).with_outputs(DELETED, main="records")
        )
        pack = beam.ParDo(_packing(_shards)).with_output_types(tuple[str, bytes])
        deleted = beam.Map(lambda uri: uri).with_output_types(str)
        return Latest(newest["records"] | "PackByShard" >> pack, newest[DELETED] | "Deleted" >> deleted)

    def _rows(self, ledger: RunLedger) -> Iterator[pa.RecordBatch]:
        filesystems.configure(self.storage_options)
        wanted = [name for name in TOLD if name in self.told]
        settled = ["embedded"] if self.keep_deleted else ["embedded", "deleted"]
        for batch in read_columns(ledger.uri, ("uri", "outcome", "shard", "row", *wanted)):
            known = batch.filter(pc.is_in(batch.column("outcome"), pa.array(settled)))
            shards = pc.binary_join_element_wise(ledger.folder, known.column("shard"), "/")
            shards = pc.if_else(pc.equal(known.column("outcome"), "embedded"), shards, "")
            columns = {name: known.column(name) for name in ("uri", "row", *wanted)}
            if "updated" in columns:
                times = [time and time.timestamp() for time in columns["updated"].to_pylist()]
                columns["updated"] = pa.array(times, pa.float64())
            runs = pa.repeat(pa.scalar(ledger.run, pa.int64()), known.num_rows)
            yield rows_of(known.num_rows, {**columns, "run": runs, "shard": shards})

    def _units(self, rows: pa.Table) -> pa.Array:
        """By a quick hash, which nothing outside of the pipeline has to agree with."""
        uris = rows["uri"].cast(pa.binary()).to_pylist()
        return pa.array(np.fromiter(map(zlib.crc32, uris), np.int64, len(uris)) % self.units)

    def _newest(self, _: int, blocks: Iterable[bytes]) -> Iterator[Any]:
        newest = newest_of(pa.Table.from_batches(map(unpack, blocks)))
        newest = newest.filter(pc.greater(newest["run"], self.after))
        gone = pc.equal(newest["shard"], "")
        yield from (TaggedOutput(DELETED, uri) for uri in newest.filter(gone)["uri"].to_pylist())
        for batch in newest.filter(pc.invert(gone)).to_batches():
            tally.count("records_selected", batch.num_rows)
            wanted = {name: batch.column(name) for name in ("shard", "row", *self.told)}
            yield rows_of(batch.num_rows, wanted)


def _packing(keys: Callable[[pa.Table], pa.Array]) -> Pack[pa.RecordBatch]:
    """By keys of rows, a key each."""
    return Pack(partial(_blocks, keys=keys), attrgetter("nbytes"), HELD_BYTES)


def _blocks(held: list[pa.RecordBatch], keys: Callable[[pa.Table], pa.Array]) -> Iterator[tuple[Any, bytes]]:
    if held:
        rows = pa.Table.from_batches(held, SCHEMA)
        yield from blocks_by(rows, keys(rows))


def _shards(rows: pa.Table) -> pa.Array:
    return rows["shard"].combine_chunks()


@dataclass
class CountRecords(beam.PTransform[PCollection[tuple[str, bytes]], PCollection[int]]):
    """In: (shard, block), see `records.placed`. Out: one int, the rows of them all."""

    def expand(self, placed: PCollection[tuple[str, bytes]]) -> PCollection[int]:
        sizes = placed | "Size" >> beam.MapTuple(lambda _, block: unpack(block).num_rows).with_output_types(int)
        count: PCollection[int] = sizes | "Sum" >> beam.CombineGlobally(sum).with_output_types(int)
        return count


@dataclass
class ReadRecords(beam.PTransform[PCollection[tuple[str, bytes]], PCollection[EncodedBatch]]):
    """Reads each shard once, for the records that are wanted of it.

    In: (shard, block), see `records.placed`, of rows of which all is told. Out: `EncodedBatch`, bytes as they were.

    Raises, in a worker: DamagedRecordError.
    """

    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, wanted: PCollection[tuple[str, bytes]]) -> PCollection[EncodedBatch]:
        batches: PCollection[EncodedBatch] = (
            wanted
            | "GroupByShard" >> beam.GroupByKey()
            | "Read" >> beam.FlatMapTuple(self._read).with_output_types(EncodedBatch)
        )
        return batches

    def _read(self, shard: str, blocks: Iterable[bytes]) -> Iterator[EncodedBatch]:
        filesystems.configure(self.storage_options)
        images = dict(sorted((each for block in blocks for each in images_of(unpack(block))), key=itemgetter(0)))
        sources = iter(images.values())
        records = read_rows(shard, [*images])
        while examples := list(islice(records, BATCH_RECORDS)):
            yield EncodedBatch([*islice(sources, len(examples))], examples)
