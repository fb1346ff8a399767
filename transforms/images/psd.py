"""PSD: the merged picture of a Photoshop file; its layers and its resources are left out before Pillow sees it.

https://www.adobe.com/devnet-apps/photoshop/fileformatashtml/
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageFile

from transforms.images.colors import on_white, scaled, to_rgb
from transforms.images.errors import ImageError, unsupported

UNREAD = {7: "multichannel"}
COMPRESSIONS = {2: "ZIP", 3: "ZIP with prediction"}
BITMAP, GREY, INDEXED, RGB, CMYK, DUOTONE, LAB = 0, 1, 2, 3, 4, 8, 9
COLORS = {BITMAP: 1, GREY: 1, INDEXED: 1, RGB: 3, CMYK: 4, DUOTONE: 1, LAB: 3}  # channels of them
PACKBITS = 1
# Resources: which entry of a palette is a hole, and whether the merged picture was saved (it is blank else).
TRANSPARENT_INDEX, VERSION_INFO = 1047, 1057
# Blocks behind the layers: of 16 and 32 bits the layers themselves, and the word that transparency was merged.
LAYERS = (b"Layr", b"Lr16", b"Lr32")
MERGED_TRANSPARENCY = (b"Mtrn", b"Mt16", b"Mt32")
ROUNDING = 2  # of 255, where Photoshop has laid a picture on white


class Merged(NamedTuple):
    """Attributes:
    colors: a PSD of the merged picture's colors alone; of 16 bits, one of 8 bits and twice the width.
    alpha: likewise one of its transparency, as grey; empty where it has none.
    size: (width, height) of the picture.
    depth: bits of a sample.
    mode: Photoshop's number of the color mode.
    hole: the entry of the palette that is transparent; None for none.
    """

    colors: bytes
    alpha: bytes
    size: tuple[int, int]
    depth: int
    mode: int
    hole: int | None


def merged(data: bytes) -> Merged:
    """Raises ImageError for what is not read."""
    try:
        version, channels, height, width, depth, mode = struct.unpack_from(">4xH6xHIIHH", data)
        colors_end = _section_end(data, 26)
        layers = _section_end(data, colors_end)
        picture = _section_end(data, layers)
        (compression,) = struct.unpack_from(">H", data, picture)
    except struct.error:
        raise ImageError("TruncatedImage", "a PSD that ends before its picture") from None
    if version == 2:
        raise ImageError("UnsupportedFormat", "it is a large Photoshop document (PSB), which is not read here")
    if mode in UNREAD or depth == 32 or compression in COMPRESSIONS:
        kind = UNREAD.get(mode) or COMPRESSIONS.get(compression) or "floating-point samples"
        raise unsupported(f"a PSD of {depth} bits a sample in {kind}, which is not read here")
    resources = data[colors_end + 4 : layers]
    if _resource(resources, VERSION_INFO)[4:5] == b"\0":
        raise unsupported("a PSD that was saved without its merged picture; save it with compatibility maximized")
    count = COLORS.get(mode, channels)
    if channels < count:
        raise ImageError("CorruptImage", f"a PSD of {channels} channels, whose colors need {count}")

    def alone(first: int, behind: int, kept_mode: int, palette: bytes) -> bytes:
        across = 2 * width if depth == 16 else width
        head = struct.pack(">4sH6xHIIHH", b"8BPS", 1, behind - first, height, across, min(depth, 8), kept_mode)
        planes = _planes(data, picture + 2, compression, (channels, height, -(-width * depth // 8)), first, behind)
        return head + palette + bytes(8) + struct.pack(">H", compression) + planes

    index = _resource(resources, TRANSPARENT_INDEX) if mode == INDEXED else b""
    hole = int.from_bytes(index, "big") if len(index) == 2 else None
    transparent = channels > count and _is_transparent(data[layers + 4 : picture])
    return Merged(
        alone(0, count, mode, data[26:colors_end]),
        alone(count, count + 1, GREY, bytes(4)) if transparent else b"",
        (width, height),
        depth,
        mode,
        hole,
    )


def _section_end(data: bytes, start: int) -> int:
    (length,) = struct.unpack_from(">I", data, start)
    end: int = start + 4 + length
    return end


def _planes(
    data: bytes, start: int, compression: int, shape: tuple[int, int, int], first: int, behind: int
) -> bytes:  # fmt: skip
    """The channels from `first` up to `behind` of a picture of (channels, rows, bytes of a row).

    Of PackBits, the lengths of all rows of all channels stand before the first one.
    """
    channels, height, stride = shape
    if compression != PACKBITS:
        return data[start + first * height * stride : start + behind * height * stride]
    rows = start + 2 * channels * height
    if rows > len(data):
        raise ImageError("TruncatedImage", "a PSD that ends before its picture")
    lengths = np.frombuffer(data, ">u2", channels * height, start)
    before, until = (int(lengths[: channel * height].sum(dtype=np.int64)) for channel in (first, behind))
    return lengths[first * height : behind * height].tobytes() + data[rows + before : rows + until]


def _is_transparent(section: bytes) -> bool:
    """Whether the first channel behind the colors is the transparency; it is a saved selection else.

    A negative count of layers says so, or a block of its own.
    """
    (length,) = struct.unpack_from(">I", section) if len(section) >= 4 else (0,)
    if length >= 2 and len(section) >= 6:
        return _is_negative(section, 4)
    at = 4 + length
    at += 4 + int.from_bytes(section[at : at + 4], "big")  # the global mask
    while at + 12 <= len(section):
        key, size = struct.unpack_from(">4sI", section, at + 4)
        if key in MERGED_TRANSPARENCY or (key in LAYERS and _is_negative(section, at + 12)):
            return True
        at += 12 + size + -size % 4
    return False


def _is_negative(section: bytes, at: int) -> bool:
    return section[at : at + 1] >= b"\x80"


def _resource(resources: bytes, wanted: int) -> bytes:
    """The content of the first resource of a number; nothing where there is none."""
    at = 0
    while at + 12 <= len(resources):
        (number,), name = struct.unpack_from(">H", resources, at + 4), resources[at + 6]
        start = at + 6 + name + 1 + (name + 1) % 2 + 4
        size = int.from_bytes(resources[start - 4 : start], "big")
        if number == wanted:
            return resources[start : start + size]
        at = start + size + size % 2
    return b""


def rgb(image: ImageFile.ImageFile, alpha: ImageFile.ImageFile | None, picture: Merged) -> Image.Image:
    """RGB of the decoded `picture.colors` and `picture.alpha`."""
    colors = _eight(image, picture.depth)
    if picture.mode == BITMAP:  # whose ones are black
        return ImageChops.invert(to_rgb(colors.convert("L")))
    if picture.hole is not None:
        colors.info["transparency"] = picture.hole
    opaque = to_rgb(colors)
    if alpha is None:
        return opaque
    mask = _eight(alpha, picture.depth)
    if _is_on_white(colors if picture.mode != INDEXED else opaque, mask):
        return opaque
    opaque.putalpha(mask)
    return on_white(opaque)


def _is_on_white(colors: Image.Image, alpha: Image.Image) -> bool:
    """Whether the colors were laid on white already, as Photoshop does with its merged pictures; other programs do not.

    Then no color is darker than the white that shows through, at any pixel.
    """
    bands = colors.split()[:1] if colors.mode == "LAB" else colors.split()
    light = [ImageChops.invert(band) for band in bands] if colors.mode == "CMYK" else bands
    return all(np.asarray(ImageChops.add(band, alpha)).min() >= 255 - ROUNDING for band in light)


def _eight(image: Image.Image, depth: int) -> Image.Image:
    """Of pairs of bytes in a row, the 16-bit samples as 8 bits."""
    if depth != 16:
        return image
    bands = []
    for band in image.split():
        pairs = np.asarray(band)
        bands.append(Image.fromarray(scaled(pairs[:, ::2].astype(np.uint16) << 8 | pairs[:, 1::2], 65535)))
    return Image.merge(image.mode, bands)
