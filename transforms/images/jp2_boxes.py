"""The boxes around a JPEG 2000: what the channels of its codestream stand for. ITU-T T.800, annex I."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from transforms.images.errors import unsupported

# Enumerated color spaces that are read, as Pillow's modes; those of ICC profiles by their signatures.
SPACES: dict[int | bytes, str] = {
    12: "CMYK", 15: "L", 16: "RGB", 17: "L", 18: "YCbCr", 21: "RGB", b"GRAY": "L", b"RGB ": "RGB",
}  # fmt: skip
UNREAD: dict[int | bytes, str] = {
    0: "bilevel, with white as 0", 1: "YCbCr of ITU-R BT.709", 3: "YCbCr of ITU-R BT.601", 4: "YCbCr of ITU-R BT.601",
    9: "PhotoYCC", 11: "CMY", 13: "YCCK", 14: "CIELab", 19: "CIEJab", 20: "e-sRGB", 24: "e-sYCC",
}  # fmt: skip
CHANNELS = {"L": 1, "RGB": 3, "YCbCr": 3, "CMYK": 4}  # of the colors of a mode
ENUMERATED, PROFILES = 1, (2, 3)  # methods of telling a color space
# What the channel definition box calls a channel. One behind the colors is an alpha channel where it has no name.
COLOR, ALPHA, PREMULTIPLIED, UNSPECIFIED = 0, 1, 2, 65_535
WHOLE_IMAGE = 0  # what an alpha channel belongs to


class Boxes(NamedTuple):
    """Attributes:
    space: the colors, as a mode of Pillow; "" where they go by the number of channels.
    palette: uint8 [entries, channels], None for none.
    meant: what each channel is and belongs to, in their order; None where it is not told.
    """

    space: str = ""
    palette: np.ndarray | None = None
    meant: tuple[tuple[int, int], ...] | None = None


class Channels(NamedTuple):
    """Attributes:
    space: the colors, as a mode of Pillow.
    palette: uint8 [entries, channels], None for none.
    further: what the channel behind the colors is: ALPHA, PREMULTIPLIED or UNSPECIFIED; None for no such channel.
    """

    space: str
    palette: np.ndarray | None
    further: int | None


def channels_of(data: bytes, end: int, components: int) -> Channels:
    """What the components of a codestream that begins at `end` stand for.

    Raises:
        ImageError: colors of a kind that is not read, or channels in an order of their own.
    """
    boxes = _told(data, end)
    count = components
    if boxes.palette is not None:
        if components != 1:
            raise unsupported(f"a JPEG 2000 of a palette and {components} components")
        count = boxes.palette.shape[1]
    space = boxes.space or ("L" if count < 3 else "RGB")
    colors = CHANNELS[space]
    if not colors <= count <= colors + (space != "CMYK") or (boxes.palette is not None and space != "RGB"):
        raise unsupported(f"a JPEG 2000 of {count} channels in the color space {space}")
    further = ALPHA if count > colors else None
    if boxes.meant is not None:
        named = [(COLOR, color + 1) for color in range(colors)]
        if list(boxes.meant[:colors]) != named or len(boxes.meant) != count:
            raise unsupported("a JPEG 2000 whose channels are in an order of its own")
        if further is not None:
            further, whole = boxes.meant[colors]
            if further == COLOR or (further != UNSPECIFIED and whole != WHOLE_IMAGE):
                raise unsupported("a JPEG 2000 whose channels are in an order of its own")
    return Channels(space, boxes.palette, further)


def _told(data: bytes, end: int) -> Boxes:
    """What the boxes within the header box before the codestream say. Of several color spaces the first one holds."""
    space, palette, meant, columns = None, None, None, None
    for kind, content in _header(data, end):
        if kind == b"colr" and space is None:
            space = _space(content)
        elif kind == b"pclr":
            palette = _palette(content)
        elif kind == b"cmap":
            columns = _columns(content)
        elif kind == b"cdef":
            entries = sorted(struct.iter_unpack(">HHH", content[2 : 2 + (len(content) - 2) // 6 * 6]))
            meant = tuple((use, whole) for _, use, whole in entries)
    if palette is not None and columns is not None:
        if not columns or max(columns) >= palette.shape[1]:
            raise unsupported("a JPEG 2000 whose palette has fewer columns than are asked of it")
        palette = palette[:, columns]
    return Boxes(space or "", palette, meant)


def _header(data: bytes, end: int) -> Iterator[tuple[bytes, bytes]]:
    for kind, start, stop in boxes(data, 0, end):
        if kind == b"jp2h":
            yield from ((inner, data[at:to]) for inner, at, to in boxes(data, start, stop))
            return


def boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start of the content, its end) of the boxes from a place on."""
    while at + 8 <= end:
        (length, kind), start = struct.unpack_from(">I4s", data, at), at + 8
        if length == 1 and at + 16 <= end:
            (length,), start = struct.unpack_from(">Q", data, at + 8), at + 16
        stop = at + length if length else end  # 0 stands for all that is left
        yield kind, start, min(stop, end)
        if stop <= at:
            return
        at = stop


def _space(content: bytes) -> str:
    method, told = content[:1], content[3:7]
    key: int | bytes | None = None
    if method == bytes([ENUMERATED]) and len(told) == 4:
        key = int.from_bytes(told, "big")
    elif method and method[0] in PROFILES and len(content) >= 23:
        key = content[19:23]  # where a profile says of which colors it is
    if key is None:
        return ""
    if key not in SPACES:
        name = UNREAD.get(key) or (f"number {key}" if isinstance(key, int) else f"{key!r} of its ICC profile")
        raise unsupported(f"a JPEG 2000 in the color space {name}")
    return SPACES[key]


def _palette(content: bytes) -> np.ndarray:
    entries, columns = struct.unpack_from(">HB", content) if len(content) >= 3 else (0, 0)
    depths, values = content[3 : 3 + columns], content[3 + columns :]
    if columns not in (3, 4) or any(depth != 7 for depth in depths) or len(values) < entries * columns:
        raise unsupported("a JPEG 2000 whose palette is not of 3 or 4 columns of 8 bits")
    return np.frombuffer(values, np.uint8, entries * columns).reshape(entries, columns)


def _columns(content: bytes) -> list[int]:
    """Which column of the palette each channel is."""
    entries = list(struct.iter_unpack(">HBB", content[: len(content) // 4 * 4]))
    if any(component or not mapped for component, mapped, _ in entries):
        raise unsupported("a JPEG 2000 of a palette and of channels beside it")
    return [column for _, _, column in entries]
