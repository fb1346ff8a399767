"""PNG by zlib and struct: https://www.w3.org/TR/png-3/"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from tests.transforms.images.truth.pictures import Case, packed_pixels, rgb, samples, where_transparent

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
KINDS = {GREY: ("grey", 1), RGB: ("RGB", 3), GREY_ALPHA: ("grey with alpha", 2), RGB_ALPHA: ("RGB with alpha", 4)}
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), GREY_ALPHA: (8, 16), RGB_ALPHA: (8, 16)}
# Starts and steps of the seven passes, in rows and columns.
ADAM7 = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))


def chunk(kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    """A chunk, with its right checksum or the one that is given."""
    right = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", right)


def png(
    numbers: np.ndarray, depth: int, color: int, before: bytes = b"", after: bytes = b"", interlaced: bool = False,
    share: float = 1.0,
) -> bytes:  # fmt: skip
    """A PNG of samples [height, width, channels]; `before` and `after` are chunks around the pixels.

    A `share` of less than 1 leaves the last rows out, in a stream that is sound.
    """
    height, width = numbers.shape[:2]
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced)
    passes = [numbers[a::b, c::d] for a, b, c, d in ADAM7] if interlaced else [numbers]
    rows = [b"\0" + row for part in passes if part.size for row in packed_pixels(part, depth)]
    packed = zlib.compress(b"".join(rows[: round(len(rows) * share)]))
    chunks = [chunk(b"IHDR", head), before, chunk(b"IDAT", packed), after, chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def key(values: Sequence[int]) -> bytes:
    return chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))


def palette(colors: np.ndarray, alpha: np.ndarray | None = None) -> bytes:
    chunks = chunk(b"PLTE", colors.astype(np.uint8).tobytes())
    return chunks if alpha is None else chunks + chunk(b"tRNS", alpha.astype(np.uint8).tobytes())


def cases() -> Iterator[Case]:
    for color, depths in DEPTHS.items():
        kind, channels = KINDS[color]
        for depth in depths:
            numbers = samples(depth, channels)
            near = (color in (GREY_ALPHA, RGB_ALPHA)) + (depth == 16 and color != GREY)
            for interlaced in (False, True):
                layout = "interlaced" if interlaced else "plain"
                data = png(numbers, depth, color, interlaced=interlaced)
                yield Case("PNG", kind, depth, layout, data, rgb(numbers, depth), near)
            if color in (GREY, RGB):
                yield from _keyed(kind, depth, color, numbers)
    yield from _palettes()
    yield from _transparency_of_other_lengths()
    yield from _ending_early()
    transparent = samples(8, 4)
    transparent[..., 3] = 0
    yield Case("PNG", "RGB with alpha", 8, "all transparent", png(transparent, 8, RGB_ALPHA), rgb(transparent))
    apple = png(samples(8, 3), 8, RGB).replace(b"\r\n\x1a\n", b"\r\n\x1a\n" + chunk(b"CgBI", b"P\0 \2"), 1)
    yield Case("PNG", "RGB", 8, "as Apple packs it for iOS", apple)


def _keyed(kind: str, depth: int, color: int, numbers: np.ndarray) -> Iterator[Case]:
    """The color of a pixel in the middle is transparent; of its upper bytes alone others have the same."""
    numbers = numbers.copy()
    value = numbers[12, 18].copy()
    numbers[:, :5] = value
    if depth == 16:
        numbers[:, 5:9] = value ^ 1  # equal but for the last bit
    colors = rgb(numbers, depth)
    truth = where_transparent(colors, (numbers == value).all(axis=-1))
    near = int(depth == 16 and color == RGB)
    yield Case("PNG", kind, depth, "a transparent color", png(numbers, depth, color, key(value)), truth, near)


def _palettes() -> Iterator[Case]:
    for depth in (1, 2, 4, 8):
        colors = samples(8, 3, 1, 1 << depth)[0]
        alpha = samples(8, 1, 1, 1 << depth)[0]
        numbers = samples(depth)
        plain = png(numbers, depth, PALETTE, palette(colors))
        yield Case("PNG", "palette", depth, "plain", plain, colors[numbers[..., 0]])
        mixed = png(numbers, depth, PALETTE, palette(colors, alpha))
        entries = np.concatenate([colors, alpha], axis=-1)
        yield Case("PNG", "palette", depth, "transparent entries", mixed, rgb(entries[numbers[..., 0]]), 1)


def _transparency_of_other_lengths() -> Iterator[Case]:
    """Which is none, as it is for browsers."""
    colors, numbers = samples(8, 3, 1, 16)[0], samples(4)
    for length in (0, 17, 300):
        chunks = palette(colors, np.zeros(length))
        data = png(numbers, 4, PALETTE, chunks)
        yield Case("PNG", "palette", 4, f"{length} transparent entries of 16", data, colors[numbers[..., 0]])
    for color, kind, right in ((GREY, "grey", 2), (RGB, "RGB", 6)):
        numbers = samples(8, right // 2)
        for length in (0, right - 1, right + 1, right + 2):
            data = png(numbers, 8, color, chunk(b"tRNS", bytes(length)))
            yield Case("PNG", kind, 8, f"a transparent color of {length} bytes", data, rgb(numbers))


def _ending_early() -> Iterator[Case]:
    """Streams that end soundly, before all rows are there; and pictures that decoders are given to write over."""
    table = palette(samples(8, 3, 1, 256)[0])
    for kind, depth, color, channels, before in (
        ("grey", 1, GREY, 1, b""), ("grey", 8, GREY, 1, b""), ("grey", 16, GREY, 1, b""), ("RGB", 8, RGB, 3, b""),
        ("RGB", 16, RGB, 3, b""), ("palette", 8, PALETTE, 1, table), ("RGB with alpha", 8, RGB_ALPHA, 4, b""),
    ):  # fmt: skip
        numbers = samples(depth, channels)
        for interlaced in (False, True):
            for share in (0.5, 0.97):
                data = png(numbers, depth, color, before, interlaced=interlaced, share=share)
                layout = f"{'interlaced, ' * interlaced}{share:.0%} of its rows"
                yield Case("PNG", kind, depth, layout, data, error="TruncatedImage")
    for value in ((165, 90, 165), (90, 165, 90), (0, 0, 0)):
        flat = np.full((24, 37, 3), value, np.uint8)
        yield Case("PNG", "RGB", 8, f"all of it {value}", png(flat, 8, RGB), flat)
        half = png(flat, 8, RGB, share=0.5)
        yield Case("PNG", "RGB", 8, f"all of it {value}, 50% of its rows", half, error="TruncatedImage")
