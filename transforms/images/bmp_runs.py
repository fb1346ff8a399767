"""BMP's run lengths. Of four bits, Pillow reads single pixels of an odd number wrong; of eight, none that end early.

https://learn.microsoft.com/windows/win32/gdi/bitmap-compression
"""

from __future__ import annotations

import struct

from transforms.images.errors import ImageError, too_costly

LONG_HEADER, FILE_HEADER = 40, 14
BITS = {1: 8, 2: 4}  # of an index, by the number of the compression
END_OF_LINE, END, DELTA = 0, 1, 2
MAX_PIXELS = 16_000_000  # this is Python code, too


def without_runs(data: bytes) -> bytes:
    """A BMP whose pixels are run lengths, as one of plain 8-bit indices; another one as it is.

    Pixels that the runs leave out are of the first color.

    Raises:
        ImageError: the runs end before the picture does, or are too many.
    """
    if len(data) < FILE_HEADER + LONG_HEADER or struct.unpack_from("<I", data, 30)[0] not in BITS:
        return data
    depth = BITS[struct.unpack_from("<I", data, 30)[0]]
    (start,), (width, height) = struct.unpack_from("<I", data, 10), struct.unpack_from("<ii", data, 18)
    bits, used = struct.unpack_from("<H", data, 28)[0], struct.unpack_from("<I", data, 46)[0]
    if bits != depth or used > 1 << bits or width <= 0 or height <= 0:
        return data
    if width * height > MAX_PIXELS:
        raise too_costly(f"{width:,} x {height:,} pixels of run lengths; up to {MAX_PIXELS:,} are read")
    head = bytearray(data[:start])
    struct.pack_into("<HI", head, 28, 8, 0)
    struct.pack_into("<I", head, 46, used or 1 << bits)
    stride = -(-width // 4) * 4
    runs = data[start : start + 2 * width * height + 4 * height]
    return bytes(head) + bytes(_indices(runs, bits, width, height, stride))


def _indices(runs: bytes, bits: int, width: int, height: int, stride: int) -> bytearray:
    pixels = bytearray(stride * height)
    x = y = at = 0
    while y < height:
        if at + 2 > len(runs):
            raise ImageError("TruncatedImage", "a BMP whose run lengths end before its picture does")
        count, value = runs[at : at + 2]
        at += 2
        if count or value > DELTA:
            length = ((count or value) * bits + 7) // 8
            source = bytes([value]) * length if count else runs[at : at + length]
            at += 0 if count else length + length % 2  # bytes of single pixels are padded to two
            part = source if bits == 8 else bytes(nibble for byte in source for nibble in (byte >> 4, byte & 15))
            if x >= stride:  # one that began within is cut off there
                raise ImageError("CorruptImage", "a BMP whose run lengths go beyond the rows of its picture")
            kept = part[: min(count or value, max(width - x, 0))]
            pixels[y * stride + x : y * stride + x + len(kept)] = kept
            x += count or value
        elif value == END_OF_LINE:
            x, y = 0, y + 1
        elif value == END:
            break
        else:
            right, up = runs[at : at + 2].ljust(2, b"\0")
            x, y, at = x + right, y + up, at + 2
    return pixels
