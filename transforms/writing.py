"""Write…: finished files of records, dead letters and what else a run tells, in staging, with their ledger rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, islice
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection
from apache_beam.utils.windowed_value import WindowedValue

from transforms import tally
from transforms.bundles import at_the_end
from transforms.elements import DeadLetter, EncodedBatch, ImageObject, ReadContainer, StagedFile
from transforms.records.spool import Spool
from transforms.records.tfrecord import frame
from transforms.stores import filesystems
from transforms.stores.filesystems import StorageOptions


@dataclass
class WriteShards(beam.PTransform[PCollection[EncodedBatch], PCollection[StagedFile]]):
    """Spools examples to local disk and uploads each shard whole when it is full, old, or its bundle ends.

    Nothing of a failed bundle is published: only files named by a `StagedFile` of a bundle that
    succeeded are, whatever else lies in the staging folder.

    In: `EncodedBatch`. Out: `StagedFile` of kind "features".

    Attributes:
        staging: folder that the files go to.
        shard_size: bytes of framed records, before compression, at which a shard is full.
        compression: a key of `layout.EXTENSIONS`.
        storage_options: of the stores, see `filesystems.configure`.
        shard_seconds: at which a shard is old: what is lost when its worker is killed; 0 for never.
    """

    staging: str
    shard_size: int
    compression: str = "none"
    storage_options: StorageOptions = field(default_factory=dict)
    shard_seconds: float = 0

    def expand(self, encoded: PCollection[EncodedBatch]) -> PCollection[StagedFile]:
        write = _WriteFeatures(
            "features", self.staging, self.shard_size, self.compression, self.storage_options, self.shard_seconds
        )
        staged: PCollection[StagedFile] = encoded | "Write" >> beam.ParDo(write).with_output_types(StagedFile)
        return staged


@dataclass
class WriteDeadLetters(beam.PTransform[PCollection[DeadLetter], PCollection[StagedFile]]):
    """In: `DeadLetter`. Out: `StagedFile` of kind "dead_letters", JSON Lines of about `shard_size` bytes."""

    staging: str
    shard_size: int = 16 << 20
    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, failed: PCollection[DeadLetter]) -> PCollection[StagedFile]:
        write = _WriteDeadLetters("dead_letters", self.staging, self.shard_size, "none", self.storage_options)
        staged: PCollection[StagedFile] = failed | "Write" >> beam.ParDo(write).with_output_types(StagedFile)
        return staged


@dataclass
class WriteDeleted(beam.PTransform[PCollection[ImageObject], PCollection[StagedFile]]):
    """In: `ImageObject` whose objects are gone. Out: `StagedFile` of kind "deleted", JSON Lines of their uris."""

    staging: str
    shard_size: int = 16 << 20
    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, deleted: PCollection[ImageObject]) -> PCollection[StagedFile]:
        write = _WriteDeleted("deleted", self.staging, self.shard_size, "none", self.storage_options)
        staged: PCollection[StagedFile] = deleted | "Write" >> beam.ParDo(write).with_output_types(StagedFile)
        return staged


@dataclass
class WriteContainers(beam.PTransform[PCollection[ReadContainer], PCollection[StagedFile]]):
    """In: `ReadContainer`. Out: `StagedFile` of kind "containers", JSON Lines of uri, version and number of members."""

    staging: str
    shard_size: int = 16 << 20
    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, read: PCollection[ReadContainer]) -> PCollection[StagedFile]:
        write = _WriteContainers("containers", self.staging, self.shard_size, "none", self.storage_options)
        staged: PCollection[StagedFile] = read | "Write" >> beam.ParDo(write).with_output_types(StagedFile)
        return staged


class _SpoolingDoFn(beam.DoFn):
    """Keeps one open `Spool` a bundle, and stages it when it is full, old, or the bundle ends."""

    def __init__(
        self,
        kind: str,
        staging: str,
        shard_size: int,
        compression: str,
        storage_options: StorageOptions,
        shard_seconds: float = 0,
    ):
        self._kind = kind
        self._staging = staging
        self._shard_size = shard_size
        self._compression = compression
        self._storage_options = storage_options
        self._shard_seconds = shard_seconds
        self._spool: Spool | None = None

    def setup(self) -> None:
        filesystems.configure(self._storage_options)

    def start_bundle(self) -> None:
        self.teardown()  # of a bundle that failed

    def teardown(self) -> None:
        if self._spool is not None:
            self._spool.keep()
            self._spool = None

    def _add(
        self, records: Sequence[bytes], sources: Sequence[ImageObject], failure: DeadLetter | None = None
    ) -> Iterator[StagedFile]:
        while records:
            if self._spool is None:
                self._spool = Spool(self._kind, self._staging, self._compression)
            sizes = accumulate(map(len, records), initial=self._spool.size)
            fitting = 1 + sum(1 for size in islice(sizes, 1, len(records)) if size < self._shard_size)
            self._spool.add(records[:fitting], sources[:fitting], failure)
            records, sources = records[fitting:], sources[fitting:]
            if self._spool.size >= self._shard_size or 0 < self._shard_seconds <= self._spool.age:
                spool, self._spool = self._spool, None
                yield spool.stage()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self._spool is not None:
            spool, self._spool = self._spool, None
            yield from at_the_end([spool.stage()])


class _WriteFeatures(_SpoolingDoFn):
    def process(self, element: EncodedBatch) -> Iterator[StagedFile]:
        yield from self._add([*map(frame, element.examples)], element.sources)
        tally.count("images_embedded", len(element.sources))


class _WriteDeleted(_SpoolingDoFn):
    def process(self, element: ImageObject) -> Iterator[StagedFile]:
        line = json.dumps({"uri": element.uri}, ensure_ascii=False) + "\n"
        yield from self._add([line.encode()], [element])


class _WriteContainers(_SpoolingDoFn):
    def process(self, element: ReadContainer) -> Iterator[StagedFile]:
        source = element.source
        fields = {"uri": source.uri, "version": source.version, "members": element.members}
        yield from self._add([(json.dumps(fields, ensure_ascii=False) + "\n").encode()], [source])


class _WriteDeadLetters(_SpoolingDoFn):
    def process(self, element: DeadLetter) -> Iterator[StagedFile]:
        for source in element.source.each():
            failure = element._replace(source=source)
            yield from self._add([dead_letter_line(failure)], [source], failure)
            tally.count("images_failed")


def dead_letter_line(failure: DeadLetter) -> bytes:
    """One line of JSON: uri, version, size, stage, error, message, and columns where some are carried."""
    fields: dict[str, Any] = {
        "uri": failure.source.uri,
        "version": failure.source.version,
        "size": failure.source.size,
        "stage": failure.stage,
        "error": failure.error,
        "message": failure.message,
    }
    if failure.source.columns:
        fields["columns"] = json.loads(failure.source.columns)
    return (json.dumps(fields, ensure_ascii=False) + "\n").encode()
