"""ExportShards, ExportDeleted, PublishExport: vectors as files of another format, published as a whole or not at all.

A file of an export is made of one shard, and named by what it holds: which records of which shard, as what. So a retry
writes the same one again, and the next export takes over those that would be the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import IO, Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.pvalue import AsList, AsSingleton, PCollection

from transforms.abreast import Abreast, Count
from transforms.elements import ExportedFile, Stored
from transforms.exports import formats
from transforms.exports.format import Part, rows_at_once
from transforms.records import arrow, exports, layout
from transforms.records.arrow import ReadColumn, RecordReader, Spread
from transforms.records.exports import Reusable
from transforms.records.placed import places_in, unpack
from transforms.records.uris import unit_of
from transforms.stores import filesystems, storage
from transforms.stores.filesystems import StorageOptions
from transforms.stores.spooling import Spools, finished, naming
from transforms.stores.streaming import open_current

DELETED_FILES = 16


@dataclass
class SpreadColumns(beam.PTransform[PCollection[tuple[str, bytes]], PCollection[Mapping[str, Spread]]]):
    """Of how many values each column of all images is.

    In: (shard, block), see `records.placed`, of rows whose columns are told where runs carry some. Out: one dict, by
    feature.
    """

    features: Sequence[str]

    def expand(self, placed: PCollection[tuple[str, bytes]]) -> PCollection[Mapping[str, Spread]]:
        count = beam.FlatMapTuple(lambda _, block: _counts_in(block)).with_output_types(str)
        different: PCollection[str] = placed | "Count" >> count | "Distinct" >> beam.Distinct()
        spreads: PCollection[Mapping[str, Spread]] = (
            different.pipeline
            | "Start" >> beam.Create([None])
            | "Spread" >> beam.Map(lambda _, texts: arrow.spread(texts, self.features), AsList(different))
        )
        return spreads


@dataclass
class ExportShards(beam.PTransform[Mapping[str, PCollection[Any]], PCollection[ExportedFile]]):
    """Writes the wanted records of each shard, as files of its own.

    In: {"records": (shard, block), see `records.placed`, "spreads": what `SpreadColumns` gives}. Out: `ExportedFile`.

    Attributes:
        folder: of the export.
        format: a name of `formats.FORMATS`.
        feature_dim: values of an embedding.
        columns: (feature, kind) of what is exported besides.
        attempts: by run id, what its manifest calls the pipeline that published it: a run id may have been used anew.
        reusable: files of an earlier export, by what their names begin with.
        storage_options: of the stores, see `filesystems.configure`.
    """

    folder: str
    format: str
    feature_dim: int
    columns: Sequence[tuple[str, str]]
    attempts: Mapping[str, str]
    reusable: Mapping[str, Sequence[Reusable]] = field(default_factory=dict)
    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, inputs: Mapping[str, PCollection[Any]]) -> PCollection[ExportedFile]:
        placed = beam.MapTuple(lambda shard, blocks: (shard, places_in(blocks).tolist()))
        export = beam.ParDo(Abreast(self._export), AsSingleton(inputs["spreads"]))
        files: PCollection[ExportedFile] = (
            inputs["records"]
            | "GroupByShard" >> beam.GroupByKey()
            | "Places" >> placed.with_output_types(tuple[str, list[int]])
            | "Export" >> export.with_output_types(ExportedFile)
        )
        return files

    def _export(
        self, placed: tuple[str, Sequence[int]], spreads: Mapping[str, Spread], count: Count
    ) -> Iterator[ExportedFile]:
        shard, rows = placed
        filesystems.configure(self.storage_options)
        columns = columns_of(self.columns, spreads)
        stem = f"{exports.STEM}{self._digest(shard, rows, columns)}"
        if reused := self._reused(shard, stem):
            count("records_exported", len(rows))
            yield from reused
            return
        reader = RecordReader(self.feature_dim, columns)
        batches = _counted(reader.read_rows(shard, rows, rows_at_once(self.feature_dim)), count)
        write = formats.FORMATS[self.format].write
        if write is None:
            raise ValueError(f"{self.format} is no format of files")
        yield from _upload(partial(write, batches, reader.schema, len(rows)), self.folder, stem, shard, len(rows))

    def _digest(self, shard: str, rows: Sequence[int], columns: Sequence[ReadColumn]) -> str:
        folder, name = posixpath.split(shard)
        attempt = self.attempts[posixpath.basename(folder)]
        seed = [self.format, attempt, name, self.feature_dim, columns, rows]
        return hashlib.sha256(json.dumps(seed).encode()).hexdigest()[: exports.DIGEST]

    def _reused(self, shard: str, stem: str) -> list[ExportedFile]:
        """The files of an earlier export that would be written again, in the folder of this one."""
        found = []
        for uri, records, size, crc32c in self.reusable.get(stem, ()):
            name = posixpath.basename(uri)
            storage.copy(uri, storage.join(self.folder, name))
            found.append(ExportedFile(shard, name, records, size, crc32c, True))
        return found


@dataclass
class ExportDeleted(beam.PTransform[PCollection[str], PCollection[ExportedFile]]):
    """Writes what is gone, for formats that are told of changes. In: uris. Out: `ExportedFile`."""

    folder: str
    format: str
    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, deleted: PCollection[str]) -> PCollection[ExportedFile]:
        files: PCollection[ExportedFile] = (
            deleted
            | "Key" >> beam.Map(lambda uri: (unit_of(uri, DELETED_FILES), uri)).with_output_types(tuple[int, str])
            | "Group" >> beam.GroupByKey()
            | "Write" >> beam.FlatMapTuple(self._write).with_output_types(ExportedFile)
        )
        return files

    def _write(self, _: int, uris: Iterable[str]) -> Iterator[ExportedFile]:
        filesystems.configure(self.storage_options)
        write = formats.FORMATS[self.format].write_deleted
        if write is None:
            raise ValueError(f"{self.format} is not told of what is gone")
        gone = sorted(uris)
        stem = f"{exports.DELETED}{hashlib.sha256(json.dumps(gone).encode()).hexdigest()[: exports.DIGEST]}"
        yield from _upload(partial(write, gone), self.folder, stem, "", len(gone))


@dataclass
class PublishExport(beam.PTransform[Mapping[str, PCollection[Any]], PCollection[str]]):
    """Writes the manifest of an export, then `_SUCCESS`, then which export is the current one.

    In: {"files": `ExportedFile`, or "stored": `Stored` of a database, "selected": one int, the vectors that were
    chosen, "gone": one int}. Out: the manifest as one JSON string.

    Raises, in a worker: RuntimeError when vectors were lost or doubled on the way.

    Attributes:
        to: where exports go, a folder each.
        head: what the manifest says besides files and counts; its `export` names the folder.
        storage_options: of the stores, see `filesystems.configure`.
    """

    to: str
    head: Mapping[str, Any]
    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, inputs: Mapping[str, PCollection[Any]]) -> PCollection[str]:
        start = inputs["selected"].pipeline | "Start" >> beam.Create([None])
        sides = (AsSingleton(inputs["selected"]), AsSingleton(inputs["gone"]))
        lists = {name: AsList(inputs[name]) for name in ("files", "stored") if name in inputs}
        publish = beam.Map(self._publish, *sides, **lists).with_output_types(str)
        manifest: PCollection[str] = start | "Publish" >> publish
        return manifest

    def _publish(
        self, _: None, selected: int, gone: int, files: Sequence[ExportedFile] = (), stored: Sequence[Stored] = ()
    ) -> str:
        filesystems.configure(self.storage_options)
        took = Stored(*(sum(parts) for parts in zip(*stored, strict=True)))
        folder = storage.join(self.to, self.head["export"])
        files = sorted({file.path: file for file in files}.values(), key=lambda file: (file.of, file.path))
        vectors = [file for file in files if exports.holds_vectors(file.path)]
        written = sum(file.records for file in vectors) + took.upserted
        deleted = sum(file.records for file in files if file.path.startswith(exports.DELETED)) + took.deleted
        if (written, deleted) != (selected, gone):
            raise RuntimeError(
                f"{selected} vectors and {gone} deletions were chosen but {written} and {deleted} written: not "
                f"publishing this export"
            )
        if stored and took.found != selected:
            raise RuntimeError(
                f"{selected} vectors were written but {took.found} are found in the collection: not publishing this "
                f"export"
            )
        if finish := formats.FORMATS[self.head["format"]].finish:
            paths = [file.path for file in vectors]
            files += _upload(partial(finish, paths, partial(_opened, folder)), folder, "", "", written)
        entries = [{name: getattr(file, name) for name in ("path", "records", "bytes", "crc32c")} for file in files]
        counts = {"vectors": written, "deleted": deleted, "files_reused": sum(file.reused for file in files)}
        counts |= {"points": took.points} if stored else {}
        finished = layout.timestamp(datetime.now(UTC), "seconds")
        manifest = json.dumps({**self.head, "finished": finished, "counts": counts, "files": entries}, indent=2)
        storage.write_bytes(storage.join(folder, exports.MANIFEST), manifest.encode())
        storage.write_bytes(storage.join(folder, layout.SUCCESS), b"")
        storage.write_bytes(storage.join(self.to, exports.CURRENT), self.head["export"].encode())
        return manifest


@contextmanager
def _opened(folder: str, path: str) -> Iterator[IO[bytes]]:
    with open_current(storage.join(folder, path)) as file:
        yield file


def columns_of(columns: Sequence[tuple[str, str]], spreads: Mapping[str, Spread]) -> list[ReadColumn]:
    """What is read of each (feature, kind), the same for all shards."""
    return [ReadColumn(name, kind, _widest(spreads.get(name))) for name, kind in columns]


def _widest(spread: Spread | None) -> Spread:
    """So that a night on which the first image lacks a value, or all have one again, changes no type."""
    if spread is None or spread.most <= 1:
        return Spread(0, 1)
    return Spread(0, 2)


def _counted(batches: Iterable[pa.RecordBatch], count: Count) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        yield batch
        count("records_exported", batch.num_rows)


def _counts_in(block: bytes) -> set[str]:
    return {arrow.counts(columns or "") for columns in unpack(block).column("columns").unique().to_pylist()}


def _upload(
    write: Callable[[Spools], Iterable[Part]], folder: str, stem: str, of: str, records: int
) -> Iterator[ExportedFile]:
    """What is written, as files of an export: on a local disk written once, where it is to lie."""
    here = filesystems.is_local(folder)
    if here:
        os.makedirs(folder, exist_ok=True)
    with Spools(folder if here else "") as spools:
        for extension, file, size, crc32c in _finished(write(spools), folder if here else None):
            storage.upload(file, storage.join(folder, stem + extension))
            yield ExportedFile(of, stem + extension, records, size, crc32c)


def _finished(parts: Iterable[Part], folder: str | None) -> Iterator[tuple[str, IO[bytes], int, str]]:
    with naming(folder):
        for extension, file in parts:
            yield extension, *finished(file)
