"""AdoptStaged: what a killed attempt at a run has finished becomes part of the next one."""

from __future__ import annotations

import io
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Any

import apache_beam as beam
import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.pvalue import PBegin, PCollection
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder
from typing_extensions import Buffer

from transforms.elements import PastOutcome, StagedFile
from transforms.history import STAGED
from transforms.records import documents
from transforms.records.ledger import REASONS, check_schema, read_columns
from transforms.records.output_error import OutputError
from transforms.records.spool import STAGED_FILE
from transforms.records.tfrecord import DamagedRecordError, decompressed, read_records
from transforms.stores import filesystems, storage
from transforms.stores.filesystems import StorageOptions
from transforms.stores.streaming import open_current

BATCH_RECORDS = 1024
logger = logging.getLogger("embed_images")


@dataclass
class AdoptStaged(beam.PTransform[PBegin, dict[str, PCollection[Any]]]):
    """Takes the finished shards of killed attempts that are what their ledgers say.

    A staging folder is one that others may write to: of each shard the size, the CRC32C, the number and the uris of its
    records are compared with its ledger, and its name is the one that it lies under. One that does not hold is left
    out, and its images are embedded again. Whether its images were listed by this run `SelectImages` finds out.

    Out: {"staged": (number of the ledger, `StagedFile`), "past": `PastOutcome` of `STAGED`, of all their images, whose
    `run` is that number}.

    Attributes:
        ledgers: uris of staged ledgers, which are written when their file is whole; those to be preferred first.
        compression: of the shards, a key of `layout.EXTENSIONS`.
        storage_options: of the stores, see `filesystems.configure`.
    """

    ledgers: Sequence[str]
    compression: str = "none"
    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, begin: PBegin) -> dict[str, PCollection[Any]]:
        staged = (
            begin
            | "Ledgers" >> beam.Create([*enumerate(self.ledgers)])
            | "Spread" >> beam.Reshuffle()
            | "Check" >> beam.FlatMapTuple(self._check).with_output_types(tuple[int, StagedFile])
        )
        return {"staged": staged, "past": staged | "Past" >> beam.FlatMapTuple(_past).with_output_types(PastOutcome)}

    def _check(self, number: int, ledger: str) -> Iterator[tuple[int, StagedFile]]:
        filesystems.configure(self.storage_options)
        try:
            yield number, describe_shard(ledger, self.compression)
        except OutputError as e:
            logger.warning("not taken over: %s", e)


def describe_shard(ledger: str, compression: str) -> StagedFile:
    """The shard of a staged ledger, compared with it.

    Raises:
        OutputError: the two do not agree, or one is not what runs write.
    """
    shard = ledger.removesuffix(".ledger")
    try:
        parquet = pq.ParquetFile(pa.BufferReader(storage.read_bytes(ledger)))
        check_schema(parquet.schema_arrow, ledger)
        note = documents.parse_staged_note((parquet.metadata.metadata or {}).get(STAGED_FILE.encode(), b""), ledger)
        uris = (uri for batch in read_columns(ledger, ["uri"]) for uri in batch.column(0).to_pylist())
        with open_current(shard) as file:
            counted = _Counted(file)
            for uri in _uris_of(decompressed(counted, compression)):
                if uri != next(uris, None):
                    raise OutputError(f"{shard}: its records are not those of its ledger")
            while counted.read(1 << 20):
                pass
    except FileNotFoundError:
        raise OutputError(f"{shard}: the shard of a ledger is missing") from None
    except (DamagedRecordError, pa.ArrowException, EOFError, OSError, ValueError, KeyError) as e:
        raise OutputError(f"{shard}: {type(e).__name__}: {e}") from None
    reasons = Counter(reason for batch in read_columns(ledger, ["reason"]) for reason in batch.column(0).to_pylist())
    found = (counted.bytes, counted.checksum.digest().hex(), parquet.metadata.num_rows)
    if found != (note["bytes"], note["crc32c"], note["records"]) or next(uris, None) is not None:
        raise OutputError(f"{shard}: size, checksum or number of records are not those of its ledger")
    told = {reason: reasons[reason] for reason in REASONS if reason in reasons}
    return StagedFile("features", shard, ledger, note["records"], counted.bytes, found[1], note["first_uri"], {}, told)


class _Counted(io.RawIOBase):
    """A file whose bytes are counted as they are read.

    Attributes:
        bytes: read so far.
        checksum: of these.
    """

    def __init__(self, file: IO[bytes]):
        self._file = file
        self.bytes = 0
        self.checksum = google_crc32c.Checksum()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        with memoryview(buffer) as room:
            data = self._file.read(len(room))
            room[: len(data)] = data
        self.bytes += len(data)
        self.checksum.update(data)
        return len(data)


def _uris_of(file: Any) -> Iterator[str]:
    """The uri of each record of a file."""
    decoder, records = ExamplesToRecordBatchDecoder(), read_records(file)
    while batch := list(islice(records, BATCH_RECORDS)):
        decoded = decoder.DecodeBatch(batch)
        for value in decoded.column("image/uri").to_pylist():
            if not value or not isinstance(value[0], bytes):
                raise ValueError("a record without a uri")
            yield value[0].decode()


def without(number: int, staged: StagedFile, rejected: Sequence[int] = ()) -> Iterator[StagedFile]:
    """The shard, unless its number is among the rejected."""
    if number not in rejected:
        yield staged


def _past(number: int, staged: StagedFile) -> Iterator[PastOutcome]:
    for batch in read_columns(staged.ledger_uri, ["uri", "version"]):
        for uri, version in zip(*(array.to_pylist() for array in batch.columns), strict=True):
            yield PastOutcome(uri, number, STAGED, version)
