"""The newest record of every image, chosen in blocks: held against ledgers gone through row by row."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.options.beam import LOCAL_RUNNER
from tests.collecting import Collect
from transforms import compacting
from transforms.compacting import TOLD, CountRecords, RunLedger, SelectLatest
from transforms.records import ledger
from transforms.records.placed import images_of, unpack

RUNS, IMAGES = 5, 300
OUTCOMES = ("embedded", "embedded", "deleted", "failed", "read")


@pytest.fixture
def ledgers(tmp_path: Path) -> list[RunLedger]:
    """Two ledgers a run, each of some images, in no order."""
    random = np.random.default_rng(3)
    made = []
    for run in range(RUNS):
        images = random.permutation(IMAGES)[: random.integers(IMAGES)]
        for number, some in enumerate(np.array_split(images, 2)):
            rows = []
            for row, image in enumerate(some.tolist()):
                outcome = OUTCOMES[random.integers(len(OUTCOMES))]
                rows.append(
                    dict.fromkeys(ledger.SCHEMA.names)
                    | {"uri": f"/写真/{image}.jpg", "version": f"{run}-{image}", "size": image, "outcome": outcome}
                    | {"updated": 1_700_000_000_123_456 + image if image % 3 else None, "row": row}
                    | {"shard": f"features-0000{number}-of-00002.tfrecord"}
                    | {"columns": f'{{"label": {image}}}' if image % 2 else None}
                )
            path = tmp_path / f"{run}-{number}.parquet"
            pq.write_table(pa.Table.from_pylist(rows, ledger.SCHEMA), path)
            made.append(RunLedger(str(path), f"/out/runs/{run}", run))
    return made


def row_by_row(ledgers: list[RunLedger], after: int) -> tuple[list[tuple[object, ...]], list[str]]:
    """(shard, row, uri, version, size, seconds, columns) of the newest records, and uris of what is gone."""
    newest: dict[str, tuple[int, str, dict[str, object]]] = {}
    for uri, folder, run in ledgers:
        for row in pq.read_table(uri).to_pylist():
            if row["outcome"] in ("embedded", "deleted") and newest.get(row["uri"], (-1,))[0] < run:
                newest[row["uri"]] = (run, folder, row)
    late = [(folder, row) for run, folder, row in newest.values() if run > after]
    records = [
        (f"{folder}/{row['shard']}", row["row"], row["uri"], row["version"], row["size"],
         row["updated"] and row["updated"].timestamp(), row["columns"] or "")
        for folder, row in late if row["outcome"] == "embedded"
    ]  # fmt: skip
    return sorted(records), sorted(str(row["uri"]) for _, row in late if row["outcome"] == "deleted")


@pytest.mark.parametrize(("units", "held", "after"), [(1, 1 << 24, -1), (7, 1, -1), (256, 5000, 2)])
def test_the_newest_are_those_that_are_found_row_by_row(
    units: int, held: int, after: int, ledgers: list[RunLedger], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compacting, "HELD_BYTES", held)
    monkeypatch.setattr(ledger, "BATCH_ROWS", 50)
    records, deleted, count = Collect(), Collect(), Collect()
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        found = pipeline | SelectLatest(ledgers, after=after, units=units)
        _ = found.records | "Records" >> records
        _ = found.deleted | "Gone" >> deleted
        _ = found.records | CountRecords() | "Count" >> count
    told = [
        (shard, row, image.uri, image.version, image.size, image.updated, image.columns)
        for shard, block in records.elements
        for row, image in images_of(unpack(block))
    ]
    assert (sorted(told), sorted(deleted.elements)) == row_by_row(ledgers, after)
    assert count.elements == [len(told)]


def test_only_what_is_asked_for_crosses_to_the_shards(ledgers: list[RunLedger]) -> None:
    for asked in (["columns"], ["uri", "version"]):
        records = Collect()
        with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
            _ = (pipeline | SelectLatest(ledgers, told=asked)).records | records
        for _, block in records.elements:
            rows = unpack(block)
            empty = {name for name in ("uri", *TOLD) if rows.column(name).null_count == rows.num_rows}
            assert empty >= {"uri", *TOLD} - set(asked)
            assert empty.isdisjoint({"uri", "version"} & set(asked))
