"""Where a shard ends and the next one begins."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest

from pipeline.options.beam import LOCAL_RUNNER
from tests.collecting import Collect
from transforms.elements import EncodedBatch, ImageObject
from transforms.records.tfrecord import frame, read_records
from transforms.writing import WriteShards

RECORD = b"record" * 20
SIZE = len(frame(RECORD))


@pytest.mark.parametrize(
    ("shard_size", "expected"),
    [
        (1, [1] * 10),
        (3 * SIZE - 1, [3, 3, 3, 1]),
        (3 * SIZE, [3, 3, 3, 1]),
        (3 * SIZE + 1, [4, 4, 2]),
        (9 * SIZE, [9, 1]),
        (10 * SIZE, [10]),
        (99 * SIZE, [10]),
    ],
)
def test_a_shard_ends_with_the_record_that_fills_it(tmp_path: Path, shard_size: int, expected: list[int]) -> None:
    """Wherever batches end: of a batch, a shard takes what it has room for."""
    sources = [ImageObject(f"{number}.jpg", 1, "1") for number in range(10)]
    records = [RECORD[:-1] + bytes([number]) for number in range(10)]
    cuts = [(0, 4), (4, 5), (5, 10)]
    batches = [EncodedBatch(sources[first:end], records[first:end]) for first, end in cuts]
    staged = Collect()
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        made = pipeline | beam.Create([batches]) | beam.FlatMap(lambda each: each)
        _ = made | WriteShards(str(tmp_path), shard_size) | "Staged" >> staged
    assert [file.records for file in staged.elements] == expected
    found = []
    for file in staged.elements:
        with open(file.uri, "rb") as shard:
            found += read_records(shard)
    assert found == records
