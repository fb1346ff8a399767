"""JPEG 2000: the depths of its samples, which Pillow's modes do not tell, and what its structure costs.

ITU-T T.800: annex A for the codestream, annex I for the boxes around it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile

from transforms.images.colors import from_samples, grey_to_rgb, on_white, scaled, to_rgb
from transforms.images.errors import ImageError, too_costly, unsupported

CODESTREAM, COD = b"\xff\x4f\xff\x51", b"\xff\x52"
SPACES = {0: "bilevel", 14: "CIELab", 15: "bilevel"}  # of enumerated color spaces, those that are not read
ORDERS = (None, (0,), (0, 3), (0, 1, 2), (0, 1, 2, 3))  # of channels, 3 standing for alpha
DEEP = "; pip install 'embed-images[deep]' to read it"
# OpenJPEG keeps some 200 bytes of each code block and looks at it in each layer. Encoders make blocks of 1,024 pixels
# or more, in up to some dozens of layers.
MAX_BOXES_BYTES = 16 << 20
MAX_TILES, LEAST_BLOCK, MAX_LAYERS, FREE_BLOCKS, MAX_LAYERED_TILES = 65_535, 256, 1_000, 100_000, 1 << 20


class Stream(NamedTuple):
    """Attributes:
    start: where the codestream begins in the file.
    width, height: of the image.
    depths: bits of a sample, by component.
    signed: whether any component has signed samples.
    """

    start: int
    width: int
    height: int
    depths: tuple[int, ...]
    signed: bool


def stream_of(data: bytes) -> Stream:
    """What the header of the codestream says.

    Raises:
        ImageError: it ends too early, or has more tiles, blocks or layers than its pixels need.
    """
    start = 0
    if not data.startswith(CODESTREAM):
        start = next((start for kind, start, _ in _boxes(data, 0, len(data)) if kind == b"jp2c"), -1)
    if start > MAX_BOXES_BYTES:
        raise too_costly(f"a JPEG 2000 with {start:,} bytes before its picture")
    if start < 0 or start + 42 > len(data):
        raise ImageError("TruncatedImage", "a JPEG 2000 that ends within its header")
    right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">6I", data, start + 8)
    (components,) = struct.unpack_from(">H", data, start + 40)
    sizes = data[start + 42 : start + 42 + 3 * components : 3]
    depths, signed = tuple((size & 0x7F) + 1 for size in sizes), any(size > 0x7F for size in sizes)
    stream = Stream(start, right - left, bottom - top, depths, signed)
    _check_cost(data, stream, -(-right // max(tile_width, 1)) * -(-bottom // max(tile_height, 1)))
    return stream


def _check_cost(data: bytes, stream: Stream, tiles: int) -> None:
    style = data.find(COD, stream.start, stream.start + (1 << 16))
    if tiles > MAX_TILES:
        raise too_costly(f"a JPEG 2000 of {tiles:,} tiles")
    if style < 0 or style + 14 > len(data):
        return
    precincts, _, layers = struct.unpack_from(">BBH", data, style + 4)
    levels, across, down = data[style + 9], data[style + 10] & 15, data[style + 11] & 15
    block = 1 << min(across + 2, 10) + min(down + 2, 10)
    if precincts & 1:
        sizes = data[style + 14 : style + 15 + levels]
        block = min([block, *(1 << (size & 15) + (size >> 4) for size in sizes[1:])])
    blocks = stream.width * stream.height * len(stream.depths) // block
    small = block < LEAST_BLOCK or layers > MAX_LAYERS
    if (blocks > FREE_BLOCKS and small) or layers * tiles > MAX_LAYERED_TILES:
        raise too_costly(
            f"a JPEG 2000 of {blocks:,} blocks of {block} samples in {layers:,} layers and {tiles:,} tiles"
        )


class Boxes(NamedTuple):
    """Attributes:
    space: the number of the enumerated color space; 0 for none.
    palette: uint8 [entries, columns], None for none.
    order: what each channel stands for, as 0 for the first color and so on, None where it is not told.
    """

    space: int | None = None
    palette: np.ndarray | None = None
    order: tuple[int, ...] | None = None


def boxes_of(data: bytes, stream: Stream) -> Boxes:
    """What the boxes before the codestream say of its colors."""
    space, palette, order = None, None, None
    for kind, content in _header(data, stream.start):
        if kind == b"colr" and content[:1] == b"\x01" and space is None:
            space = int.from_bytes(content[3:7], "big")
        elif kind == b"pclr":
            palette = _palette(content)
        elif kind == b"cdef":
            channels = sorted(struct.iter_unpack(">HHH", content[2 : 2 + (len(content) - 2) // 6 * 6]))
            order = tuple(3 if use else association - 1 for _, use, association in channels)
    return Boxes(space, palette, order)


def _header(data: bytes, end: int) -> Iterator[tuple[bytes, bytes]]:
    """The boxes within the header box before the codestream, with their contents."""
    for kind, start, stop in _boxes(data, 0, end):
        if kind == b"jp2h":
            yield from ((inner, data[at:to]) for inner, at, to in _boxes(data, start, stop))
            return


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(kind, start of the content, its end)"""
    while at + 8 <= end:
        (length, kind), start = struct.unpack_from(">I4s", data, at), at + 8
        if length == 1 and at + 16 <= end:
            (length,), start = struct.unpack_from(">Q", data, at + 8), at + 16
        stop = at + length if length else end  # 0 stands for all that is left
        yield kind, start, min(stop, end)
        if stop <= at:
            return
        at = stop


def _palette(content: bytes) -> np.ndarray:
    entries, columns = struct.unpack_from(">HB", content) if len(content) >= 3 else (0, 0)
    depths, values = content[3 : 3 + columns], content[3 + columns :]
    if columns not in (3, 4) or any(depth != 7 for depth in depths) or len(values) < entries * columns:
        raise unsupported("a JPEG 2000 whose palette is not of 3 or 4 columns of 8 bits")
    return np.frombuffer(values, np.uint8, entries * columns).reshape(entries, columns)


def check(data: bytes, stream: Stream) -> Boxes:
    """Raises ImageError for what is not read; tells what the colors are."""
    boxes = boxes_of(data, stream)
    if boxes.space in SPACES and len(stream.depths) > 1:
        raise unsupported(f"a JPEG 2000 in the color space {SPACES[boxes.space or 0]}")
    if boxes.order not in ORDERS:
        raise unsupported("a JPEG 2000 whose channels are in an order of its own")
    if max(stream.depths, default=0) > 16:
        raise unsupported("a JPEG 2000 of more than 16 bits a sample, which have no agreed range; store 8 or 16")
    if is_deep(stream) and len(set(stream.depths)) > 1:
        raise unsupported(f"a JPEG 2000 whose channels have {stream.depths} bits")
    if is_deep(stream) and not find_spec("imagecodecs"):
        raise unsupported(f"a JPEG 2000 of {max(stream.depths)} bits a sample in color{DEEP}")
    return boxes


def prepare(image: ImageFile.ImageFile, stream: Stream) -> None:
    """Mends the mode of an opened image: Pillow takes 9 bits for 8 where a JP2's header tells them."""
    if image.mode == "L" and stream.depths[0] > 8:
        image._mode = "I;16"


def is_deep(stream: Stream) -> bool:
    """Of samples that Pillow would shift beyond 8 bits, or out of range."""
    return len(stream.depths) > 1 and max(stream.depths) > 8


def read_deep(data: bytes, stream: Stream) -> Image.Image:
    """RGB of samples of more than 8 bits in color, by OpenJPEG as imagecodecs has it."""
    import imagecodecs

    shape = (stream.height, stream.width, len(stream.depths))
    samples = np.empty(shape[:2] if shape[2] == 1 else shape, np.int16 if stream.signed else np.uint16)
    imagecodecs.jpeg2k_decode(data, numthreads=1, out=samples)
    if stream.signed:
        samples = samples.astype(np.int32) + (1 << stream.depths[0] - 1)
    return from_samples(samples, (1 << stream.depths[0]) - 1, filled=True)


def rgb(image: ImageFile.ImageFile, stream: Stream, boxes: Boxes) -> Image.Image:
    """RGB of a decoded JPEG 2000, whose samples Pillow shifts to 8 or 16 bits: the largest is not 255, then."""
    if boxes.palette is not None and len(stream.depths) == 1:
        indices = np.asarray(image) >> max(8 - stream.depths[0], 0)
        colors = Image.fromarray(boxes.palette[np.minimum(indices, len(boxes.palette) - 1)])
        return on_white(colors) if colors.mode == "RGBA" else colors
    if image.mode.startswith("I"):
        depth = stream.depths[0]
        return grey_to_rgb(np.asarray(image) >> 16 - depth, (1 << depth) - 1)
    if any(depth < 8 for depth in stream.depths):
        tables = [scaled(np.arange(256) >> 8 - depth, (1 << depth) - 1) for depth in stream.depths]
        return to_rgb(_of_format(image.point(np.concatenate(tables).tolist()), image))
    return to_rgb(image)


def _of_format(changed: Image.Image, image: Image.Image) -> Image.Image:
    changed.format = image.format
    return changed
