"""BMP and DIB: what their headers say of palettes and of alpha, beside what Pillow makes of it."""

from __future__ import annotations

import struct

import numpy as np
from PIL import Image, ImageFile, ImagePalette

from transforms.images.colors import to_rgb
from transforms.images.errors import ImageError

RAW_INDICES = {1: "P;1", 2: "P;2", 4: "P;4", 8: "P"}  # Pillow's layouts by bits of an index
MASKED_HEADER, BIT_FIELDS = 56, 3  # bytes of a header with a mask of alpha; the compression by masks


def mend_palette(image: ImageFile.ImageFile, data: bytes, header: int) -> None:
    """Of an opened BMP whose header stands at `header`: Pillow takes palettes of two colors, and of greys, for depths.

    It does so whatever the bits of an index are, and reads other bits then.
    """
    long = int.from_bytes(data[header : header + 4], "little") > 12
    bits = int.from_bytes(data[header + (14 if long else 10) :][:2], "little")
    if bits in RAW_INDICES and ((image.mode == "1" and bits > 1) or (image.mode == "L" and bits < 8)):
        greys = (0, 255) if image.mode == "1" else range(1 << bits)
        image.palette = ImagePalette.raw("RGB", bytes(grey for grey in greys for _ in range(3)))
        image._mode = "P"
        image.tile = [tile._replace(args=(RAW_INDICES[bits], *(tile.args or ())[1:])) for tile in image.tile]


def rgb(image: ImageFile.ImageFile, data: bytes, header: int) -> Image.Image:
    """RGB of a decoded BMP."""
    pixels = to_rgb(image)
    if holes := _holes_of_16_bits(image.size, data, header):
        pixels.paste("white", mask=holes)
    return pixels


def _holes_of_16_bits(size: tuple[int, int], data: bytes, header: int) -> Image.Image | None:
    """Where a BMP of 16 bits a pixel is transparent by its bit of alpha, which Pillow leaves out; of mode "1".

    None where it has no such bit, or it is 0 everywhere.
    """
    if len(data) < header + MASKED_HEADER:
        return None
    (length,) = struct.unpack_from("<I", data, header)
    fields = struct.unpack_from("<HI", data, header + 14)
    (mask,) = struct.unpack_from("<I", data, header + MASKED_HEADER - 4)
    if length < MASKED_HEADER or fields != (16, BIT_FIELDS) or not mask:
        return None
    start = struct.unpack_from("<I", data, 10)[0] if header else length
    (width, height), from_below = size, struct.unpack_from("<i", data, header + 8)[0] > 0
    stride = -(-width // 2) * 2  # in pixels: rows are of whole four bytes
    if len(data) < start + 2 * stride * height:
        raise ImageError("TruncatedImage", "a BMP that ends before its pixels do")
    pixels = np.frombuffer(data, "<u2", stride * height, start).reshape(height, stride)[:, :width]
    holes = pixels[:: -1 if from_below else 1] & mask == 0
    return None if holes.all() else Image.fromarray(holes)
