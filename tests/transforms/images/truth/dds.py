"""DDS by struct: https://learn.microsoft.com/windows/win32/direct3ddds/dds-header"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import imagecodecs
import numpy as np

from tests.transforms.images.truth.pictures import Case, rgb, samples

RGB_FLAG, ALPHA_FLAG, CODE_FLAG, LUMINANCE_FLAG = 0x40, 0x41, 0x4, 0x20000
NO_MASKS = (0, 0, 0, 0)


def dds(
    pixels: bytes, shape: tuple[int, ...], flags: int, bits: int, masks: tuple[int, ...], code: bytes = b""
) -> bytes:
    head = b"DDS " + struct.pack("<7I44x", 124, 0x1007, shape[0], shape[1], 0, 0, 0)
    form = struct.pack("<II4sI4I", 32, flags, code, bits, *masks)
    return head + form + struct.pack("<5I", 0x1000, 0, 0, 0, 0) + pixels


def dx10(data: bytes, shape: tuple[int, ...], format: int, alpha_mode: int = 0) -> bytes:
    return dds(struct.pack("<5I", format, 3, 0, 1, alpha_mode) + data, shape, CODE_FLAG, 0, NO_MASKS, b"DX10")


def cases() -> Iterator[Case]:
    yield from _plain()
    yield from _blocks()
    yield from _refused()


def _plain() -> Iterator[Case]:
    numbers = samples(8, 4)
    masks = (0xFF, 0xFF00, 0xFF0000, 0xFF000000)
    plain = dds(numbers[..., :3].tobytes(), numbers.shape, 0x40, 24, (*masks[:3], 0))
    yield Case("DDS", "RGB", 24, "plain", plain, numbers[..., :3])
    yield Case(
        "DDS", "RGB", 32, "plain", dds(numbers.tobytes(), numbers.shape, 0x40, 32, (*masks[:3], 0)), numbers[..., :3]
    )
    alpha = dds(numbers.tobytes(), numbers.shape, 0x41, 32, masks)
    yield Case("DDS", "RGB with alpha", 32, "plain", alpha, rgb(numbers), 1)
    zero = dds((numbers * np.array([1, 1, 1, 0], np.uint8)).tobytes(), numbers.shape, 0x41, 32, masks)
    yield Case("DDS", "RGB with alpha", 32, "zero everywhere", zero, numbers[..., :3])
    grey = samples(8)
    yield Case("DDS", "grey", 8, "plain", dds(grey.tobytes(), grey.shape, 0x20000, 8, (255, 0, 0, 0)), rgb(grey))
    flat = np.repeat(np.repeat(samples(8, 3, 4, 6) // 8 * 8, 4, axis=0), 4, axis=1)  # blocks of one color
    blocks = flat[::4, ::4].astype(int)
    codes = (blocks[..., 0] >> 3 << 11 | blocks[..., 1] >> 2 << 5 | blocks[..., 2] >> 3).astype("<u2")
    data = b"".join(struct.pack("<HHI", code, code, 0) for code in codes.ravel())
    yield Case("DDS", "RGB", 8, "DXT1", dds(data, flat.shape, 4, 0, (0, 0, 0, 0), b"DXT1"), flat, 8)


def _blocks() -> Iterator[Case]:
    """Blocks of random bytes, which are pictures as well; what they are, imagecodecs says."""
    shape = (24, 40)
    random = np.random.default_rng(1).integers(0, 256, 6 * 10 * 16).astype(np.uint8).tobytes()
    for kind, code, number, size, channels in (
        ("RGB with alpha", b"DXT1", 1, 8, 4), ("RGB with alpha", b"DXT3", 2, 16, 4),
        ("RGB with alpha", b"DXT5", 3, 16, 4), ("grey", b"ATI1", 4, 8, 1), ("red and green", b"ATI2", 5, 16, 2),
    ):  # fmt: skip
        data = random[: 6 * 10 * size]
        numbers = imagecodecs.bcn_decode(data, number, shape=shape if channels == 1 else (*shape, channels)).reshape(
            *shape, channels
        )
        truth = np.pad(numbers, ((0, 0), (0, 0), (0, 1))) if channels == 2 else rgb(numbers)
        yield Case("DDS", kind, 8, code.decode(), dds(data, shape, CODE_FLAG, 0, NO_MASKS, code), truth, 2)
    for layout, format in (("BC7", 98), ("BC7 in sRGB", 99)):
        numbers = imagecodecs.bcn_decode(random, 7, shape=(*shape, 4))
        yield Case("DDS", "RGB with alpha", 8, layout, dx10(random, shape, format), rgb(numbers), 2)


def _refused() -> Iterator[Case]:
    random = np.random.default_rng(1).integers(0, 256, 6 * 10 * 16).astype(np.uint8).tobytes()
    for kind, format in (("signed grey", 81), ("signed red and green", 84), ("floating-point RGB", 95)):
        yield Case("DDS", kind, 8 if format < 90 else 16, "DX10", dx10(random, (24, 40), format))
    yield Case("DDS", "signed floating-point RGB", 16, "DX10", dx10(random, (24, 40), 96))
    signed = dds(random, (24, 40), CODE_FLAG, 0, NO_MASKS, b"BC5S")
    yield Case("DDS", "signed red and green", 8, "BC5S", signed)
    yield Case("DDS", "RGB with premultiplied alpha", 8, "DX10", dx10(random, (24, 40), 98, alpha_mode=2))
    pair = samples(4, 2)
    both = (pair[..., 0] | pair[..., 1] << 4).tobytes()
    data = dds(both, pair.shape, LUMINANCE_FLAG | 1, 8, (15, 0, 0, 240))
    yield Case(
        "DDS", "grey with alpha", 8, "4 bits each", dds(data, pair.shape, LUMINANCE_FLAG | 1, 8, (15, 0, 0, 240))
    )
    pair = samples(8, 2)
    data = dds(pair.tobytes(), pair.shape, LUMINANCE_FLAG | 1, 16, (255, 0, 0, 0xFF00))
    yield Case("DDS", "grey with alpha", 16, "plain", data, rgb(pair), 1)
    data = dds(pair[..., ::-1].tobytes(), pair.shape, LUMINANCE_FLAG | 1, 16, (0xFF00, 0, 0, 255))
    yield Case("DDS", "grey with alpha", 16, "alpha first", data)
    odd = dds(pair[..., 0].tobytes(), pair.shape, LUMINANCE_FLAG, 8, (0xFF000000, 0xFF000000, 0xFF000000, 0))
    yield Case("DDS", "grey", 8, "masks beyond its bits", odd, rgb(pair[..., :1]))
