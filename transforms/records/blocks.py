"""How listing rows and what is known of earlier runs cross shuffles: as sightings, many in a block.

The local runner holds what it shuffles in memory, as Python objects: a row of its own takes 1 KB there, and 33 bytes
within a block.
"""

from __future__ import annotations

import functools
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.coders import IterableCoder, RowCoder
from apache_beam.coders.typecoders import registry
from apache_beam.pvalue import PCollection
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from transforms.history import Sighting, uri_hash

HELD_SIGHTINGS = 1 << 14  # of all units together, while their blocks grow; about 7 MB
ZLIB_LEVEL = 1  # 6 makes blocks smaller by 6 %, in half as much time again


@dataclass
class PackByUnit(beam.PTransform[PCollection[Sighting], PCollection[tuple[int, bytes]]]):
    """Packs the sightings of each unit of uris into blocks.

    In: `Sighting`. Out: (unit, block), for `unpack`.

    Attributes:
        units: into how many parts the uris are cut, by their hash.
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
        self._growing[unit_of(element.uri, self._units)].append(element)
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


def unit_of(uri: str, units: int) -> int:
    return int.from_bytes(uri_hash(uri)[:8], "big") % units


def pack(sightings: Iterable[Sighting]) -> bytes:
    """Beam's encoding of rows, compressed."""
    return zlib.compress(_coder().encode(list(sightings)), ZLIB_LEVEL)


def unpack(block: bytes) -> Iterator[Sighting]:
    """The sightings of a block, in their order."""
    yield from map(Sighting._make, _coder().decode(zlib.decompress(block)))


@functools.cache
def _coder() -> Any:
    """Of rows with typed fields. It is not registered with Beam, whose row coders give rows of a type without methods
    in a process that has not built the pipeline."""
    return IterableCoder(RowCoder.from_type_hint(Sighting, registry))
