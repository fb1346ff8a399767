"""JPEG by imagecodecs' libjpeg, and by Pillow's where it alone writes a kind."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from tests.transforms.images.truth.pictures import Case, rgb, samples, smooth

EOI = b"\xff\xd9"
# A quarter of a turn to the right makes it upright: as EXIF, and as XMP, say it.
ON_ITS_SIDE = {
    "EXIF": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
    "XMP": b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:x='adobe:ns:meta/'><r tiff:Orientation=\"6\"/></x:xmpmeta>",
}
NEAR = 8  # of slopes at the quality that is asked for here


def written(numbers: np.ndarray, mode: str, **options: Any) -> bytes:
    file = io.BytesIO()
    pixels = numbers[..., 0] if numbers.shape[2] == 1 else numbers
    image = Image.frombytes(mode, (numbers.shape[1], numbers.shape[0]), np.ascontiguousarray(pixels).tobytes())
    image.save(file, "JPEG", **{"quality": 97, "subsampling": 0, **options})
    return file.getvalue()


def cases() -> Iterator[Case]:
    grey, colors = smooth(1), smooth(3)
    for kind, numbers in (("grey", grey), ("RGB", colors)):
        contiguous = numbers if numbers.shape[2] == 3 else numbers[..., 0]
        yield Case("JPEG", kind, 8, "plain", imagecodecs.jpeg8_encode(contiguous, level=97), rgb(numbers), NEAR)
        mode = "RGB" if kind == "RGB" else "L"
        for layout, options in {
            "progressive": {"progressive": True},
            "restart markers": {"restart_marker_rows": 1},
        }.items():
            yield Case("JPEG", kind, 8, layout, written(numbers, mode, **options), rgb(numbers), NEAR)
        for layout, options in {"plain": {}, "progressive": {"progressive": True}}.items():
            data = written(numbers, mode, **options).removesuffix(EOI)
            yield Case("JPEG", kind, 8, f"{layout}, without its end marker", data, rgb(numbers), NEAR)
            half = written(samples(8, numbers.shape[2], 96, 96), mode, **options)
            for share in (0.5, 0.9):
                cut = half[: int(len(half) * share)]
                yield Case("JPEG", kind, 8, f"{layout}, {share:.0%} of it", cut, error="TruncatedImage")
            yield Case("JPEG", kind, 8, f"{layout}, all but the last bytes", half[:-12], error="TruncatedImage")
    yield Case("JPEG", "RGB", 8, "a scan is missing", _without_last_scan(colors), error="TruncatedImage")
    yield Case("JPEG", "RGB", 8, "stored as RGB", written(colors, "RGB", keep_rgb=True), colors, NEAR)
    inks = smooth(4)
    truth = (255 - inks[..., :3].astype(float)) * (255 - inks[..., 3:]) / 255
    yield Case("JPEG", "CMYK", 8, "Adobe's", written(inks, "CMYK"), truth, NEAR + 4)
    data = imagecodecs.jpegls_encode(samples(8)[..., 0])
    yield Case("JPEG-LS", "grey", 8, "plain", data)
    yield from _cut_at_restarts()
    yield from _deep()


def _cut_at_restarts() -> Iterator[Case]:
    """Of files whose rest was never written: cut before a restart marker, within it, or filled with zeros."""
    for layout, options in {
        "plain": {"restart_marker_rows": 1},
        "progressive": {"restart_marker_rows": 1, "progressive": True},
    }.items():
        whole = written(samples(8, 3, 96, 96), "RGB", **options)
        markers = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", whole)]
        for name, at in (("before", markers[-3]), ("within", markers[-3] + 1), ("before the last", markers[-1])):
            cut = whole[:at]
            yield Case("JPEG", "RGB", 8, f"{layout}, cut {name} restart", cut, error="TruncatedImage")
        filled = whole[: len(whole) * 3 // 4].ljust(len(whole), b"\0")
        yield Case("JPEG", "RGB", 8, f"{layout}, its rest zeros", filled, error="TruncatedImage")
    colors = smooth(3)
    filled = written(colors, "RGB").removesuffix(EOI) + bytes(512)
    yield Case("JPEG", "RGB", 8, "zeros for its end marker", filled, colors, NEAR)
    filled = written(samples(8, 1, 96, 96), "L")
    filled = filled[: len(filled) * 3 // 4].ljust(len(filled), b"\0")
    yield Case("JPEG", "grey", 8, "its rest zeros", filled, error="TruncatedImage")


def _deep() -> Iterator[Case]:
    """Of 12 bits, or lossless."""
    for kind, channels in (("grey", 1), ("RGB", 3)):
        deep = smooth(channels, most=4095)
        truth = rgb(deep, 12)
        data = _of_12_bits(deep)
        yield Case("JPEG", kind, 12, "plain", data, truth, NEAR)
        yield Case("JPEG", kind, 12, "without its end marker", data.removesuffix(EOI), truth, NEAR)
        for name, content in ON_ITS_SIDE.items():
            turned = data[:2] + struct.pack(">BBH", 0xFF, 0xE1, len(content) + 2) + content + data[2:]
            yield Case("JPEG", kind, 12, f"on its side by {name}", turned, np.rot90(truth, -1), NEAR)
    wholes = [(12, "plain", _of_12_bits(samples(12, 1, 96, 96)))]
    for depth in (8, 12, 16):
        numbers = samples(depth)
        data = imagecodecs.ljpeg_encode(numbers[..., 0], bitspersample=depth)
        yield Case("JPEG", "grey", depth, "lossless", data, rgb(numbers, depth))
        large = imagecodecs.ljpeg_encode(samples(depth, 1, 96, 96)[..., 0], bitspersample=depth)
        wholes.append((depth, "lossless", large))
        crowded = bytearray(data.removesuffix(EOI))
        crowded[data.index(b"\xff\xc4") + 14] = 31  # codes of ten bits, of which there are no such number
        name = "lossless, codes that are none"
        yield Case("JPEG", "grey", depth, name, bytes(crowded), error="CorruptImage")
    for depth, layout, whole in wholes:
        for share in (0.5, 0.9):
            cut = whole[: int(len(whole) * share)]
            name = f"{layout}, {share:.0%} of it"
            yield Case("JPEG", "grey", depth, name, cut, error="TruncatedImage")
            filled = cut.ljust(len(whole), b"\0")
            yield Case("JPEG", "grey", depth, f"{name}, then zeros", filled, error="TruncatedImage")


def _of_12_bits(numbers: np.ndarray) -> bytes:
    contiguous = numbers if numbers.shape[2] == 3 else np.ascontiguousarray(numbers[..., 0])
    data: bytes = imagecodecs.jpeg_encode(contiguous, level=97, bitspersample=12)
    return data


def _without_last_scan(numbers: np.ndarray) -> bytes:
    """A progressive JPEG that ends where its last scan, with the last bits, would begin."""
    data = written(numbers, "RGB", progressive=True)
    return data[: data.rindex(b"\xff\xda")]
