"""JPEG 2000 by imagecodecs' OpenJPEG, and the boxes around it by struct: ITU-T T.800, annex I."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np

from tests.transforms.images.truth.pictures import Case, rgb, samples

SRGB, GREY, CIELAB, CMYK = 16, 17, 14, 12


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def codestream(numbers: np.ndarray, depth: int, **options: Any) -> bytes:
    contiguous = numbers if numbers.shape[2] > 1 else numbers[..., 0]
    options = {"level": 0, "reversible": True, "mct": False, **options}
    return imagecodecs.jpeg2k_encode(contiguous, bitspersample=depth, codecformat="j2k", **options)


def jp2(stream: bytes, shape: tuple[int, ...], depth: int, space: int, more: bytes = b"") -> bytes:
    """A file around a codestream; `more` are boxes of its header."""
    image = struct.pack(">IIHBBBB", shape[0], shape[1], shape[2], depth - 1, 7, 0, 0)
    header = box(b"ihdr", image) + box(b"colr", struct.pack(">BBBI", 1, 0, 0, space)) + more
    signature = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return signature + box(b"jp2h", header) + box(b"jp2c", stream)


def channels(*meant: tuple[int, int, int]) -> bytes:
    """The channel definition box, of (channel, type, association)."""
    return box(b"cdef", struct.pack(f">{1 + 3 * len(meant)}H", len(meant), *(value for one in meant for value in one)))


def cases() -> Iterator[Case]:
    for depth in (1, 4, 7, 8, 9, 10, 12, 16):
        for kind, count in (("grey", 1), ("grey with alpha", 2), ("RGB", 3), ("RGB with alpha", 4)):
            numbers = samples(depth, count)
            truth, near = rgb(numbers, depth), 1 + (count in (2, 4))
            stream = codestream(numbers, depth)
            yield Case("JPEG 2000", kind, depth, "codestream", stream, truth, near)
            space = GREY if count < 3 else SRGB
            yield Case("JPEG 2000", kind, depth, "JP2", jp2(stream, numbers.shape, depth, space), truth, near)
        for kind, count in (("signed grey", 1), ("signed RGB", 3)):
            numbers = samples(depth, count)
            middle = 1 << (depth - 1)
            signed = (numbers.astype(np.int32) - middle).astype(np.int8 if depth <= 8 else np.int16)
            if depth > 1:
                yield Case("JPEG 2000", kind, depth, "codestream", codestream(signed, depth), rgb(numbers, depth), 1)
    zero = samples(8, 4) * np.array([1, 1, 1, 0], np.uint8)
    yield Case("JPEG 2000", "RGB with alpha", 8, "zero everywhere", codestream(zero, 8), zero[..., :3])
    yield from _boxes()


def _boxes() -> Iterator[Case]:
    for depth in (1, 4, 8):
        table, numbers = samples(8, 3, 1, 1 << depth)[0], samples(depth)
        table[-1] = table[0]  # one color twice
        palette = struct.pack(">HB3B", len(table), 3, 7, 7, 7) + table.tobytes()
        mapping = b"".join(struct.pack(">HBB", 0, 1, column) for column in range(3))
        more = box(b"pclr", palette) + box(b"cmap", mapping)
        data = jp2(codestream(numbers, depth), numbers.shape, depth, SRGB, more)
        yield Case("JPEG 2000", "palette", depth, "JP2", data, table[numbers[..., 0]])
    numbers = samples(8, 3)
    told = channels((0, 0, 1), (1, 0, 2), (2, 0, 3))
    stream = codestream(numbers, 8)
    yield Case("JPEG 2000", "RGB", 8, "channels told", jp2(stream, numbers.shape, 8, SRGB, told), numbers)
    swapped = channels((0, 0, 3), (1, 0, 2), (2, 0, 1))
    yield Case("JPEG 2000", "RGB", 8, "channels swapped", jp2(stream, numbers.shape, 8, SRGB, swapped))
    yield Case("JPEG 2000", "CIELab", 8, "JP2", jp2(stream, numbers.shape, 8, CIELAB))
    inks = samples(8, 4)
    truth = (255 - inks[..., :3].astype(float)) * (255 - inks[..., 3:]) / 255
    yield Case("JPEG 2000", "CMYK", 8, "JP2", jp2(codestream(inks, 8), inks.shape, 8, CMYK), truth, 1)
