"""TFRecord files of tf.Examples, plain or packed by gzip: an image a record, in a feature of bytes.

A record whose data is damaged is a dead letter, and the next one is read: its length has a checksum of its own. Where
that does not hold, the rest cannot be told. A file that was cut between two records is no shorter one to any reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

from transforms.elements import Refusal
from transforms.inputs.containers.gzipped import unpacked
from transforms.inputs.containers.member import Asked, DamagedContainerError, Member, refused, refused_for_size, wants
from transforms.records.examples import features_of
from transforms.records.tfrecord import DamagedRecordError, Framed, read_frames

IMAGE = "image/encoded"
BESIDE_IMAGE = 16 << 20  # bytes of a record besides its image; larger ones are not read


def members(file: IO[bytes], asked: Asked) -> Iterator[Member]:
    """One for each record, with its other features as columns: one value as it is, several as a list.

    Raises:
        DamagedContainerError: where it breaks.
    """
    with unpacked(file) as plain:
        try:
            for number, framed in enumerate(read_frames(plain, asked.max_bytes + BESIDE_IMAGE)):
                content, columns = _read(framed, asked)
                size = framed.size if isinstance(content, Refusal) else len(content)
                yield Member(str(number), size, None, f"{framed.crc32c:08x}", content, columns)
        except DamagedRecordError as e:
            raise DamagedContainerError(str(e)) from None


def _read(framed: Framed, asked: Asked) -> tuple[bytes | Refusal, dict[str, Any]]:
    """The image in a record, and its columns."""
    if framed.data is None:
        return refused_for_size(framed.size, asked.max_bytes), {}
    if not framed.holds:
        return refused("DamagedMember", f"the checksum of its record at byte {framed.offset:,} does not hold"), {}
    try:
        features = features_of(framed.data)
    except ValueError as e:
        return refused("NoImage", f"its record is no tf.Example: {e}"), {}
    image = features.pop(asked.image_column or IMAGE, None)
    if not isinstance(image, bytes):
        return refused("NoImage", _reason(image, asked.image_column or IMAGE, list(features))), {}
    if len(image) > asked.max_bytes:
        return refused_for_size(len(image), asked.max_bytes), {}
    return image, {name: value for name, value in features.items() if wants(asked.columns, name)}


def _reason(found: Any, name: str, others: list[str]) -> str:
    if isinstance(found, list):
        return f"its feature {name!r} holds {len(found):,} values, not one image"
    if found is not None:
        return f"its feature {name!r} holds {type(found).__name__}, not the bytes of an image"
    shown = ", ".join(sorted(others)[:20])
    return f"it has no feature {name!r} among {shown[:500] or 'none'}; --image_column names it"
