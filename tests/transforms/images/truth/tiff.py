"""TIFF by struct, and by tifffile: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tifffile

from tests.transforms.images.truth.pictures import Case, packed_pixels, rgb, samples

WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR, CIELAB = 0, 1, 2, 3, 5, 6, 8
Tags = Mapping[int, tuple[str, Sequence[int]]]
TYPES = {"B": 1, "H": 3, "I": 4}


def page(numbers: np.ndarray, bits: int, photometric: int, **more: tuple[str, Sequence[int]]) -> Tags:
    """The tags of a page in one strip; further ones by their numbers, as `t338=("H", [1])`."""
    height, width, channels = numbers.shape
    tags: dict[int, tuple[str, Sequence[int]]] = {
        256: ("I", [width]), 257: ("I", [height]), 258: ("H", [bits] * channels), 259: ("H", [1]),
        262: ("H", [photometric]), 277: ("H", [channels]), 278: ("I", [height]), 284: ("H", [1]),
    }  # fmt: skip
    return tags | {int(name[1:]): value for name, value in more.items()}


def tiff(pages: Sequence[tuple[Tags, Sequence[bytes]]], order: str = "<", tiled: bool = False) -> bytes:
    """A TIFF of pages, each of its tags and its blocks of pixels."""
    body, before = b"", 4
    file = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 0))
    for given, blocks in pages:
        starts = []
        for block in blocks:
            starts.append(len(file))
            file += block + b"\0" * (len(block) % 2)
        where = (324, 325) if tiled else (273, 279)
        tags = {**given, where[0]: ("I", starts), where[1]: ("I", [len(block) for block in blocks])}
        struct.pack_into(order + "I", file, before, len(file))
        values_at, entries, body = len(file) + 2 + 12 * len(tags) + 4, b"", b""
        for number in sorted(tags):
            kind, numbers = tags[number]
            data = struct.pack(order + kind * len(numbers), *numbers)
            entries += struct.pack(order + "HHI", number, TYPES[kind], len(numbers))
            if len(data) > 4:
                entries += struct.pack(order + "I", values_at + len(body))
                body += data + b"\0" * (len(data) % 2)
            else:
                entries += data.ljust(4, b"\0")
        file += struct.pack(order + "H", len(tags)) + entries
        before = len(file)
        file += struct.pack(order + "I", 0) + body
    return bytes(file)


def simple(numbers: np.ndarray, bits: int, photometric: int, order: str = "<", **more: Any) -> bytes:
    """One page, uncompressed; 16-bit samples in the order of bytes of the file, others packed."""
    if bits in (16, 32):
        pixels = numbers.astype(f"{order}u{bits // 8}").tobytes()
    else:
        pixels = b"".join(packed_pixels(numbers, bits))
    return tiff([(page(numbers, bits, photometric, **more), [pixels])], order)


def written(numbers: np.ndarray, **options: Any) -> bytes:
    """As tifffile writes it."""
    file = io.BytesIO()
    tifffile.imwrite(file, numbers, metadata=None, **options)
    return file.getvalue()


def cases() -> Iterator[Case]:
    for order, named in (("<", "little-endian"), (">", "big-endian")):
        for depth in (1, 2, 4, 8, 10, 12, 14, 16):
            numbers = samples(depth)
            most = (1 << depth) - 1
            yield Case("TIFF", "grey", depth, named, simple(numbers, depth, BLACK_IS_ZERO, order), rgb(numbers, depth))
            inverted = simple(most - numbers, depth, WHITE_IS_ZERO, order)
            yield Case("TIFF", "grey, WhiteIsZero", depth, named, inverted, rgb(numbers, depth))
        for depth in (8, 10, 12, 14, 16):
            for kind, channels, photometric in (("RGB", 3, RGB), ("RGB with alpha", 4, RGB), ("grey with alpha", 2, 1)):
                numbers = samples(depth, channels)
                more = {"t338": ("H", [2])} if channels in (2, 4) else {}
                data = simple(numbers, depth, photometric, order, **more)
                yield Case("TIFF", kind, depth, named, data, rgb(numbers, depth), 1 + (channels == 4))
        yield from _palettes(order, named)
        yield from _libraries(order, named)
    yield from _orders_of_bits()
    yield from _planes()
    yield from _others()
    yield from _refused()


def _palettes(order: str, named: str) -> Iterator[Case]:
    for depth in (1, 2, 4, 8):
        colors, numbers = samples(8, 3, 1, 1 << depth)[0], samples(depth)
        for bits, factor in ((16, 257), (8, 1)):
            table = (colors.T.astype(int) * factor).ravel().tolist()
            data = simple(numbers, depth, PALETTE, order, t320=("H", table))
            yield Case("TIFF", f"palette of {bits} bits", depth, named, data, colors[numbers[..., 0]])


def _libraries(order: str, named: str) -> Iterator[Case]:
    """Compressions, tiles and planes, as tifffile writes them."""
    for depth in (8, 16):
        for channels in (1, 3):
            numbers = samples(depth, channels)
            contiguous = numbers if channels == 3 else numbers[..., 0]
            kind, near = ("RGB" if channels == 3 else "grey"), int(channels == 3 and depth == 16)
            options: dict[str, Any] = {"photometric": "rgb" if channels == 3 else "minisblack", "byteorder": order}
            for layout, more in {
                "LZW": {"compression": "lzw"}, "Deflate with prediction": {"compression": "zlib", "predictor": True},
                "PackBits": {"compression": "packbits"}, "Zstandard": {"compression": "zstd"},
                "tiles": {"tile": (16, 16)}, "LZW in tiles": {"tile": (16, 16), "compression": "lzw"},
                "strips": {"rowsperstrip": 5}, "BigTIFF": {"bigtiff": True},
            }.items():  # fmt: skip
                data = written(contiguous, **options, **more)
                yield Case("TIFF", kind, depth, f"{layout}, {named}", data, rgb(numbers, depth), near)
                if channels == 3 and layout != "BigTIFF":
                    data = written(np.moveaxis(contiguous, -1, 0), planarconfig="separate", **options, **more)
                    yield Case("TIFF", kind, depth, f"planes, {layout}, {named}", data, rgb(numbers, depth), near)


def _others() -> Iterator[Case]:
    inks = samples(8, 4)
    colors = (255 - inks[..., :3].astype(float)) * (255 - inks[..., 3:]) / 255
    yield Case("TIFF", "CMYK", 8, "plain", simple(inks, 8, CMYK), colors.round().astype(np.uint8), 1)
    yield Case("TIFF", "CMYK", 16, "plain", simple(inks.astype(np.uint16) * 257, 16, CMYK), colors.round(), 1)
    numbers = samples(8, 4)
    extra = simple(numbers, 8, RGB, t338=("H", [0]))
    yield Case("TIFF", "RGB with a further sample", 8, "unspecified", extra, numbers[..., :3])
    filler = simple(np.concatenate([numbers[..., :3], numbers[..., 3:] * 0], axis=-1), 8, RGB)
    yield Case("TIFF", "RGB with alpha", 8, "zero everywhere", filler, numbers[..., :3])
    premultiplied = np.round(numbers[..., :3] * (numbers[..., 3:] / 255)).astype(np.uint8)
    data = simple(np.concatenate([premultiplied, numbers[..., 3:]], axis=-1), 8, RGB, t338=("H", [1]))
    yield Case("TIFF", "RGB with alpha", 8, "premultiplied", data, rgb(numbers), 2)
    small, whole = samples(8, 3, 4, 6), samples(8, 3)
    preview = (page(small, 8, RGB, t254=("I", [1])), [small.tobytes()])
    full = (page(whole, 8, RGB, t254=("I", [0])), [whole.tobytes()])
    yield Case("TIFF", "RGB", 8, "behind a preview", tiff([preview, full]), whole)
    yield Case("TIFF", "RGB", 8, "a preview alone", tiff([preview]))
    turned = simple(whole, 8, RGB, t274=("H", [6]))
    yield Case("TIFF", "RGB", 8, "on its side", turned, np.rot90(whole, -1))
    deep = samples(12, 3)
    turned = simple(deep, 12, RGB, t274=("H", [6]))
    yield Case("TIFF", "RGB", 12, "on its side", turned, np.rot90(rgb(deep, 12), -1))


def _orders_of_bits() -> Iterator[Case]:
    """FillOrder 2: the bits of each byte the other way round."""
    for depth in (1, 2, 4, 8, 16):
        numbers = samples(depth)
        pixels = numbers.astype("<u2").tobytes() if depth == 16 else b"".join(packed_pixels(numbers, depth))
        turned = np.packbits(np.unpackbits(np.frombuffer(pixels, np.uint8), bitorder="little")).tobytes()
        data = tiff([(page(numbers, depth, BLACK_IS_ZERO, t266=("H", [2])), [turned])])
        yield Case("TIFF", "grey", depth, "bits turned round", data, rgb(numbers, depth))


def _planes() -> Iterator[Case]:
    """Samples of more than grey and RGB, in planes."""
    for order, named in (("<", "little-endian"), (">", "big-endian")):
        for depth in (8, 16):
            for kind, channels, photometric in (
                ("RGB with alpha", 4, RGB),
                ("CMYK", 4, CMYK),
                ("grey with alpha", 2, 1),
            ):
                numbers = samples(depth, channels)
                more = {"t284": ("H", [2])} | ({"t338": ("H", [2])} if kind != "CMYK" else {})
                planes = [plane.astype(f"{order}u{depth // 8}").tobytes() for plane in np.moveaxis(numbers, -1, 0)]
                data = tiff([(page(numbers, depth, photometric, **more), planes)], order)
                if kind == "CMYK":
                    shares = 1 - numbers.astype(float) / ((1 << depth) - 1)
                    truth = np.round(255 * shares[..., :3] * shares[..., 3:])
                else:
                    truth = rgb(numbers, depth)
                read = (kind, depth) != ("CMYK", 16)
                yield Case("TIFF", kind, depth, f"planes, {named}", data, truth if read else None, 2)


def _refused() -> Iterator[Case]:
    for depth in (8, 16, 32):
        signed = simple(samples(min(depth, 16)), depth, BLACK_IS_ZERO, t339=("H", [2]))
        yield Case("TIFF", "signed grey", depth, "plain", signed)
    yield Case("TIFF", "grey", 32, "plain", simple(samples(16), 32, BLACK_IS_ZERO))
    for bits in (16, 32, 64):
        data = written(samples(8)[..., 0].astype(f"f{bits // 8}"), photometric="minisblack")
        yield Case("TIFF", "floating-point grey", bits, "plain", data)
    yield Case("TIFF", "YCbCr", 8, "without compression", simple(samples(8, 3), 8, YCBCR))
    yield Case("TIFF", "inks", 8, "not CMYK", simple(samples(8, 4), 8, CMYK, t332=("H", [2])))
    sensor = simple(samples(16), 16, 32803)
    yield Case("TIFF", "a camera's sensor", 16, "plain", sensor)
    raw = simple(samples(8, 3), 8, RGB, t50706=("B", [1, 4, 0, 0]))
    yield Case("DNG", "raw", 8, "plain", raw, error="UnsupportedFormat")
