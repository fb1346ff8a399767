"""What crosses shuffles: blocks of rows, and what is in them on the other side."""

from __future__ import annotations

import apache_beam as beam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.options.beam import LOCAL_RUNNER
from tests.collecting import Collect
from transforms import packing
from transforms.elements import ImageObject, PastOutcome, PlacedRecord
from transforms.packing import PackByShard, PackByUnit
from transforms.records import placed
from transforms.records.blocks import Sighting, pack, unpack
from transforms.records.placed import images_of
from transforms.records.uris import unit_of

TEXTS = st.text(max_size=20)
IMAGES = st.builds(
    ImageObject,
    uri=TEXTS,
    size=st.integers(-1, 1 << 50),
    version=TEXTS,
    updated=st.none() | st.floats(allow_nan=False),
    checksum=TEXTS,
    md5=TEXTS,
    listed_version=st.just(""),
    copies=st.just(()),
    columns=TEXTS,
    content=st.none(),
    reason=st.just(""),
)
OUTCOMES = st.builds(
    PastOutcome,
    uri=TEXTS,
    run=st.integers(0, 1 << 40),
    outcome=TEXTS,
    version=TEXTS,
    stage=TEXTS,
    columns=TEXTS,
    shard=TEXTS,
    row=st.integers(-1, 1 << 40),
)


@given(st.lists(st.builds(Sighting.listed, IMAGES) | st.builds(Sighting.past, OUTCOMES), max_size=30))
def test_a_block_holds_what_was_packed(sightings: list[Sighting]) -> None:
    found = list(unpack(pack(sightings)))
    assert found == sightings
    assert all(type(sighting) is Sighting for sighting in found)


@given(IMAGES, OUTCOMES)
def test_sightings_give_back_what_they_are_of(image: ImageObject, outcome: PastOutcome) -> None:
    assert Sighting.listed(image).image() == image
    assert Sighting.past(outcome).outcome_then() == outcome


def test_every_sighting_is_in_a_block_of_its_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "HELD_SIGHTINGS", 10)
    sightings = [Sighting.listed(ImageObject(f"{number}.jpg", number)) for number in range(95)]
    packed = Collect()
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        _ = pipeline | beam.Create(sightings) | PackByUnit(4) | packed
    found = [(unit, sighting) for unit, block in packed.elements for sighting in unpack(block)]
    assert all(unit == unit_of(sighting.uri, 4) for unit, sighting in found)
    assert sorted(sighting for _, sighting in found) == sorted(sightings)
    assert len(packed.elements) >= 10  # a block ends before all are in it


def test_every_record_that_is_wanted_is_in_a_block_of_its_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "HELD_SIGHTINGS", 10)
    records = [PlacedRecord(ImageObject(f"{n}.jpg", n, columns="{}"), n % 2, f"{n % 3}.tfrecord", n) for n in range(95)]
    packed = Collect()
    with beam.Pipeline(runner=LOCAL_RUNNER) as pipeline:
        _ = pipeline | beam.Create([(record.shard, record) for record in records]) | PackByShard() | packed
    found = [(shard, *each) for shard, block in packed.elements for each in images_of(placed.unpack(block))]
    assert sorted(found) == sorted((record.shard, record.row, record.image) for record in records)
    assert 10 <= len(packed.elements) < len(records)


def test_many_rows_make_small_blocks() -> None:
    """So that a night of a million images fits into the memory of one machine."""
    images = [
        ImageObject(f"gs://bucket/photos/{n // 1000:04}/{n:07}.jpg", 50_000 + n, f"17{n:014}", 1.7e9 + n)
        for n in range(0, 64_000, 1000)
    ]
    rows = [Sighting.listed(image) for image in images]
    assert len(pack(rows)) < 50 * len(rows)
