"""PackByUnit: listing rows and what is known of earlier runs, in blocks, before they cross the one shuffle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import apache_beam as beam
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from transforms.inputs.containers.naming import container_of
from transforms.records.blocks import Sighting, pack
from transforms.records.uris import unit_of

HELD_SIGHTINGS = 1 << 14  # of all units together, while their blocks grow; about 7 MB


@dataclass
class PackByUnit(beam.PTransform[PCollection[Sighting], PCollection[tuple[int, bytes]]]):
    """Packs the sightings of each unit of uris into blocks.

    In: `Sighting`. Out: (unit, block), for `unpack`.

    Attributes:
        units: into how many parts the uris are cut, by their hash; the members of a container are in its unit.
    """

    units: int

    def expand(self, sightings: PCollection[Sighting]) -> PCollection[tuple[int, bytes]]:
        packed: PCollection[tuple[int, bytes]] = sightings | "Pack" >> beam.ParDo(_Pack(self.units)).with_output_types(
            tuple[int, bytes]
        )
        return packed


class _Pack(beam.DoFn):
    def __init__(self, units: int):
        self._units = units

    def start_bundle(self) -> None:
        self._growing: dict[int, list[Sighting]] = defaultdict(list)
        self._held = 0

    def process(self, element: Sighting) -> Iterator[tuple[int, bytes]]:
        self._growing[unit_of(container_of(element.uri) or element.uri, self._units)].append(element)
        self._held += 1
        if self._held >= HELD_SIGHTINGS:
            yield from self._blocks()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for block in self._blocks():
            yield GlobalWindows.windowed_value_at_end_of_window(block)

    def _blocks(self) -> Iterator[tuple[int, bytes]]:
        growing = self._growing
        self.start_bundle()
        for unit, sightings in growing.items():
            yield unit, pack(sightings)
