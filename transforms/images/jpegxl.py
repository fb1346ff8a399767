"""JPEG XL, by imagecodecs: the extra [jxl]. Its header is read here, to know its size and depth before it is decoded.

ISO/IEC 18181-1, annexes C.3 (image header) and 18181-2 (container).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from PIL import Image

from transforms.images.colors import from_samples
from transforms.images.errors import ImageError, too_costly, unsupported

CODESTREAM = b"\xff\x0a"
RATIOS = ((1, 1), (1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))  # the first one is not used

MAX_EXTRA_CHANNELS = 8  # each is as large as the image; the format allows 4,097


class Header(NamedTuple):
    """Attributes:
    width, height: upright, in pixels.
    depth: bits of a sample.
    """

    width: int
    height: int
    depth: int


class _Bits:
    """Reads a codestream from the least significant bit of each byte on."""

    def __init__(self, data: bytes):
        self._value, self._left = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, count: int) -> int:
        if count > self._left:
            raise ImageError("TruncatedImage", "a JPEG XL that ends within its header")
        taken = self._value & (1 << count) - 1
        self._value >>= count
        self._left -= count
        return taken

    def choose(self, *choices: tuple[int, int]) -> int:
        """The format's U32: two bits choose an (offset, bits) of four."""
        offset, bits = choices[self.take(2)]
        return offset + self.take(bits)


def header_of(data: bytes) -> Header:
    """Raises ImageError when the header ends too early, or tells of floating-point samples."""
    bits = _Bits(_codestream(data)[2:128])
    width, height = _size(bits)
    orientation, depth = 1, 8
    if not bits.take(1):  # not all default
        if bits.take(1):
            orientation = 1 + bits.take(3)
            _skip_extra_fields(bits)
        if bits.take(1):
            raise unsupported("a JPEG XL of floating-point samples; store 8 or 16 bits")
        depth = bits.choose((8, 0), (10, 0), (12, 0), (1, 6))
        bits.take(1)  # whether 16 bits are enough within
        channels = bits.choose((0, 0), (1, 0), (2, 4), (1, 12))
        if channels > MAX_EXTRA_CHANNELS:
            raise too_costly(f"a JPEG XL of {channels:,} channels beside its colors")
    return Header(*((height, width) if orientation > 4 else (width, height)), depth)


def read(data: bytes, header: Header) -> Image.Image:
    """RGB of the first frame, upright, by libjxl."""
    import imagecodecs

    samples = imagecodecs.jpegxl_decode(data, index=0, numthreads=1)
    return from_samples(samples, (1 << header.depth) - 1, filled=False)


def _codestream(data: bytes) -> bytes:
    """The beginning of the codestream, out of the boxes where it stands in some."""
    at, parts = 0, b""
    while not data.startswith(CODESTREAM) and at + 8 <= len(data) and len(parts) < 128:
        length, kind = struct.unpack_from(">I4s", data, at)
        start = at + 8
        if length == 1 and at + 16 <= len(data):
            (length,), start = struct.unpack_from(">Q", data, at + 8), at + 16
        end = at + length if length >= 8 else len(data)
        if kind in (b"jxlc", b"jxlp"):
            parts += data[start + (4 if kind == b"jxlp" else 0) : min(end, start + 128)]
        at = end
    return parts or data


def _size(bits: _Bits) -> tuple[int, int]:
    """(width, height)"""
    small = bits.take(1)

    def side() -> int:
        return 8 * (1 + bits.take(5)) if small else bits.choose((1, 9), (1, 13), (1, 18), (1, 30))

    height = side()
    ratio = bits.take(3)
    across, down = RATIOS[ratio]
    return (height * across // down if ratio else side()), height


def _skip_extra_fields(bits: _Bits) -> None:
    if bits.take(1):  # intrinsic size
        _size(bits)
    if bits.take(1):  # preview
        eighths = bits.take(1)
        choices = ((16, 0), (32, 0), (1, 5), (33, 9)) if eighths else ((1, 6), (65, 8), (321, 10), (1345, 12))
        bits.choose(*choices)
        if not bits.take(3):
            bits.choose(*choices)
    if bits.take(1):  # animation
        bits.choose((100, 0), (1000, 0), (1, 10), (1, 30))
        bits.choose((1, 0), (1001, 0), (1, 8), (1, 10))
        bits.choose((0, 0), (0, 3), (0, 16), (0, 32))
        bits.take(1)
