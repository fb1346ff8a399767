"""TGA: what its header says of palettes and of alpha, beside what Pillow makes of it.

https://www.dca.fee.unicamp.br/~martino/disciplinas/ia369/tga.pdf
"""

from __future__ import annotations

import struct

from PIL import Image, ImageFile

from transforms.images.colors import to_rgb
from transforms.images.errors import unsupported

HEADER_BYTES, RUN_LENGTHS = 18, 8  # the latter is added to the number of a kind
INDEXED, TRUE_COLOR, GREY = 1, 2, 3
ATTRIBUTES, INTERLEAVED = 15, 0xC0  # bits of the descriptor
# What the extension area calls the fourth channel.
FOOTER = b"TRUEVISION-XFILE.\0"
ATTRIBUTES_AT = 494
UNDEFINED, PREMULTIPLIED = (1, 2), 4


def plain(data: bytes) -> bytes:
    """A TGA without the palette that pixels of true color do not use, and of 16 bits where it has 15: for Pillow."""
    if len(data) < HEADER_BYTES or data[2] & ~RUN_LENGTHS not in (INDEXED, TRUE_COLOR, GREY) or data[1] not in (0, 1):
        return data
    head, start = bytearray(data[:HEADER_BYTES]), HEADER_BYTES + data[0]
    (entries,), entry_bits = struct.unpack_from("<H", data, 5), data[7]
    behind = start
    if data[2] & ~RUN_LENGTHS == INDEXED:
        head[7] = 16 if entry_bits == 15 else entry_bits
    elif data[1]:
        head[1], head[3:8], behind = 0, bytes(5), start + entries * ((entry_bits + 7) // 8)
    if data[16] == 15:
        head[16], head[17] = 16, data[17] & ~ATTRIBUTES
    return bytes(head) + data[HEADER_BYTES:start] + data[behind:]


def check(data: bytes) -> None:
    """Raises ImageError for what Pillow opens, and does not read or reads wrong."""
    kind, depth, reason = data[2] & ~RUN_LENGTHS, data[16], ""
    if data[17] & INTERLEAVED:
        reason = "with interleaved rows"
    elif kind == INDEXED and depth != 8:
        reason = f"with indices of {depth} bits"
    elif kind == INDEXED and data[1] and data[7] not in (15, 16, 24):
        reason = f"with a palette of {data[7]} bits"
    elif kind == GREY and depth == 16 and not data[17] & ATTRIBUTES:
        reason = "of 16 bits of grey"
    if reason:
        raise unsupported(f"a TGA {reason}")


def rgb(image: ImageFile.ImageFile, data: bytes) -> Image.Image:
    """RGB of a decoded TGA, whose header tells how many bits of alpha there are, and its end what they are."""
    if not data[17] & ATTRIBUTES or data[16] == 15:
        return image.convert("RGB")
    if image.mode == "RGBA" and data.endswith(FOOTER):
        extension = int.from_bytes(data[-26:-22], "little")
        attributes = data[extension + ATTRIBUTES_AT] if 0 < extension < len(data) - ATTRIBUTES_AT else None
        if attributes in UNDEFINED:
            return image.convert("RGB")
        if attributes == PREMULTIPLIED:
            return to_rgb(Image.frombytes("RGBa", image.size, image.tobytes()).convert("RGBA"))
    return to_rgb(image)
