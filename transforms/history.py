"""What earlier runs did with an image: the rows of their ledgers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import apache_beam as beam
from apache_beam.pvalue import PBegin, PCollection

from transforms.elements import ImageObject, PastOutcome
from transforms.holding import HoldLease
from transforms.records.columns import digest
from transforms.records.leases import Lease
from transforms.records.ledger import CHANGED, COLUMNS_CHANGED, NEW, READ, REPEATED, RETRIED, read_columns
from transforms.stores import filesystems, storage
from transforms.stores.filesystems import StorageOptions

EMBED, UNCHANGED, FAILED_BEFORE, STAGED = "embed", "unchanged", "failed_before", "staged"
DELETED, GONE = "deleted", "gone"
# Further ones that `SelectImages` counts.
OUTSIDE, SELECTED, DISTINCT = "outside", "selected", "distinct"
PERMANENT_STAGES = ("unpack", "decode", "embed")  # the same bytes would fail again; what fetching met may pass
COLUMNS = ("uri", "version", "outcome", "stage")
OF_RECORDS = ("columns_digest", "shard", "row")  # which only runs that carry columns need


class LedgerFile(NamedTuple):
    """A ledger and the place of its run in the order of time."""

    uri: str
    run: int


def decide(
    image: ImageObject | None,
    past: Iterable[PastOutcome],
    *,
    retry_dead_letters: bool = False,
    compare_columns: bool = False,
) -> str:
    """What is to be done with an image, from its listing row, None if it was not listed, and its past.

    Only the last run that met the image counts: an image that was changed and then changed back is embedded again,
    since the newest vector is of the version in between. One whose listing tells no version always is.

    Returns:
        EMBED; UNCHANGED: that version has its vector; COLUMNS_CHANGED: it has, beside other columns, where these are
        compared; FAILED_BEFORE: that version failed for good; STAGED: a killed attempt at this run has embedded it;
        and, of images that are listed no more, DELETED, or GONE when an earlier
        run has recorded that already.
    """
    outcomes = list(past)
    if any(outcome.outcome == STAGED for outcome in outcomes):
        return STAGED
    last = newest_outcome(outcomes)
    if image is None:
        return GONE if last is None or last.outcome in ("deleted", READ) else DELETED
    if last is None or not image.version or last.version != image.version or last.outcome == "deleted":
        return EMBED
    if last.outcome == "embedded":
        return COLUMNS_CHANGED if compare_columns and last.columns != digest(image.columns) else UNCHANGED
    return FAILED_BEFORE if last.stage in PERMANENT_STAGES and not retry_dead_letters else EMBED


def reason_of(image: ImageObject, past: Iterable[PastOutcome]) -> str:
    """Why an image is embedded, by what earlier runs did with it: one of `ledger.REASONS`, but for other columns."""
    last = newest_outcome(outcome for outcome in past if outcome.outcome != STAGED)
    if last is None or last.outcome in ("deleted", READ):
        return NEW
    if image.version and last.version != image.version:
        return CHANGED
    return RETRIED if last.outcome == "failed" else REPEATED


def newest_outcome(past: Iterable[PastOutcome]) -> PastOutcome | None:
    """That of the last run; None of none."""
    return max(past, key=lambda outcome: outcome.run, default=None)


@dataclass
class ReadHistory(beam.PTransform[PBegin, PCollection[PastOutcome]]):
    """Reads the columns of ledgers that `decide` needs. Out: `PastOutcome`.

    Attributes:
        ledgers: of the runs that count.
        storage_options: of the stores, see `filesystems.configure`.
        lease: of the run, see `HoldLease`.
        of_records: read also what tells whether columns have changed, and where the records are.
    """

    ledgers: Sequence[LedgerFile]
    storage_options: StorageOptions = field(default_factory=dict)
    lease: Lease | None = None
    of_records: bool = False

    def expand(self, begin: PBegin) -> PCollection[PastOutcome]:
        rows: PCollection[PastOutcome] = (
            begin
            | "Ledgers" >> beam.Create([*self.ledgers])
            | "Spread" >> beam.Reshuffle()
            | "HoldLease" >> HoldLease(self.lease, self.storage_options)
            | "Read" >> beam.FlatMap(self._rows).with_output_types(PastOutcome)
        )
        return rows

    def _rows(self, ledger: LedgerFile) -> Iterator[PastOutcome]:
        filesystems.configure(self.storage_options)
        folder = ledger.uri.rpartition("/")[0]
        for batch in read_columns(ledger.uri, (*COLUMNS, *OF_RECORDS) if self.of_records else COLUMNS):
            rows = zip(*(array.to_pylist() for array in batch.columns), strict=True)
            for uri, version, outcome, stage, *of_record in rows:
                past = PastOutcome(uri, ledger.run, outcome, version, stage or "")
                if of_record:
                    columns, shard, row = of_record
                    past = past._replace(columns=columns or "", shard=storage.join(folder, shard), row=row)
                yield past
