"""Write…: finished files of records, dead letters and what else a run tells, in staging, with their ledger rows."""

from __future__ import annotations

import contextlib
import gzip
import json
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from transforms import tally
from transforms.elements import DeadLetter, EncodedBatch, ImageObject, ReadContainer, StagedFile
from transforms.history import READ
from transforms.records.ledger import LedgerSpool
from transforms.records.tfrecord import frame
from transforms.stores import filesystems, storage
from transforms.stores.filesystems import StorageOptions
from transforms.stores.spooling import naming, open_spool, size_and_crc32c

OUTCOMES = {"features": "embedded", "dead_letters": "failed", "deleted": "deleted", "containers": READ}
STAGED_FILE = "staged_file"  # the key of a staged ledger's metadata that tells of its file
GZIP_LEVEL = 1  # vectors hardly compress: level 9 costs many times more for a percent


@dataclass
class WriteShards(beam.PTransform[PCollection[EncodedBatch], PCollection[StagedFile]]):
    """Spools examples to local disk and uploads each shard whole when it is full or its bundle ends.

    Nothing of a failed bundle is published: only files named by a `StagedFile` of a bundle that
    succeeded are, whatever else lies in the staging folder.

    In: `EncodedBatch`. Out: `StagedFile` of kind "features".

    Attributes:
        staging: folder that the files go to.
        shard_size: bytes of framed records, before compression, at which a shard is full.
        compression: a key of `layout.EXTENSIONS`.
        storage_options: of the stores, see `filesystems.configure`.
    """

    staging: str
    shard_size: int
    compression: str = "none"
    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, encoded: PCollection[EncodedBatch]) -> PCollection[StagedFile]:
        write = _WriteFeatures("features", self.staging, self.shard_size, self.compression, self.storage_options)
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
    """Keeps one open `Spool` a bundle, and stages it when it is full or the bundle ends."""

    def __init__(self, kind: str, staging: str, shard_size: int, compression: str, storage_options: StorageOptions):
        self._kind = kind
        self._staging = staging
        self._shard_size = shard_size
        self._compression = compression
        self._storage_options = storage_options
        self._spool: Spool | None = None

    def setup(self) -> None:
        filesystems.configure(self._storage_options)

    def start_bundle(self) -> None:
        self.teardown()  # of a bundle that failed

    def teardown(self) -> None:
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _add(self, record: bytes, source: ImageObject, failure: DeadLetter | None = None) -> Iterator[StagedFile]:
        if self._spool is None:
            self._spool = Spool(self._kind, self._staging, self._compression)
        self._spool.add(record, source, failure)
        if self._spool.size >= self._shard_size:
            spool, self._spool = self._spool, None
            yield spool.stage()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        if self._spool is not None:
            spool, self._spool = self._spool, None
            yield GlobalWindows.windowed_value_at_end_of_window(spool.stage())


class _WriteFeatures(_SpoolingDoFn):
    def process(self, element: EncodedBatch) -> Iterator[StagedFile]:
        for source, example in zip(element.sources, element.examples, strict=True):
            yield from self._add(frame(example), source)
        tally.count("images_embedded", len(element.sources))


class _WriteDeleted(_SpoolingDoFn):
    def process(self, element: ImageObject) -> Iterator[StagedFile]:
        yield from self._add((json.dumps({"uri": element.uri}, ensure_ascii=False) + "\n").encode(), element)


class _WriteContainers(_SpoolingDoFn):
    def process(self, element: ReadContainer) -> Iterator[StagedFile]:
        source = element.source
        fields = {"uri": source.uri, "version": source.version, "members": element.members}
        yield from self._add((json.dumps(fields, ensure_ascii=False) + "\n").encode(), source)


class _WriteDeadLetters(_SpoolingDoFn):
    def process(self, element: DeadLetter) -> Iterator[StagedFile]:
        for source in element.source.each():
            failure = element._replace(source=source)
            yield from self._add(dead_letter_line(failure), source, failure)
            tally.count("images_failed")


class Spool:
    """A file that grows on local disk, and the ledger of its records beside it.

    Attributes:
        size: bytes added so far, before compression.
    """

    def __init__(self, kind: str, staging: str, compression: str = "none"):
        self._kind = kind
        self._target = storage.join(staging, f"{kind}-{uuid.uuid4().hex}")
        plain = open_spool()
        self._file = plain
        if compression == "gzip":
            # mtime=0 and no name: the same records make the same bytes.
            self._file = gzip.GzipFile("", "wb", GZIP_LEVEL, plain, mtime=0)  # type: ignore[assignment]
        self._plain = plain
        self._ledger = LedgerSpool()
        self._first_uri = ""
        self._errors: Counter[str] = Counter()
        self.size = 0

    def add(self, record: bytes, source: ImageObject, failure: DeadLetter | None = None) -> None:
        """Raises OSError, which names the folder of temporary files, when the disk is full."""
        with naming():
            self._file.write(record)
        self.size += len(record)
        self._first_uri = self._first_uri or source.uri
        self._ledger.add(source, OUTCOMES[self._kind], failure)
        if failure is not None:
            self._errors[failure.error] += 1

    def close(self) -> None:
        """Closes the local files, staged or not, on a full disk, too."""
        for file in (self._file, self._plain):
            with contextlib.suppress(OSError):
                file.close()
        self._ledger.close()

    def stage(self) -> StagedFile:
        """Finishes the file, and uploads it and its ledger; nothing stays on the local disk, whatever happens."""
        with contextlib.closing(self):
            return self._stage()

    def _stage(self) -> StagedFile:
        with naming():
            if self._file is not self._plain:
                self._file.close()  # which leaves the plain one open
            self._plain.flush()
        size, crc32c = size_and_crc32c(self._plain)
        storage.upload(self._plain, self._target)
        ledger_uri = f"{self._target}.ledger"
        staged = StagedFile(
            kind=self._kind,
            uri=self._target,
            ledger_uri=ledger_uri,
            records=self._ledger.rows,
            bytes=size,
            crc32c=crc32c,
            first_uri=self._first_uri,
            errors=dict(self._errors),
            reasons=dict(self._ledger.reasons),
        )
        # The ledger comes last and tells of its file: where it is, the file is whole, whatever became of the bundle.
        self._ledger.stage(ledger_uri, {STAGED_FILE: json.dumps(staged._asdict())})
        return staged


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
