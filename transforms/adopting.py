"""AdoptStaged: what a killed attempt at a run has finished becomes part of the next one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.pvalue import AsList, PBegin, PCollection

from transforms.elements import PastOutcome, StagedFile
from transforms.history import STAGED
from transforms.records.ledger import read_columns
from transforms.stores import filesystems, storage
from transforms.stores.filesystems import StorageOptions
from transforms.writing import STAGED_FILE


@dataclass
class AdoptStaged(beam.PTransform[PBegin, dict[str, PCollection[Any]]]):
    """Takes the finished shards of killed attempts, as many as hold no image twice.

    A runner that tried a bundle again may have left shards of both tries. Of the shards that hold the same image only
    the first by its uri may stay, so it is one of them or none, and what none holds is embedded again.

    Out: {"staged": `StagedFile`, "past": `PastOutcome` of `STAGED`, of all their images}.

    Attributes:
        ledgers: uris of staged ledgers, which are written when their file is whole.
        storage_options: of the stores, see `filesystems.configure`.
    """

    ledgers: Sequence[str]
    storage_options: StorageOptions = field(default_factory=dict)

    def expand(self, begin: PBegin) -> dict[str, PCollection[Any]]:
        ledgers = begin | "Ledgers" >> beam.Create([*self.ledgers]) | "Spread" >> beam.Reshuffle()
        rows = ledgers | "ReadRows" >> beam.FlatMap(self._rows).with_output_types(tuple[str, str])
        overlapping = AsList(
            rows
            | "GroupByUri" >> beam.GroupByKey()
            | "AllButFirst" >> beam.FlatMapTuple(_all_but_first).with_output_types(str)
            | "Once" >> beam.Distinct()
        )
        staged = ledgers | "LeaveOutOverlapping" >> beam.Filter(_is_kept, overlapping)
        past = rows | "Past" >> beam.FlatMap(_past, overlapping).with_output_types(PastOutcome)
        return {"staged": staged | "Describe" >> beam.Map(self._describe).with_output_types(StagedFile), "past": past}

    def _rows(self, ledger: str) -> Iterator[tuple[str, str]]:
        filesystems.configure(self.storage_options)
        for batch in read_columns(ledger, ["uri"]):
            for uri in batch.column(0).to_pylist():
                yield uri, ledger

    def _describe(self, ledger: str) -> StagedFile:
        filesystems.configure(self.storage_options)
        metadata = pq.read_metadata(pa.BufferReader(storage.read_bytes(ledger))).metadata
        return StagedFile(**json.loads(metadata[STAGED_FILE.encode()]))


def _all_but_first(_: str, ledgers: Iterable[str]) -> list[str]:
    return sorted(set(ledgers))[1:]


def _is_kept(ledger: str, overlapping: Sequence[str]) -> bool:
    return ledger not in overlapping


def _past(row: tuple[str, str], overlapping: Sequence[str]) -> Iterator[PastOutcome]:
    uri, ledger = row
    if ledger not in overlapping:
        yield PastOutcome(uri, 0, STAGED)
