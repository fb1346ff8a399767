"""How listing rows and what is known of earlier runs cross shuffles: as sightings, many in a block.

The local runner holds what it shuffles in memory, as Python objects: a row of its own takes 1 KB there, and 10 to
14 bytes within a block; and the blocks themselves it need not hold (`spilling`).
"""

import functools
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from apache_beam.coders import IterableCoder, RowCoder
from apache_beam.coders.typecoders import registry

from transforms.elements import ImageObject, PastOutcome
from transforms.records.spilling import get, put

LISTED = -1  # in place of a run, of a row of the listing


class Sighting(NamedTuple):
    """What crosses shuffles: a listing row, or what an earlier run did.

    The fields of both side by side, since Beam's row coder pickles a row within a row. Annotations are types here
    and not texts, as it wants them.
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
    address: str = ""
    columns: str = ""
    shard: str = ""
    row: int = -1

    @classmethod
    def listed(cls, image: ImageObject) -> "Sighting":
        known = (image.version, LISTED, image.size, image.updated, image.checksum, image.md5)
        return cls(image.uri, *known, address=image.address, columns=image.columns)

    @classmethod
    def past(cls, past: PastOutcome) -> "Sighting":
        uri, run, outcome, version, stage, columns, shard, row = past
        return cls(uri, version, run, outcome=outcome, stage=stage, columns=columns, shard=shard, row=row)

    def image(self) -> ImageObject:
        known = (self.size, self.version, self.updated, self.checksum)
        return ImageObject(self.uri, *known, md5=self.md5, address=self.address, columns=self.columns)

    def outcome_then(self) -> PastOutcome:
        return PastOutcome(
            self.uri, self.run, self.outcome, self.version, self.stage, self.columns, self.shard, self.row
        )


def pack(sightings: Iterable[Sighting]) -> bytes:
    """Beam's encoding of rows, for a shuffle."""
    return put(_coder().encode(list(sightings)))


def unpack(block: bytes) -> Iterator[Sighting]:
    """The sightings of a block, in their order."""
    yield from map(Sighting._make, _coder().decode(get(block).to_pybytes()))


@functools.cache
def _coder() -> Any:
    """Of rows with typed fields. It is not registered with Beam, whose row coders give rows of a type without methods
    in a process that has not built the pipeline."""
    return IterableCoder(RowCoder.from_type_hint(Sighting, registry))
