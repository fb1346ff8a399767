"""PNG: its chunks are walked before Pillow sees them, and what is not needed for the pixels is left out.

https://www.w3.org/TR/png-3/
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile, PngImagePlugin

from transforms.images.colors import to_rgb
from transforms.images.errors import too_costly, unsupported

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# An encoder of 4 KiB a chunk makes so many of 400 MB. Each costs Pillow microseconds, however empty it is.
MAX_CHUNKS = 100_000
GREY, RGB, PALETTE = 0, 2, 3  # kinds of color, and 4 and 6 with alpha
PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
# Where an orientation may stand besides eXIf: what ImageMagick and Adobe write.
ORIENTED_TEXTS = (b"Raw profile type exif", b"XML:com.adobe.xmp")
MAX_TEXT_BYTES = 1 << 20  # unpacked; Pillow's limit, too


class Chunk(NamedTuple):
    """Where a chunk begins (at its length) and ends (behind its checksum)."""

    kind: bytes
    start: int
    end: int

    @property
    def length(self) -> int:
        """In bytes, of its content."""
        return self.end - self.start - 12


def only_pixels(data: bytes) -> bytes:
    """The PNG without text, color profiles, animation and other chunks that do not change its pixels.

    However large or damaged they are, the pixels are sound. Of an animation, the default image is left.

    Raises:
        ImageError: it has more chunks than an image needs, or is of another kind than PNG defines.
    """
    kept, whole, colors = [SIGNATURE], True, 0
    for chunk in chunks(data):
        if chunk.kind == b"CgBI":
            raise unsupported("a PNG as Apple's tools pack it for iOS (CgBI), which is no PNG by the standard")
        if chunk.kind == b"PLTE":
            colors = chunk.length // 3
        if _is_needed(data, chunk) and not (chunk.kind == b"tRNS" and not _is_transparency(data, chunk, colors)):
            kept.append(data[chunk.start : chunk.end])
        else:
            whole = False
    if whole:
        return data
    if any(part[4:8] == b"IDAT" for part in kept[1:]) and kept[-1][4:8] != b"IEND":
        kept.append(b"\0\0\0\0IEND\xaeB`\x82")
    return b"".join(kept)


def chunks(data: bytes) -> Iterator[Chunk]:
    """All chunks to IEND; the last one may reach beyond the data."""
    at, count = len(SIGNATURE), 0
    while at + 8 <= len(data):
        kind, end = data[at + 4 : at + 8], at + 12 + int.from_bytes(data[at : at + 4], "big")
        yield Chunk(kind, at, end)
        if kind == b"IEND":
            return
        at, count = end, count + 1
        if count > MAX_CHUNKS:
            raise too_costly(f"a PNG of more than {MAX_CHUNKS:,} chunks")


def _is_needed(data: bytes, chunk: Chunk) -> bool:
    if chunk.kind in PIXELS or chunk.kind[:1].isupper():  # a critical one that is unknown is for Pillow to judge
        return True
    if chunk.kind not in (b"eXIf", b"tEXt", b"zTXt", b"iTXt") or chunk.end > len(data):
        return False
    content = data[chunk.start + 8 : chunk.end - 4]
    if zlib.crc32(chunk.kind + content) != int.from_bytes(data[chunk.end - 4 : chunk.end], "big"):
        return False
    return chunk.kind == b"eXIf" or _may_tell_the_orientation(chunk.kind, content)


def _is_transparency(data: bytes, chunk: Chunk, colors: int) -> bool:
    """Whether it is as long as its kind of pixels asks for; one that is not is none, as it is for libpng."""
    color = data[25] if len(data) > 25 else GREY  # of IHDR, which comes first
    return 0 < chunk.length <= colors if color == PALETTE else chunk.length == {GREY: 2, RGB: 6}.get(color)


def _may_tell_the_orientation(kind: bytes, content: bytes) -> bool:
    keyword, _, text = content.partition(b"\0")
    if keyword not in ORIENTED_TEXTS or len(content) > MAX_TEXT_BYTES:
        return False
    packed = text[1:] if kind == b"zTXt" else b"".join(text[2:].split(b"\0", 2)[2:])
    if kind == b"tEXt" or (kind == b"iTXt" and not text[:1].strip(b"\0")):
        return True
    try:
        return len(zlib.decompressobj().decompress(packed, MAX_TEXT_BYTES)) < MAX_TEXT_BYTES
    except zlib.error:
        return False


def rgb(image: ImageFile.ImageFile, data: bytes) -> Image.Image:
    """RGB of a decoded PNG. Its transparent color is compared at the depth of the file, not at Pillow's 8 bits."""
    depth, color = data[24], data[25]  # of IHDR, which comes first
    key = image.info.get("transparency")
    if key is None or color not in (GREY, RGB) or depth == 1:
        return to_rgb(image)
    del image.info["transparency"]
    most = (1 << depth) - 1
    keys = [value & most for value in (key if color == RGB else (key,))]
    if color == RGB and depth == 16:
        # Pillow keeps the upper half of each sample, and gives the lower one when it is asked so.
        lower = PngImagePlugin.PngImageFile(io.BytesIO(data))
        lower.tile = [tile._replace(args="RGB;16L") for tile in lower.tile]
        lower.load()
        holes = _where(image, [key >> 8 for key in keys]) & _where(lower, [key & 255 for key in keys])
    else:
        holes = _where(image, [key * 255 // most for key in keys] if depth < 8 else keys)
    pixels = to_rgb(image)
    pixels.paste("white", mask=Image.fromarray(holes))
    return pixels


def _where(image: Image.Image, keys: list[int]) -> np.ndarray:
    """bool [height, width]: which pixels have these samples."""
    samples = np.asarray(image)
    bands = [samples] if samples.ndim == 2 else [samples[..., band] for band in range(samples.shape[2])]
    equal: np.ndarray = np.logical_and.reduce([band == key for band, key in zip(bands, keys, strict=True)])
    return equal
