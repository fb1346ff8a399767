"""PSD by struct: https://www.adobe.com/devnet-apps/photoshop/fileformatashtml/"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from tests.transforms.images.truth.pictures import Case, packed, rgb, samples

BITMAP, GREY, INDEXED, RGB, CMYK, MULTICHANNEL = 0, 1, 2, 3, 4, 7
RAW, PACKBITS, ZIP = 0, 1, 2
RESOURCES = b"8BIM" + struct.pack(">HHI", 1005, 0, 16) + bytes(16)


def psd(
    planes: list[bytes], shape: tuple[int, ...], depth: int, mode: int, compression: int = RAW, colors: bytes = b"",
    layers: int | None = None, version: int = 1,
) -> bytes:  # fmt: skip
    """The merged picture of planes; `layers` is the count that the layer section tells."""
    head = b"8BPS" + struct.pack(">H6xHIIHH", version, len(planes), shape[0], shape[1], depth, mode)
    section = struct.pack(">IhH", 4, layers, 0) if layers is not None else b""
    parts = [struct.pack(">I", len(part)) + part for part in (colors, RESOURCES, section)]
    return head + b"".join(parts) + struct.pack(">H", compression) + _compressed(planes, shape, compression)


def _compressed(planes: list[bytes], shape: tuple[int, ...], compression: int) -> bytes:
    if compression != PACKBITS:
        return b"".join(planes)
    rows = [
        plane[at : at + len(plane) // shape[0]]
        for plane in planes
        for at in range(0, len(plane), len(plane) // shape[0])
    ]
    lines = [
        b"".join(bytes([len(part) - 1]) + part for part in (row[i : i + 128] for i in range(0, len(row), 128)))
        for row in rows
    ]
    return b"".join(struct.pack(">H", len(line)) for line in lines) + b"".join(lines)


def planes_of(numbers: np.ndarray, depth: int) -> list[bytes]:
    if depth == 1:
        return [b"".join(packed(numbers[..., 0], 1))]
    return [numbers[..., band].astype(f">u{depth // 8}").tobytes() for band in range(numbers.shape[2])]


def cases() -> Iterator[Case]:
    for compression, layout in ((RAW, "plain"), (PACKBITS, "PackBits")):
        for depth in (8, 16):
            for kind, mode, channels in (("grey", GREY, 1), ("RGB", RGB, 3)):
                numbers = samples(depth, channels)
                data = psd(planes_of(numbers, depth), numbers.shape, depth, mode, compression)
                yield Case("PSD", kind, depth, layout, data, rgb(numbers, depth))
            inks = samples(depth, 4)
            shares = inks.astype(float) / ((1 << depth) - 1)
            data = psd(planes_of(inks, depth), inks.shape, depth, CMYK, compression)
            yield Case("PSD", "CMYK", depth, layout, data, np.round(255 * shares[..., :3] * shares[..., 3:]), 1)
            numbers = samples(depth, 4)
            planes = planes_of(numbers, depth)
            data = psd(planes, numbers.shape, depth, RGB, compression, layers=-1)
            yield Case("PSD", "RGB with alpha", depth, layout, data, rgb(numbers, depth), 1)
            for count in (None, 1):
                data = psd(planes, numbers.shape, depth, RGB, compression, layers=count)
                truth = rgb(numbers[..., :3], depth)
                yield Case("PSD", "RGB with a saved selection", depth, f"{layout}, {count or 'no'} layers", data, truth)
        bits = samples(1)
        yield Case(
            "PSD", "bilevel", 1, layout, psd(planes_of(1 - bits, 1), bits.shape, 1, BITMAP, compression), rgb(bits, 1)
        )
        table, numbers = samples(8, 3, 1, 256)[0], samples(8)
        data = psd(planes_of(numbers, 8), numbers.shape, 8, INDEXED, compression, table.T.tobytes())
        yield Case("PSD", "palette", 8, layout, data, table[numbers[..., 0]])
    numbers = samples(8, 3)
    planes = planes_of(numbers, 8)
    yield Case("PSD", "multichannel", 8, "plain", psd(planes, numbers.shape, 8, MULTICHANNEL))
    yield Case("PSD", "RGB", 8, "ZIP", psd(planes, numbers.shape, 8, RGB, ZIP))
    floats = list(np.moveaxis(numbers.astype(">f4"), -1, 0))
    yield Case(
        "PSD", "floating-point RGB", 32, "plain", psd([part.tobytes() for part in floats], numbers.shape, 32, RGB)
    )
    yield Case("PSB", "RGB", 8, "plain", psd(planes, numbers.shape, 8, RGB, version=2), error="UnsupportedFormat")
