"""PackByUnit and PackByShard: rows in blocks, before they cross a shuffle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import apache_beam as beam
from apache_beam.pvalue import PCollection
from apache_beam.utils.windowed_value import WindowedValue

from transforms.bundles import at_the_end
from transforms.elements import PlacedRecord
from transforms.inputs.containers.naming import container_of
from transforms.records import placed
from transforms.records.blocks import Sighting, pack
from transforms.records.uris import unit_of

HELD_SIGHTINGS = 1 << 14  # of all keys together, while their blocks grow; about 7 MB
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
            Pack(partial(_by_key, key=partial(_unit, units=self.units), pack=pack), _one, HELD_SIGHTINGS)
        ).with_output_types(tuple[int, bytes])
        return packed


@dataclass
class PackByShard(beam.PTransform[PCollection[tuple[str, PlacedRecord]], PCollection[tuple[str, bytes]]]):
    """Packs what is wanted of each shard into blocks.

    In: (shard, `PlacedRecord`). Out: (shard, block), see `records.placed`.
    """

    def expand(self, records: PCollection[tuple[str, PlacedRecord]]) -> PCollection[tuple[str, bytes]]:
        packing = Pack(partial(_by_key, key=_shard, pack=_pack_records), _one, HELD_SIGHTINGS)
        packed: PCollection[tuple[str, bytes]] = (
            records
            | "Record" >> beam.MapTuple(lambda _, record: record).with_output_types(PlacedRecord)
            | "Pack" >> beam.ParDo(packing).with_output_types(tuple[str, bytes])
        )
        return packed


class Pack(beam.DoFn, Generic[T]):
    """Elements in, (key, block) out, of many elements of each key: they are held until there is enough of them.

    Args:
        blocks: makes (key, block) of those that are held.
        size: of an element, of which at most `most` are held, of all keys together.
    """

    def __init__(self, blocks: Callable[[list[T]], Iterator[tuple[Any, bytes]]], size: Callable[[T], int], most: int):
        self._blocks = blocks
        self._size = size
        self._most = most

    def start_bundle(self) -> None:
        self._held: list[T] = []
        self._sum = 0

    def process(self, element: T) -> Iterator[tuple[Any, bytes]]:
        self._held.append(element)
        self._sum += self._size(element)
        if self._sum >= self._most:
            yield from self._packed()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        yield from at_the_end(self._packed())

    def _packed(self) -> Iterator[tuple[Any, bytes]]:
        held = self._held
        self.start_bundle()
        return self._blocks(held)


def _by_key(
    elements: list[T], key: Callable[[T], Any], pack: Callable[[list[T]], bytes]
) -> Iterator[tuple[Any, bytes]]:
    """A block of the elements of each key."""
    each: dict[Any, list[T]] = defaultdict(list)
    for element in elements:
        each[key(element)].append(element)
    for of, its in each.items():
        yield of, pack(its)


def _one(_: object) -> int:
    return 1


def _unit(sighting: Sighting, units: int) -> int:
    return unit_of(container_of(sighting.uri) or sighting.uri, units)


def _shard(record: PlacedRecord) -> str:
    return record.shard


def _pack_records(records: list[PlacedRecord]) -> bytes:
    return placed.pack(placed.rows_of_records(records))
