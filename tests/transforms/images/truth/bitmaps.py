"""BMP, ICO and TGA by struct: https://learn.microsoft.com/windows/win32/gdi/bitmap-header-types"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np

from tests.transforms.images.truth.pictures import Case, packed, rgb, samples, where_transparent
from tests.transforms.images.truth.png import RGB_ALPHA, png

RAW, RLE8, RLE4, BITFIELDS = 0, 1, 2, 3
FILLED = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)


def rows(pixels: np.ndarray, bottom_up: bool = True) -> bytes:
    """Bytes [height, width, …], each row padded to four."""
    ordered = pixels[::-1] if bottom_up else pixels
    lines = [row.tobytes() for row in ordered]
    return b"".join(line.ljust(-(-len(line) // 4) * 4, b"\0") for line in lines)


def index_rows(numbers: np.ndarray, bits: int) -> bytes:
    return b"".join(line.ljust(-(-len(line) // 4) * 4, b"\0") for line in packed(numbers[::-1, :, 0], bits))


def info(width: int, height: int, bits: int, size: int = 40, compression: int = RAW, used: int = 0) -> bytes:
    return struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, compression, 0, 2835, 2835, used, 0)


def bmp(head: bytes, pixels: bytes, palette: bytes = b"") -> bytes:
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + head + palette + pixels


def quads(colors: np.ndarray) -> bytes:
    """A palette of blue, green, red and a filler."""
    return np.pad(colors[:, ::-1], ((0, 0), (0, 1))).astype(np.uint8).tobytes()


def long_head(width: int, height: int, size: int, masks: Sequence[int]) -> bytes:
    """A header of version 4 or 5, with masks of red, green, blue and alpha."""
    return (info(width, height, 32, size, BITFIELDS) + struct.pack("<4I", *masks)).ljust(size, b"\0")


def cases() -> Iterator[Case]:
    yield from _indexed()
    yield from _direct()
    yield from _bit_of_alpha()
    yield from _run_lengths()
    yield from _icons()
    yield from _targas()


def _indexed() -> Iterator[Case]:
    black_and_white = np.array([[0, 0, 0], [255, 255, 255]], np.uint8)
    for bits in (1, 4, 8):
        colors, numbers = samples(8, 3, 1, 1 << bits)[0], samples(bits)
        height, width = numbers.shape[:2]
        data = bmp(info(width, height, bits), index_rows(numbers, bits), quads(colors))
        yield Case("BMP", "palette", bits, "plain", data, colors[numbers[..., 0]])
        grey = np.repeat(np.arange(1 << bits)[:, None] * (255 // ((1 << bits) - 1)), 3, axis=1)
        data = bmp(info(width, height, bits), index_rows(numbers, bits), quads(grey))
        yield Case("BMP", "grey", bits, "by its palette", data, rgb(numbers, bits))
        dark = np.repeat(np.arange(1 << bits)[:, None], 3, axis=1)
        data = bmp(info(width, height, bits), index_rows(numbers, bits), quads(dark))
        yield Case("BMP", "palette", bits, "each index its own grey", data, np.repeat(numbers, 3, axis=2))
        two = numbers % 2
        for format, start in (("BMP", bmp), ("DIB", lambda head, pixels, palette: head + palette + pixels)):
            data = start(info(width, height, bits, used=2), index_rows(two, bits), quads(black_and_white))
            yield Case(format, "palette", bits, "black and white", data, black_and_white[two[..., 0]])


def _direct() -> Iterator[Case]:
    colors, alpha = samples(8, 3), samples(8)
    height, width = colors.shape[:2]
    blue_first = colors[..., ::-1]
    yield Case("BMP", "RGB", 24, "plain", bmp(info(width, height, 24), rows(blue_first)), colors)
    yield Case("BMP", "RGB", 24, "top down", bmp(info(width, -height, 24), rows(blue_first, bottom_up=False)), colors)
    yield Case("DIB", "RGB", 24, "plain", info(width, height, 24) + rows(blue_first), colors)
    with_filler = np.concatenate([blue_first, alpha], axis=-1)
    yield Case("BMP", "RGB", 32, "plain", bmp(info(width, height, 32), rows(with_filler)), colors)
    zero = np.concatenate([blue_first, alpha * 0], axis=-1)
    for size in (56, 108, 124):
        head = long_head(width, height, size, FILLED)
        truth = rgb(np.concatenate([colors, alpha], axis=-1))
        yield Case("BMP", "RGB with alpha", 32, f"a header of {size} bytes", bmp(head, rows(with_filler)), truth, 1)
        yield Case("BMP", "RGB with alpha", 32, f"zero everywhere, {size} bytes", bmp(head, rows(zero)), colors)
    for name, masks, shifts in (
        ("5-5-5", None, (10, 5, 0)), ("5-6-5", (0xF800, 0x7E0, 0x1F), (11, 5, 0)),
        ("5-5-5 by masks", (0x7C00, 0x3E0, 0x1F), (10, 5, 0)),
    ):  # fmt: skip
        depths = (5, 6 if name == "5-6-5" else 5, 5)
        parts = [samples(depth)[..., 0].astype(int) for depth in depths]
        values = sum(part << shift for part, shift in zip(parts, shifts, strict=True))
        truth = np.stack([part * 255 / ((1 << depth) - 1) for part, depth in zip(parts, depths, strict=True)], axis=-1)
        head = info(width, height, 16, compression=BITFIELDS if masks else RAW)
        pixels = rows(np.asarray(values).astype("<u2"))
        yield Case("BMP", "RGB", 16, name, bmp(head, pixels, struct.pack("<3I", *masks) if masks else b""), truth, 1)
    odd = bmp(
        info(width, height, 16, compression=BITFIELDS), bytes(2 * (width + 1) * height), struct.pack("<3I", 7, 56, 448)
    )
    yield Case("BMP", "RGB", 16, "masks of another kind", odd)


def _bit_of_alpha() -> Iterator[Case]:
    """16 bits a pixel, one of them of alpha."""
    parts = [samples(5)[..., 0].astype(int), samples(5)[::-1, :, 0].astype(int), samples(5)[:, ::-1, 0].astype(int)]
    bit = samples(1)[..., 0].astype(int)
    colors = np.stack(parts, axis=-1) * 255 / 31
    height, width = bit.shape
    masks = (0x7C00, 0x3E0, 0x1F, 0x8000)
    for size in (56, 108, 124):
        for layout, alpha, truth in (
            ("one bit of it", bit, where_transparent(colors, bit == 0)),
            ("0 everywhere", bit * 0, colors),
        ):
            values = (alpha << 15 | parts[0] << 10 | parts[1] << 5 | parts[2]).astype("<u2")
            head = (info(width, height, 16, size, BITFIELDS) + struct.pack("<4I", *masks)).ljust(size, b"\0")
            name = f"{layout}, a header of {size} bytes"
            yield Case("BMP", "RGB with alpha", 16, name, bmp(head, rows(values)), truth, 1)
            head = head[:8] + struct.pack("<i", -height) + head[12:]
            data = bmp(head, rows(values, bottom_up=False))
            yield Case("BMP", "RGB with alpha", 16, f"{name}, top down", data, truth, 1)
            if layout == "one bit of it":
                yield Case("DIB", "RGB with alpha", 16, name, data[14:], truth, 1)


def _run_lengths() -> Iterator[Case]:
    for bits, compression in ((8, RLE8), (4, RLE4)):
        colors, numbers = samples(8, 3, 1, 1 << bits)[0], samples(bits)
        numbers[3:9, 4:30] = numbers[3, 4]
        stream = b"".join(_runs(row, bits) for row in numbers[::-1, :, 0]) + b"\0\1"
        head = info(numbers.shape[1], numbers.shape[0], bits, compression=compression)
        data = bmp(head, stream, quads(colors))
        yield Case("BMP", "palette", bits, "run lengths", data, colors[numbers[..., 0]])
        # Five pixels, then two rows up and three to the right four more, and its end.
        one, other = (0x11, 0x22) if bits == 4 else (1, 2)
        few = bytes([5, one, 0, 2, 3, 2, 4, other, 0, 1])
        left_out = np.zeros(numbers.shape[:2], np.uint8)
        left_out[-1, :5], left_out[-3, 8:12] = 1, 2
        yield Case("BMP", "palette", bits, "runs that end early", bmp(head, few, quads(colors)), colors[left_out])
        wide = bmp(head, bytes([200, one]) * 24 + b"\0\1", quads(colors))
        yield Case("BMP", "palette", bits, "runs beyond the rows", wide, error="CorruptImage")
        cut = bmp(head, stream[: len(stream) // 2], quads(colors))
        yield Case("BMP", "palette", bits, "half of the runs", cut, error="TruncatedImage")
        if bits == 4:
            yield Case("DIB", "palette", 4, "run lengths", data[14:])


def _runs(row: np.ndarray, bits: int) -> bytes:
    """A row as runs of four or more, and as absolute ones of odd and even lengths between them."""
    stream, at = b"", 0
    while at < len(row):
        run = next((n for n in range(at, len(row)) if row[n] != row[at]), len(row)) - at
        if run >= 4 or len(row) - at < 3:
            value = int(row[at])
            stream, at = stream + bytes([run, value if bits == 8 else value * 17]), at + run
            continue
        count = min(7, len(row) - at)
        part = packed(row[None, at : at + count], bits)[0]
        stream, at = stream + bytes([0, count]) + part + b"\0" * (len(part) % 2), at + count
    return stream + b"\0\0"


def ico(picture: bytes, width: int, height: int, bits: int) -> bytes:
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, width, height, 0, 0, 1, bits, len(picture), 22) + picture


def _icons() -> Iterator[Case]:
    numbers = samples(8, 4, 32, 32)
    mask = samples(1, 1, 32, 32)
    blue_first = numbers[..., [2, 1, 0, 3]]
    no_mask = index_rows(mask * 0, 1)
    data = ico(info(32, 64, 32) + rows(blue_first) + no_mask, 32, 32, 32)
    yield Case("ICO", "RGB with alpha", 32, "bitmap", data, rgb(numbers), 1)
    zero = blue_first * np.array([1, 1, 1, 0], np.uint8)
    data = ico(info(32, 64, 32) + rows(zero) + no_mask, 32, 32, 32)
    yield Case("ICO", "RGB with alpha", 32, "zero everywhere", data, numbers[..., :3])
    data = ico(info(32, 64, 24) + rows(blue_first[..., :3]) + index_rows(mask, 1), 32, 32, 24)
    yield Case("ICO", "RGB with a mask", 24, "bitmap", data, where_transparent(numbers[..., :3], mask[..., 0] == 1))
    for bits in (1, 4, 8):
        colors, indices = samples(8, 3, 1, 1 << bits)[0], samples(bits, 1, 32, 32)
        bitmap = info(32, 64, bits) + quads(colors) + index_rows(indices, bits) + index_rows(mask, 1)
        truth = where_transparent(colors[indices[..., 0]], mask[..., 0] == 1)
        yield Case("ICO", "palette with a mask", bits, "bitmap", ico(bitmap, 32, 32, bits), truth)
    yield Case("ICO", "RGB with alpha", 32, "PNG", ico(png(numbers, 8, RGB_ALPHA), 32, 32, 32), rgb(numbers), 1)
    half = ico(png(numbers, 8, RGB_ALPHA, share=0.5), 32, 32, 32)
    yield Case("ICO", "RGB with alpha", 32, "PNG, 50% of its rows", half, error="TruncatedImage")


def tga(
    kind: int, pixels: bytes, shape: tuple[int, ...], depth: int, flags: int, table: bytes = b"", bits: int = 0
) -> bytes:
    entries = len(table) * 8 // bits if bits else 0
    return struct.pack(
        "<BBBHHBHHHHBB", 0, bool(table), kind, 0, entries, bits, 0, 0, shape[1], shape[0], depth, flags
    ) + table + pixels  # fmt: skip


def _targas() -> Iterator[Case]:
    numbers, down = samples(8, 4), 0x20
    colors, shape = numbers[..., :3], numbers.shape
    blue_first = numbers[..., [2, 1, 0, 3]]
    plain = blue_first[..., :3].tobytes()
    yield Case("TGA", "RGB", 24, "plain", tga(2, plain, shape, 24, down), colors)
    yield Case("TGA", "RGB", 24, "bottom up", tga(2, blue_first[::-1, :, :3].tobytes(), shape, 24, 0), colors)
    yield Case("TGA", "RGB", 24, "right to left", tga(2, blue_first[:, ::-1, :3].tobytes(), shape, 24, 0x30), colors)
    yield Case("TGA", "RGB", 24, "run lengths", tga(10, _packets(blue_first[..., :3]), shape, 24, down), colors)
    alpha = tga(2, blue_first.tobytes(), shape, 32, down | 8)
    yield Case("TGA", "RGB with alpha", 32, "plain", alpha, rgb(numbers), 1)
    yield Case("TGA", "RGB with alpha", 32, "none by its header", tga(2, blue_first.tobytes(), shape, 32, down), colors)
    zero = (blue_first * np.array([1, 1, 1, 0], np.uint8)).tobytes()
    yield Case("TGA", "RGB with alpha", 32, "zero everywhere", tga(2, zero, shape, 32, down | 8), colors)
    for attributes, layout, truth in ((2, "undefined by its end", colors), (3, "useful by its end", rgb(numbers))):
        extension = bytes(494) + bytes([attributes])
        end = extension + struct.pack("<II", len(alpha), 0) + b"TRUEVISION-XFILE.\0"
        yield Case("TGA", "RGB with alpha", 32, layout, alpha + end, truth, 1)
    five = [samples(5)[..., 0].astype(int), samples(5)[::-1, :, 0].astype(int), samples(5)[:, ::-1, 0].astype(int)]
    truth = truth_of_five = np.stack(five, axis=-1) * 255 / 31
    values = (five[0] << 10 | five[1] << 5 | five[2]).astype("<u2")
    yield Case("TGA", "RGB", 16, "plain", tga(2, values.tobytes(), shape, 16, down), truth, 1)
    yield Case("TGA", "grey", 8, "plain", tga(3, samples(8).tobytes(), shape, 8, down), rgb(samples(8)))
    pair = samples(8, 2)
    yield Case("TGA", "grey with alpha", 16, "plain", tga(3, pair.tobytes(), shape, 16, down | 8), rgb(pair), 1)
    yield Case("TGA", "grey", 16, "no alpha by its header", tga(3, pair.tobytes(), shape, 16, down))
    data = tga(2, values.tobytes(), shape, 15, down)
    yield Case("TGA", "RGB", 15, "plain", data, truth_of_five, 1)
    table = samples(8, 3, 1, 256)[0]
    unused = tga(2, plain, shape, 24, down, table[:, ::-1].tobytes(), 24)
    yield Case("TGA", "RGB", 24, "a palette that is not used", unused, colors)
    yield Case("TGA", "RGB", 24, "interleaved rows", tga(2, plain, shape, 24, down | 0x40))
    wide = samples(8).astype("<u2")
    yield Case("TGA", "palette", 16, "plain", tga(1, wide.tobytes(), shape, 16, down, table[:, ::-1].tobytes(), 24))
    four = samples(8, 4, 1, 256)[0].tobytes()
    yield Case("TGA", "palette of 32 bits", 8, "plain", tga(1, samples(8).tobytes(), shape, 8, down, four, 32))
    for bits in (15, 16):
        short = bytearray(tga(1, samples(8).tobytes(), shape, 8, down, _five_bits(table).tobytes(), 16))
        short[7] = bits
        truth = (table >> 3).astype(float)[samples(8)[..., 0]] * 255 / 31
        yield Case("TGA", f"palette of {bits} bits", 8, "plain", bytes(short), truth, 1)
    data = tga(1, samples(8).tobytes(), shape, 8, down, table[:, ::-1].tobytes(), 24)
    yield Case("TGA", "palette", 8, "plain", data, table[samples(8)[..., 0]])


def _five_bits(colors: np.ndarray) -> np.ndarray:
    upper = colors.astype(int) >> 3
    packed_colors: np.ndarray = (upper[:, 0] << 10 | upper[:, 1] << 5 | upper[:, 2]).astype("<u2")
    return packed_colors


def _packets(pixels: np.ndarray) -> bytes:
    """Each row as raw packets of up to 16 pixels, and the first pixel of it as a run of one."""
    stream = b""
    for row in pixels:
        stream += b"\x80" + row[0].tobytes()
        for at in range(1, len(row), 16):
            part = row[at : at + 16]
            stream += bytes([len(part) - 1]) + part.tobytes()
    return stream
