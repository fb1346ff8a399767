"""JPEG 2000 by imagecodecs' OpenJPEG, and the boxes around it by struct: ITU-T T.800, annex I."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np

from tests.transforms.images.truth.pictures import Case, eight, rgb, samples, smooth

SRGB, GREY, CIELAB, CMYK, SYCC, ROMM = 16, 17, 14, 12, 18, 21
OTHERS = {
    0: "bilevel, with white as 0", 3: "YCbCr", 11: "CMY", 13: "YCCK", CIELAB: "CIELab", 19: "CIEJab", 20: "e-sRGB",
    24: "e-sYCC",
}  # fmt: skip
ALPHA, PREMULTIPLIED, UNSPECIFIED = 1, 2, 65535


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def codestream(numbers: np.ndarray, depth: int, **options: Any) -> bytes:
    contiguous = numbers if numbers.shape[2] > 1 else numbers[..., 0]
    options = {"level": 0, "reversible": True, "mct": False, **options}
    return imagecodecs.jpeg2k_encode(contiguous, bitspersample=depth, codecformat="j2k", **options)


def jp2(stream: bytes, shape: tuple[int, ...], depth: int, space: int | bytes, more: bytes = b"") -> bytes:
    """A file around a codestream; `space` is the number of one, or an ICC profile; `more` are boxes of its header."""
    image = struct.pack(">IIHBBBB", shape[0], shape[1], shape[2], depth - 1, 7, 0, 0)
    colors = b"\2\0\0" + space if isinstance(space, bytes) else struct.pack(">BBBI", 1, 0, 0, space)
    header = box(b"ihdr", image) + box(b"colr", colors) + more
    signature = box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
    return signature + box(b"jp2h", header) + box(b"jp2c", stream)


def channels(*meant: tuple[int, int, int]) -> bytes:
    """The channel definition box, of (channel, type, association)."""
    return box(b"cdef", struct.pack(f">{1 + 3 * len(meant)}H", len(meant), *(value for one in meant for value in one)))


def profile(colors: bytes) -> bytes:
    """The head of an ICC profile of colors that four letters name."""
    return struct.pack(">I4sI4s4s4s", 128, b"lcms", 0x02000000, b"scnr", colors, b"XYZ ") + bytes(104)


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
    yield from _palettes()
    yield from _spaces()
    yield from _channels()


def _palettes() -> Iterator[Case]:
    for depth in (1, 4, 8):
        table, numbers = samples(8, 3, 1, 1 << depth)[0], samples(depth)
        table[-1] = table[0]  # one color twice
        palette = struct.pack(">HB3B", len(table), 3, 7, 7, 7) + table.tobytes()
        mapping = b"".join(struct.pack(">HBB", 0, 1, column) for column in range(3))
        more = box(b"pclr", palette) + box(b"cmap", mapping)
        data = jp2(codestream(numbers, depth), numbers.shape, depth, SRGB, more)
        yield Case("JPEG 2000", "palette", depth, "JP2", data, table[numbers[..., 0]])
        turned = b"".join(struct.pack(">HBB", 0, 1, column) for column in (2, 0, 1))
        data = jp2(codestream(numbers, depth), numbers.shape, depth, SRGB, box(b"pclr", palette) + box(b"cmap", turned))
        yield Case("JPEG 2000", "palette", depth, "columns turned", data, table[numbers[..., 0]][..., [2, 0, 1]])
    entries = samples(8, 4, 1, 256)[0]
    four = box(b"pclr", struct.pack(">HB4B", 256, 4, 7, 7, 7, 7) + entries.tobytes())
    mapping = box(b"cmap", b"".join(struct.pack(">HBB", 0, 1, column) for column in range(4)))
    told = channels((0, 0, 1), (1, 0, 2), (2, 0, 3), (3, ALPHA, 0))
    data = jp2(codestream(numbers, 8), numbers.shape, 8, SRGB, four + mapping + told)
    yield Case("JPEG 2000", "palette with alpha", 8, "JP2", data, rgb(entries[numbers[..., 0]]), 1)
    for name, space, stream, columns in (
        ("CMYK", CMYK, numbers, mapping),
        ("grey", GREY, numbers, mapping),
        ("and channels beside it", SRGB, samples(8, 2), mapping + box(b"cmap", struct.pack(">HBB", 1, 0, 0))),
    ):
        data = jp2(codestream(stream, 8), stream.shape, 8, space, four + columns)
        yield Case("JPEG 2000", f"palette, {name}", 8, "JP2", data)
    deep = samples(10)
    small = box(b"pclr", struct.pack(">HB3B", 256, 3, 7, 7, 7) + bytes(768))
    yield Case("JPEG 2000", "palette", 10, "JP2", jp2(codestream(deep, 10), deep.shape, 10, SRGB, small))


def _spaces() -> Iterator[Case]:
    numbers, stream = samples(8, 3), codestream(samples(8, 3), 8)
    for space, layout in ((ROMM, "ROMM"), (profile(b"RGB "), "an RGB profile")):
        yield Case("JPEG 2000", "RGB", 8, layout, jp2(stream, numbers.shape, 8, space), numbers)
    for number, name in OTHERS.items():
        shape = (*numbers.shape[:2], 4 if name == "YCCK" else 1 if "bilevel" in name else 3)
        yield Case("JPEG 2000", name, 8, "JP2", jp2(codestream(samples(8, shape[2]), 8), shape, 8, number))
    for letters in (b"Lab ", b"CMYK"):
        shape = (*numbers.shape[:2], 4 if letters == b"CMYK" else 3)
        data = jp2(codestream(samples(8, shape[2]), 8), shape, 8, profile(letters))
        yield Case("JPEG 2000", f"{letters.decode().strip()} by its profile", 8, "JP2", data)
    deep = samples(12, 3)
    yield Case("JPEG 2000", "CIELab", 12, "JP2", jp2(codestream(deep, 12), deep.shape, 12, CIELAB))
    yield Case("JPEG 2000", "grey of three channels", 8, "JP2", jp2(stream, numbers.shape, 8, GREY))
    for depth in (4, 8, 12, 16):
        inks = samples(depth, 4)
        shares = 1 - inks.astype(float) / ((1 << depth) - 1)
        data = jp2(codestream(inks, depth), inks.shape, depth, CMYK)
        yield Case("JPEG 2000", "CMYK", depth, "JP2", data, np.round(255 * shares[..., :3] * shares[..., 3:]), 2)
    colors = smooth(3)
    for depth in (4, 8, 10, 16):
        ycc = _ycc(colors, depth)
        data = jp2(codestream(ycc, depth), ycc.shape, depth, SYCC)
        yield Case("JPEG 2000", "sYCC", depth, "JP2", data, colors if depth >= 8 else None, 3)
        alpha = samples(depth)
        both = np.concatenate([ycc, alpha], axis=-1)
        told = channels((0, 0, 1), (1, 0, 2), (2, 0, 3), (3, ALPHA, 0))
        data = jp2(codestream(both, depth), both.shape, depth, SYCC, told)
        truth = rgb(np.concatenate([colors, eight(alpha, depth)], axis=-1)) if depth >= 8 else None
        yield Case("JPEG 2000", "sYCC with alpha", depth, "JP2", data, truth, 3)


def _ycc(colors: np.ndarray, depth: int) -> np.ndarray:
    """The samples of sYCC, IEC 61966-2-1 amendment 1, of colors of 8 bits."""
    matrix = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
    parts = colors / 255 @ matrix.T * ((1 << depth) - 1) + (0, 1 << depth - 1, 1 << depth - 1)
    return np.clip(np.round(parts), 0, (1 << depth) - 1).astype(np.uint8 if depth <= 8 else np.uint16)


def _channels() -> Iterator[Case]:
    """What the channel definition box makes of them."""
    numbers = samples(8, 3)
    colors = ((0, 0, 1), (1, 0, 2), (2, 0, 3))
    stream = codestream(numbers, 8)
    yield Case("JPEG 2000", "RGB", 8, "channels told", jp2(stream, numbers.shape, 8, SRGB, channels(*colors)), numbers)
    swapped = channels((0, 0, 3), (1, 0, 2), (2, 0, 1))
    yield Case("JPEG 2000", "RGB", 8, "channels swapped", jp2(stream, numbers.shape, 8, SRGB, swapped))
    for depth in (4, 8, 12, 16):
        for kind, count, space in (("grey", 1, GREY), ("RGB", 3, SRGB)):
            numbers = samples(depth, count + 1)
            alpha = numbers[..., count:]
            plain = codestream(numbers, depth)

            def told(use: int, belongs: int, count: int = count) -> bytes:
                return channels(*colors[:count], (count, use, belongs))

            data = jp2(plain, numbers.shape, depth, space, told(ALPHA, 0))
            yield Case("JPEG 2000", f"{kind} with alpha", depth, "told", data, rgb(numbers, depth), 2)
            data = jp2(plain, numbers.shape, depth, space, told(UNSPECIFIED, 65535))
            truth = rgb(numbers[..., :count], depth)
            yield Case("JPEG 2000", f"{kind} with a further channel", depth, "unspecified", data, truth, 1)
            shares = alpha / ((1 << depth) - 1)
            laid = np.concatenate([np.round(numbers[..., :count] * shares).astype(numbers.dtype), alpha], axis=-1)
            data = jp2(codestream(laid, depth), laid.shape, depth, space, told(PREMULTIPLIED, 0))
            near = 2 if depth >= 8 else 10  # premultiplied in few bits
            yield Case("JPEG 2000", f"{kind} with alpha", depth, "premultiplied", data, rgb(numbers, depth), near)
            data = jp2(plain, numbers.shape, depth, space, told(ALPHA, 1))
            yield Case("JPEG 2000", f"{kind} with alpha of one color", depth, "JP2", data)
