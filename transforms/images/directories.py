"""TIFF's directories of tags, which EXIF has too: read before Pillow is, so that it reads no more than there is.

Pillow copies the bytes of each tag, and tags may claim the same bytes: a directory of 5,000 tags in 64 KiB can be made
to cost 300 MB.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from transforms.images.errors import too_costly

# Bytes of one value, by TIFF's numbers of types.
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q"}
# What the tags of one directory may claim beyond the bytes that there are; none of them needs to claim any twice.
SLACK_BYTES = 16 << 20
ENTRY_BYTES = 12
EXIF_BYTES = 4 << 20  # of EXIF, GPS and interoperability directories, whose values Pillow makes Python objects of
EXIF_DIRECTORIES = (34665, 34853, 40965)


class Tag(NamedTuple):
    """One entry of a directory: its type, how many values it has, where they stand."""

    kind: int
    values: int
    start: int

    @property
    def size(self) -> int:
        """In bytes, of all values."""
        return self.values * TYPE_BYTES.get(self.kind, 0)


class Directory(NamedTuple):
    """Attributes:
    data: what it is read from.
    order: of bytes: "<" or ">".
    tags: its entries by number.
    next: where the next directory stands; 0 for none.
    """

    data: bytes
    order: str
    tags: Mapping[int, Tag]
    next: int

    def values(self, number: int, default: tuple[int, ...] = (), most: int = 1 << 16) -> tuple[int, ...]:
        """The whole numbers of a tag, of which there may be `most`; the default where it has none, or is broken."""
        tag = self.tags.get(number)
        if tag is None or tag.kind not in CODES or not 0 < tag.values <= most:
            return default
        if tag.start + tag.size > len(self.data):
            return default
        return struct.unpack_from(f"{self.order}{tag.values}{CODES[tag.kind]}", self.data, tag.start)

    def value(self, number: int, default: int) -> int:
        return self.values(number, (default,))[0]


def directories(data: bytes, most: int) -> Iterator[Directory]:
    """The first `most` directories of a TIFF, in its order; ends where they are broken.

    Raises:
        ImageError: "TooCostly", when one of them claims more bytes than there are.
    """
    order = "<" if data[:1] == b"I" else ">"
    # Pillow takes 42 in the wrong order of bytes, too; its BigTIFF is the one whose third byte is 43.
    big = data[2:4] == struct.pack(order + "H", 43)
    start = _number(data, order + ("Q" if big else "I"), 8 if big else 4)
    seen: set[int] = set()
    while start and start not in seen and len(seen) < most:
        seen.add(start)
        directory = read_directory(data, order, start, big)
        yield directory
        start = directory.next


def check_exif(exif: bytes) -> None:
    """Raises ImageError, "TooCostly", when EXIF claims far more bytes than it has."""
    if len(exif) * len(exif) < ENTRY_BYTES * SLACK_BYTES:
        return  # so few tags fit into it that they may claim all of it
    for _ in directories(exif.removeprefix(b"Exif\0\0"), 2):
        pass


def check_exif_of(directory: Directory) -> None:
    """The same for the EXIF of a TIFF, which stands in directories of its own."""
    for number in EXIF_DIRECTORIES:
        for start in directory.values(number):
            tags = read_directory(directory.data, directory.order, start, big=False).tags
            if sum(tag.size for tag in tags.values()) > EXIF_BYTES:
                raise too_costly(f"its EXIF claims more than {EXIF_BYTES >> 20} MiB")


def read_directory(data: bytes, order: str, start: int, big: bool) -> Directory:
    head, entry, field = ("Q", "HHQ", 8) if big else ("H", "HHI", 4)
    count = min(_number(data, order + head, start), 0xFFFF)
    first, size = start + struct.calcsize(order + head), struct.calcsize(order + entry) + field
    tags, claimed = {}, 0
    for at in range(first, min(first + count * size, len(data) - size + 1), size):
        number, kind, values = struct.unpack_from(order + entry, data, at)
        tag = Tag(kind, values, at + size - field)
        if tag.size > field:
            tag = tag._replace(start=_number(data, order + ("Q" if big else "I"), at + size - field))
            claimed += max(min(tag.size, len(data) - tag.start), 0)
        tags[number] = tag
    if claimed > len(data) + SLACK_BYTES:
        raise too_costly(f"a directory of its header claims {claimed:,} bytes of a file of {len(data):,}")
    return Directory(data, order, tags, _number(data, order + ("Q" if big else "I"), first + count * size))


def _number(data: bytes, code: str, at: int) -> int:
    """0 beyond the end of the data."""
    found: tuple[int, ...] = (0,)
    if 0 <= at <= len(data) - struct.calcsize(code):
        found = struct.unpack_from(code, data, at)
    return found[0]
