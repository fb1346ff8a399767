"""PSD: the merged picture of a Photoshop file; its layers and its resources are left out before Pillow sees it.

https://www.adobe.com/devnet-apps/photoshop/fileformatashtml/
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageFile

from transforms.images.colors import scaled, to_rgb
from transforms.images.errors import ImageError, unsupported

UNREAD = {7: "multichannel"}
COMPRESSIONS = {2: "ZIP", 3: "ZIP with prediction"}
BITMAP, RGB = 0, 3


class Merged(NamedTuple):
    """Attributes:
    data: a PSD of the merged picture alone; of 16 bits, one of 8 bits and twice the width.
    size: (width, height) of the picture.
    depth: bits of a sample.
    mode: Photoshop's number of the color mode.
    transparent: whether the fourth channel is the transparency; it is a saved selection else.
    """

    data: bytes
    size: tuple[int, int]
    depth: int
    mode: int
    transparent: bool


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
    # A negative count of layers says that the first channel behind the colors is the transparency.
    counted = struct.unpack_from(">h", data, layers + 8)[0] if picture - layers >= 10 else 0
    head = bytearray(data[:26])
    if depth == 16:
        struct.pack_into(">IH", head, 18, 2 * width, 8)
    alone = bytes(head) + data[26:colors_end] + bytes(8) + data[picture:]
    return Merged(alone, (width, height), depth, mode, channels == 4 and counted < 0)


def _section_end(data: bytes, start: int) -> int:
    (length,) = struct.unpack_from(">I", data, start)
    end: int = start + 4 + length
    return end


def rgb(image: ImageFile.ImageFile, picture: Merged) -> Image.Image:
    """RGB of the decoded `picture.data`."""
    eight = _halves(image) if picture.depth == 16 else image
    if picture.mode == BITMAP:  # whose ones are black
        return ImageChops.invert(to_rgb(eight.convert("L")))
    if eight.mode == "RGBA" and not picture.transparent:
        return eight.convert("RGB")
    return to_rgb(eight)


def _halves(image: Image.Image) -> Image.Image:
    """Of pairs of bytes in a row, the 16-bit samples as 8 bits."""
    pairs = np.asarray(image)
    samples = pairs[:, ::2].astype(np.uint16) << 8 | pairs[:, 1::2]
    return Image.frombytes(image.mode, (samples.shape[1], samples.shape[0]), scaled(samples, 65535).tobytes())
