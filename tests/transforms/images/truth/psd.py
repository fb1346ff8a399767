"""PSD by struct: https://www.adobe.com/devnet-apps/photoshop/fileformatashtml/"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from tests.transforms.images.truth.pictures import Case, eight, lab, on_white, packed, rgb, samples, where_transparent

BITMAP, GREY, INDEXED, RGB, CMYK, MULTICHANNEL, DUOTONE, LAB = 0, 1, 2, 3, 4, 7, 8, 9
RAW, PACKBITS, ZIP = 0, 1, 2


def resource(number: int, content: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content


RESOURCES = resource(1005, bytes(16))


def psd(
    planes: list[bytes], shape: tuple[int, ...], depth: int, mode: int, compression: int = RAW, colors: bytes = b"",
    layers: int | None = None, version: int = 1, resources: bytes = RESOURCES, blocks: bytes = b"",
) -> bytes:  # fmt: skip
    """The merged picture of planes; `layers` is the count that the layer section tells, `blocks` stand behind it."""
    head = b"8BPS" + struct.pack(">H6xHIIHH", version, len(planes), shape[0], shape[1], depth, mode)
    section = struct.pack(">IhH", 4, layers, 0) if layers is not None else b""
    section = struct.pack(">II", 0, 0) + blocks if blocks else section
    parts = [struct.pack(">I", len(part)) + part for part in (colors, resources, section)]
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
    yield from _plain()
    yield from _further_channels()
    yield from _refused()


def _plain() -> Iterator[Case]:
    for compression, layout in ((RAW, "plain"), (PACKBITS, "PackBits")):
        for depth in (8, 16):
            for kind, mode, channels in (("grey", GREY, 1), ("RGB", RGB, 3)):
                numbers = samples(depth, channels)
                data = psd(planes_of(numbers, depth), numbers.shape, depth, mode, compression)
                yield Case("PSD", kind, depth, layout, data, rgb(numbers, depth))
            inks = samples(depth, 4)
            data = psd(planes_of(inks, depth), inks.shape, depth, CMYK, compression)
            yield Case("PSD", "CMYK", depth, layout, data, of_inks(inks, depth), 1)
            grey = samples(depth)
            duotone = psd(planes_of(grey, depth), grey.shape, depth, DUOTONE, compression, bytes(500))
            yield Case("PSD", "duotone", depth, layout, duotone, rgb(grey, depth))
            numbers = samples(depth, 3) // 8 + (7 << depth - 4)  # well within sRGB
            data = psd(planes_of(numbers, depth), numbers.shape, depth, LAB, compression)
            yield Case("PSD", "CIELab", depth, layout, data, lab(eight(numbers, depth)), 3)
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


def of_inks(numbers: np.ndarray, depth: int) -> np.ndarray:
    """The colors of cyan, magenta, yellow and black, which are stored inverted."""
    shares = numbers[..., :4].astype(float) / ((1 << depth) - 1)
    return np.round(255 * shares[..., :3] * shares[..., 3:])


def _further_channels() -> Iterator[Case]:
    """Saved selections, spot colors and transparency, behind the colors."""
    for compression, layout in ((RAW, "plain"), (PACKBITS, "PackBits")):
        for depth in (8, 16):
            most = (1 << depth) - 1
            for kind, mode, count in (("grey", GREY, 1), ("RGB", RGB, 3), ("CMYK", CMYK, 4)):
                numbers = samples(depth, count + 2)
                planes, shape = planes_of(numbers, depth), numbers.shape
                alpha = eight(numbers[..., count : count + 1], depth)
                opaque = of_inks(numbers, depth) if mode == CMYK else rgb(numbers[..., :count], depth)
                for further in (1, 2):
                    data = psd(planes[: count + further], shape, depth, mode, compression)
                    yield Case("PSD", f"{kind} with a saved selection", depth, f"{layout}, {further}", data, opaque, 1)
                data = psd(planes, shape, depth, mode, compression, layers=-1)
                name = f"{kind} with alpha"
                yield Case("PSD", name, depth, f"{layout}, and a selection", data, on_white(opaque, alpha), 2)
                share = numbers[..., count : count + 1] / most
                laid = (numbers[..., :count] * share + most * (1 - share)).round().astype(numbers.dtype)
                planes = planes_of(np.concatenate([laid, numbers[..., count : count + 1]], axis=-1), depth)
                on_it = of_inks(laid, depth) if mode == CMYK else rgb(laid, depth)
                data = psd(planes, shape, depth, mode, compression, layers=-1)
                yield Case("PSD", name, depth, f"{layout}, on white already", data, on_it, 1)
        table, numbers = samples(8, 3, 1, 256)[0], samples(8, 2)
        data = psd(planes_of(numbers, 8), numbers.shape, 8, INDEXED, compression, table.T.tobytes())
        yield Case("PSD", "palette with a saved selection", 8, layout, data, table[numbers[..., 0]])
        hole = resource(1047, struct.pack(">H", numbers[5, 5, 0]))
        data = psd(
            planes_of(numbers[..., :1], 8), numbers.shape, 8, INDEXED, compression, table.T.tobytes(),
            resources=RESOURCES + hole,
        )  # fmt: skip
        truth = where_transparent(table[numbers[..., 0]], numbers[..., 0] == numbers[5, 5, 0])
        yield Case("PSD", "palette with a hole", 8, layout, data, truth)
    numbers = samples(16, 4)
    for layout, blocks in (
        ("layers in a block", b"8BIM" + struct.pack(">4sIhH", b"Lr16", 4, -1, 0)),
        ("a block says so", b"8BIM" + struct.pack(">4sI", b"Mt16", 0)),
    ):
        data = psd(planes_of(numbers, 16), numbers.shape, 16, RGB, RAW, blocks=blocks)
        yield Case("PSD", "RGB with alpha", 16, layout, data, rgb(numbers, 16), 1)


def _refused() -> Iterator[Case]:
    numbers = samples(8, 3)
    planes = planes_of(numbers, 8)
    yield Case("PSD", "multichannel", 8, "plain", psd(planes, numbers.shape, 8, MULTICHANNEL))
    blank = RESOURCES + resource(1057, struct.pack(">IB", 1, 0))
    yield Case("PSD", "RGB without its merged picture", 8, "plain", psd(planes, numbers.shape, 8, RGB, resources=blank))
    yield Case("PSD", "RGB", 8, "ZIP", psd(planes, numbers.shape, 8, RGB, ZIP))
    floats = list(np.moveaxis(numbers.astype(">f4"), -1, 0))
    yield Case(
        "PSD", "floating-point RGB", 32, "plain", psd([part.tobytes() for part in floats], numbers.shape, 32, RGB)
    )
    yield Case("PSB", "RGB", 8, "plain", psd(planes, numbers.shape, 8, RGB, version=2), error="UnsupportedFormat")
