"""What earlier runs did with an image: the rows of their ledgers."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.pvalue import PBegin, PCollection

from transforms.elements import ImageObject
from transforms.stores import filesystems, storage
from transforms.stores.filesystems import StorageOptions

EMBED, UNCHANGED, FAILED_BEFORE, STAGED = "embed", "unchanged", "failed_before", "staged"
DELETED, GONE = "deleted", "gone"
PERMANENT_STAGES = ("decode", "embed")  # the same bytes would fail again; what fetching met may pass
LISTED = -1  # in place of a run, of a row of the listing
COLUMNS = ("uri", "version", "outcome", "stage")
BATCH_ROWS = 8192


class PastOutcome(NamedTuple):
    """What one run did with one image.

    Attributes:
        uri: of the image.
        run: place of the run in the order of time; later ones have larger numbers.
        outcome: "embedded", "failed" or "deleted", as in the ledger; or `STAGED`.
        version: of the image then.
        stage: where it failed.
    """

    uri: str
    run: int
    outcome: str
    version: str = ""
    stage: str = ""


class Sighting(NamedTuple):
    """What crosses the shuffle of `SelectImages`, in `blocks`: a listing row, or what an earlier run did.

    The fields of both side by side, since Beam's row coder pickles a row within a row. Annotations are types here and
    not texts, as it wants them.
    """

    uri: str
    version: str
    run: int = LISTED
    size: int = -1
    updated: float | None = None
    checksum: str = ""
    md5: str = ""
    outcome: str = ""
    stage: str = ""

    @classmethod
    def listed(cls, image: ImageObject) -> "Sighting":
        return cls(image.uri, image.version, LISTED, image.size, image.updated, image.checksum, image.md5)

    @classmethod
    def past(cls, past: PastOutcome) -> "Sighting":
        return cls(past.uri, past.version, past.run, outcome=past.outcome, stage=past.stage)

    def image(self) -> ImageObject:
        return ImageObject(self.uri, self.size, self.version, self.updated, self.checksum, md5=self.md5)

    def outcome_then(self) -> PastOutcome:
        return PastOutcome(self.uri, self.run, self.outcome, self.version, self.stage)


class LedgerFile(NamedTuple):
    """A ledger and the place of its run in the order of time."""

    uri: str
    run: int


def uri_hash(uri: str) -> bytes:
    """16 bytes that no two uris share by chance, evenly spread."""
    return hashlib.blake2b(uri.encode(), digest_size=16).digest()


def decide(image: ImageObject | None, past: Iterable[PastOutcome], *, retry_dead_letters: bool = False) -> str:
    """What is to be done with an image, from its listing row, None if it was not listed, and its past.

    Only the last run that met the image counts: an image that was changed and then changed back is embedded again,
    since the newest vector is of the version in between. One whose listing tells no version always is.

    Returns:
        EMBED; UNCHANGED: that version has its vector; FAILED_BEFORE: that version failed for good; STAGED: a killed
        attempt at this run has embedded it; and, of images that are listed no more, DELETED, or GONE when an earlier
        run has recorded that already.
    """
    last: PastOutcome | None = None
    for outcome in past:
        if outcome.outcome == STAGED:
            return STAGED
        if last is None or outcome.run > last.run:
            last = outcome
    if image is None:
        return GONE if last is None or last.outcome == "deleted" else DELETED
    if last is None or not image.version or last.version != image.version or last.outcome == "deleted":
        return EMBED
    if last.outcome == "embedded":
        return UNCHANGED
    return FAILED_BEFORE if last.stage in PERMANENT_STAGES and not retry_dead_letters else EMBED


@dataclass
class ReadHistory(beam.PTransform[PBegin, PCollection[PastOutcome]]):
    """Reads the columns of ledgers that `decide` needs. Out: `PastOutcome`.

    Attributes:
        ledgers: of the runs that count.
        storage_options: of the stores, see `filesystems.configure`.
    """

    ledgers: Sequence[LedgerFile]
    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, begin: PBegin) -> PCollection[PastOutcome]:
        rows: PCollection[PastOutcome] = (
            begin
            | "Ledgers" >> beam.Create([*self.ledgers])
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.FlatMap(self._rows).with_output_types(PastOutcome)
        )
        return rows

    def _rows(self, ledger: LedgerFile) -> Iterator[PastOutcome]:
        filesystems.configure(self.storage_options)
        for batch in read_columns(ledger.uri, COLUMNS):
            for uri, version, outcome, stage in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                yield PastOutcome(uri, ledger.run, outcome, version, stage or "")


def read_columns(ledger: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of a ledger, batch by batch."""
    parquet = pq.ParquetFile(pa.BufferReader(storage.read_bytes(ledger)))
    yield from parquet.iter_batches(BATCH_ROWS, columns=list(columns))
