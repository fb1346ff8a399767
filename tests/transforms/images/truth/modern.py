"""GIF, WebP, AVIF, HEIF, JPEG XL and ICNS: by imagecodecs and pillow-heif, and by struct what stands around."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import imagecodecs
import numpy as np
import pillow_heif
from PIL import Image

from tests.transforms.images.truth.pictures import Case, rgb, samples, smooth
from tests.transforms.images.truth.png import RGB_ALPHA, png


def cases() -> Iterator[Case]:
    yield from _gif()
    yield from _webp()
    yield from _avif()
    yield from _heif()
    yield from _jpegxl()
    numbers = samples(8, 4, 128, 128)
    picture = png(numbers, 8, RGB_ALPHA)
    entry = b"ic07" + struct.pack(">I", 8 + len(picture)) + picture
    yield Case("ICNS", "RGB with alpha", 8, "PNG", b"icns" + struct.pack(">I", 8 + len(entry)) + entry, rgb(numbers), 1)
    half = png(numbers, 8, RGB_ALPHA, share=0.5)
    entry = b"ic07" + struct.pack(">I", 8 + len(half)) + half
    data = b"icns" + struct.pack(">I", 8 + len(entry)) + entry
    yield Case("ICNS", "RGB with alpha", 8, "PNG, 50% of its rows", data, error="TruncatedImage")


def gif(
    numbers: np.ndarray, table: np.ndarray, screen: tuple[int, int], at: tuple[int, int] = (0, 0),
    transparent: int | None = None, interlaced: bool = False, before: bytes = b"", share: float = 1.0,
) -> bytes:  # fmt: skip
    """A GIF of one frame on a screen of (width, height); `before` are extensions that come first.

    A `share` of less than 1 leaves the last pixels out, in a stream that is sound.
    """
    height, width = numbers.shape[:2]
    head = b"GIF89a" + struct.pack("<HHBBB", *screen, 0xF7, 0, 0) + table.tobytes() + before
    if transparent is not None:
        head += b"\x21\xf9\x04" + struct.pack("<BHB", 1, 0, transparent) + b"\0"
    order = [numbers[0::8], numbers[4::8], numbers[2::4], numbers[1::2]] if interlaced else [numbers]
    frame = b"\x2c" + struct.pack("<HHHHB", *at, width, height, 0x40 * interlaced)
    values = np.concatenate(order).ravel()
    return head + frame + lzw(values[: round(len(values) * share)]) + b"\x3b"


def lzw(values: np.ndarray) -> bytes:
    """Eight bits a value in codes of nine bits; the table is cleared before they would grow."""
    codes: list[int] = []
    for i, value in enumerate(values):
        codes += [256, int(value)] if i % 254 == 0 else [int(value)]
    stream = sum(code << 9 * i for i, code in enumerate([*codes, 257]))
    data = stream.to_bytes((9 * (len(codes) + 1) + 7) // 8, "little")
    pieces = [data[i : i + 255] for i in range(0, len(data), 255)]
    return b"\x08" + b"".join(bytes([len(piece)]) + piece for piece in pieces) + b"\0"


def _gif() -> Iterator[Case]:
    numbers, table = samples(8), samples(8, 3, 1, 256)[0]
    screen = (numbers.shape[1], numbers.shape[0])
    colors = table[numbers[..., 0]]
    yield Case("GIF", "palette", 8, "plain", gif(numbers, table, screen), colors)
    yield Case("GIF", "palette", 8, "interlaced", gif(numbers, table, screen, interlaced=True), colors)
    hole = int(numbers[3, 4, 0])
    holed = np.where(numbers == hole, np.uint8(255), colors)
    yield Case("GIF", "palette", 8, "a transparent entry", gif(numbers, table, screen, transparent=hole), holed)
    comment = b"\x21\xfe" + b"\x04text" * 9 + b"\0"
    yield Case("GIF", "palette", 8, "comments before it", gif(numbers, table, screen, before=comment), colors)
    for transparent in (None, hole):
        around = np.full((40, 50, 3), 255, np.uint8)
        around[6 : 6 + screen[1], 9 : 9 + screen[0]] = colors if transparent is None else holed
        data = gif(numbers, table, (50, 40), (9, 6), transparent)
        layout = "a frame smaller than its screen" + ("" if transparent is None else ", transparent")
        yield Case("GIF", "palette", 8, layout, data, around)
    for interlaced in (False, True):
        for name, entry in (("", None), (", transparent", hole)):
            for share in (0.5, 0.97):
                data = gif(numbers, table, (50, 40), (9, 6), entry, interlaced, share=share)
                layout = f"{'interlaced, ' * interlaced}{share:.0%} of its pixels{name}"
                yield Case("GIF", "palette", 8, layout, data, error="TruncatedImage")


def _webp() -> Iterator[Case]:
    for kind, channels in (("RGB", 3), ("RGB with alpha", 4)):
        numbers = samples(8, channels)
        yield Case(
            "WebP", kind, 8, "lossless", imagecodecs.webp_encode(numbers, lossless=True), rgb(numbers), channels - 3
        )
        lossy = smooth(channels)
        yield Case("WebP", kind, 8, "lossy", imagecodecs.webp_encode(lossy, level=95), rgb(lossy), 12)
    numbers = samples(8, 3)
    still = imagecodecs.webp_encode(numbers, lossless=True)
    picture = still[12:]
    place = b"".join(struct.pack("<I", value)[:3] for value in (5, 3, numbers.shape[1] - 1, numbers.shape[0] - 1, 100))
    content = place + b"\2" + picture
    frame = b"ANMF" + struct.pack("<I", len(content)) + content
    for alpha in (False, True):
        canvas = (
            b"VP8X" + struct.pack("<II", 10, 2 | 0x10 * alpha) + b"".join(struct.pack("<I", n)[:3] for n in (59, 39))
        )
        body = canvas + b"ANIM" + struct.pack("<IIH", 6, 0, 0) + frame * 2
        data = b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
        around = np.full((40, 60, 3), 255, np.uint8)
        around[6 : 6 + numbers.shape[0], 10 : 10 + numbers.shape[1]] = numbers
        layout = "a frame smaller than its canvas" + (", alpha told" if alpha else "")
        yield Case("WebP", "animated RGB", 8, layout, data, around)


def _avif() -> Iterator[Case]:
    for depth in (8, 10, 12):
        for kind, channels in (("grey", 1), ("RGB", 3), ("RGB with alpha", 4)):
            numbers = smooth(channels, 64, 96, (1 << depth) - 1)
            contiguous = numbers if channels > 1 else numbers[..., 0]
            data = imagecodecs.avif_encode(contiguous, level=97, bitspersample=depth, numthreads=1, speed=10)
            yield Case("AVIF", kind, depth, "plain", data, rgb(numbers, depth), 6)


def _heif() -> Iterator[Case]:
    for kind, mode, channels in (("grey", "L", 1), ("RGB", "RGB", 3), ("RGB with alpha", "RGBA", 4)):
        numbers = smooth(channels, 64, 96)
        file = io.BytesIO()
        picture = pillow_heif.from_bytes(mode, (96, 64), numbers.tobytes())
        picture.save(file, quality=95, chroma=444)
        yield Case("HEIF", kind, 8, "HEVC", file.getvalue(), rgb(numbers), 8)
    deep = smooth(3, 64, 96, 65535)
    file = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (96, 64), deep.tobytes()).save(file, quality=95, chroma=444)
    yield Case("HEIF", "RGB", 10, "HEVC", file.getvalue(), rgb(deep, 16), 8)
    grey = smooth(1, 64, 96, 65535)
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(grey[..., 0])).save(file, quality=95)
    yield Case("HEIF", "grey", 10, "HEVC", file.getvalue(), rgb(grey, 16), 8)


def _jpegxl() -> Iterator[Case]:
    for depth in (8, 10, 12, 16):
        for kind, channels in (("grey", 1), ("grey with alpha", 2), ("RGB", 3), ("RGB with alpha", 4)):
            numbers = samples(depth, channels)
            contiguous = numbers if channels > 1 else numbers[..., 0]
            for boxed in (False, True):
                data = imagecodecs.jpegxl_encode(contiguous, lossless=True, bitspersample=depth, usecontainer=boxed)
                layout = "in boxes" if boxed else "codestream"
                yield Case("JPEG XL", kind, depth, layout, data, rgb(numbers, depth), channels % 2 == 0)
    colors = smooth(3)
    yield Case("JPEG XL", "RGB", 8, "lossy", imagecodecs.jpegxl_encode(colors, distance=0.1), colors, 12)
    frames = np.stack([samples(8, 3), samples(8, 3)[::-1]])
    yield Case("JPEG XL", "animated RGB", 8, "codestream", imagecodecs.jpegxl_encode(frames, lossless=True), frames[0])
    floats = imagecodecs.jpegxl_encode(samples(8, 3).astype(np.float32) / 255, lossless=True)
    yield Case("JPEG XL", "floating-point RGB", 32, "codestream", floats)
