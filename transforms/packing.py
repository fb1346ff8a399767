"""PackByUnit and PackByShard: rows in blocks, before they cross a shuffle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

import apache_beam as beam
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from transforms.elements import PlacedRecord
from transforms.inputs.containers.naming import container_of
from transforms.records import placed
from transforms.records.blocks import Sighting, pack
from transforms.records.uris import unit_of

HELD_SIGHTINGS = 1 << 14  # of all keys together, while their blocks grow; about 7 MB
K = TypeVar("K")
T = TypeVar("T")


@dataclass
class PackByUnit(beam.PTransform[PCollection[Sighting], PCollection[tuple[int, bytes]]]):
    """Packs the sightings of each unit of uris into blocks, for the one shuffle.

    In: `Sighting`. Out: (unit, block), for `unpack`.

    Attributes:
        units: into how many parts the uris are cut, by their hash; the members of a container are in its unit.
    """

    units: int

    def expand(self, sightings: PCollection[Sighting]) -> PCollection[tuple[int, bytes]]:
        packed: PCollection[tuple[int, bytes]] = sightings | "Pack" >> beam.ParDo(
            _Pack(partial(_unit, units=self.units), pack)
        ).with_output_types(tuple[int, bytes])
        return packed


@dataclass
class PackByShard(beam.PTransform[PCollection[tuple[str, PlacedRecord]], PCollection[tuple[str, bytes]]]):
    """Packs what is wanted of each shard into blocks.

    In: (shard, `PlacedRecord`). Out: (shard, block), see `records.placed`.
    """

    def expand(self, records: PCollection[tuple[str, PlacedRecord]]) -> PCollection[tuple[str, bytes]]:
        packed: PCollection[tuple[str, bytes]] = (
            records
            | "Record" >> beam.MapTuple(lambda _, record: record).with_output_types(PlacedRecord)
            | "Pack" >> beam.ParDo(_Pack(_shard, _pack_records)).with_output_types(tuple[str, bytes])
        )
        return packed


class _Pack(beam.DoFn, Generic[T, K]):
    def __init__(self, key: Callable[[T], K], pack: Callable[[list[T]], bytes]):
        self._key = key
        self._pack = pack

    def start_bundle(self) -> None:
        self._growing: dict[K, list[T]] = defaultdict(list)
        self._held = 0

    def process(self, element: T) -> Iterator[tuple[K, bytes]]:
        self._growing[self._key(element)].append(element)
        self._held += 1
        if self._held >= HELD_SIGHTINGS:
            yield from self._blocks()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for block in self._blocks():
            yield GlobalWindows.windowed_value_at_end_of_window(block)

    def _blocks(self) -> Iterator[tuple[K, bytes]]:
        growing = self._growing
        self.start_bundle()
        for key, elements in growing.items():
            yield key, self._pack(elements)


def _unit(sighting: Sighting, units: int) -> int:
    return unit_of(container_of(sighting.uri) or sighting.uri, units)


def _shard(record: PlacedRecord) -> str:
    return record.shard


def _pack_records(records: list[PlacedRecord]) -> bytes:
    return placed.pack(placed.rows_of_records(records))
