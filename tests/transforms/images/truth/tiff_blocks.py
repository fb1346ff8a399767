"""TIFFs by tiff.py's maker: planes of all compressions, blocks that are missing, and what is packed inside."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import imagecodecs
import numpy as np

from tests.transforms.images.truth.jpeg import written as jpeg
from tests.transforms.images.truth.pictures import Case, lab, on_white, packed_pixels, rgb, samples, smooth
from tests.transforms.images.truth.tiff import BLACK_IS_ZERO, CMYK, PALETTE, RGB, page, simple, tiff, written

CIELAB, SEPARATE = 8, 2
PACKERS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "plain": (1, bytes),
    "LZW": (5, imagecodecs.lzw_encode),
    "Deflate": (8, zlib.compress),
    "PackBits": (32773, imagecodecs.packbits_encode),
}


def cases() -> Iterator[Case]:
    for name, (number, pack) in PACKERS.items():
        yield from _planes(name, number, pack)
        yield from _broken(name, number, pack)
    yield from _jpegs()
    yield from _not_unpacked()


def in_planes(
    numbers: np.ndarray, depth: int, photometric: int, number: int, pack: Callable[[bytes], bytes], **more: Any
) -> bytes:
    planes = [pack(plane.astype(f"<u{depth // 8}").tobytes()) for plane in np.moveaxis(numbers, -1, 0)]
    tags = page(numbers, depth, photometric, t284=("H", [SEPARATE]), t259=("H", [number]), **more)
    return tiff([(tags, planes)])


def _planes(name: str, number: int, pack: Callable[[bytes], bytes]) -> Iterator[Case]:
    """Each kind that a plane more may make, and what that plane is."""
    layout = f"planes, {name}"
    for depth in (8, 16):
        for kind, photometric, count in (("grey", BLACK_IS_ZERO, 1), ("RGB", RGB, 3)):
            numbers = samples(depth, count + 1)
            for told, extra in (("told", {"t338": ("H", [2])}), ("not told", {})):
                data = in_planes(numbers, depth, photometric, number, pack, **extra)
                yield Case("TIFF", f"{kind} with alpha", depth, f"{layout}, {told}", data, rgb(numbers, depth), 2)
            data = in_planes(numbers, depth, photometric, number, pack, t338=("H", [0]))
            truth = rgb(numbers[..., :count], depth)
            yield Case("TIFF", f"{kind} with a further sample", depth, layout, data, truth, 1)
        five = samples(depth, 5)
        data = in_planes(five, depth, RGB, number, pack, t338=("H", [2, 0]))
        yield Case("TIFF", "RGB with alpha and a further sample", depth, layout, data)
        data = in_planes(five, depth, CMYK, number, pack, t338=("H", [2]))
        yield Case("TIFF", "CMYK with alpha", depth, layout, data)
    table, pair = samples(8, 3, 1, 256)[0], samples(8, 2)
    colors = {"t320": ("H", (table.T.astype(int) * 257).ravel().tolist())}
    yield Case(
        "TIFF", "palette with alpha", 8, layout, in_planes(pair, 8, PALETTE, number, pack, t338=("H", [2]), **colors)
    )
    beside = tiff([(page(pair, 8, PALETTE, t259=("H", [number]), t338=("H", [2]), **colors), [pack(pair.tobytes())])])
    truth = on_white(table[pair[..., 0]], pair[..., 1:])
    yield Case("TIFF", "palette with alpha", 8, name, beside, truth, 1)
    told = samples(8, 3) // 8 + 112  # well within sRGB
    stored = told ^ np.array([0, 0x80, 0x80], np.uint8)  # a and b are signed in TIFF
    yield Case("TIFF", "CIELab", 8, layout, in_planes(stored, 8, CIELAB, number, pack), lab(told), 3)
    data = tiff([(page(stored, 8, CIELAB, t259=("H", [number])), [pack(stored.tobytes())])])
    yield Case("TIFF", "CIELab", 8, name, data, lab(told), 3)


def _broken(name: str, number: int, pack: Callable[[bytes], bytes]) -> Iterator[Case]:
    """Three strips of eight rows: one is missing, was never written, or is shorter than its rows."""
    for kind, depth, numbers in (("RGB", 8, samples(8, 3)), ("RGB", 12, samples(12, 3))):
        rows = packed_pixels(numbers, depth)
        if name == "PackBits":  # which packs each row by itself
            strips = [b"".join(map(pack, rows[top : top + 8])) for top in (0, 8, 16)]
        else:
            strips = [pack(b"".join(rows[top : top + 8])) for top in (0, 8, 16)]
        tags = page(numbers, depth, RGB, t259=("H", [number]), t278=("I", [8]))

        def case(layout: str, blocks: Sequence[bytes], tags: Any = tags, kind: str = kind, depth: int = depth) -> Case:
            data = tiff([(tags, blocks)])
            return Case("TIFF", kind, depth, f"{name}, {layout}", data, error="TruncatedImage")

        whole = tiff([(tags, strips)])
        yield Case("TIFF", kind, depth, f"{name} in strips", whole, rgb(numbers, depth))
        yield case("a strip is missing", strips[:2])
        if number == 1:
            yield case("a strip is short", [strips[0], strips[1][:100], strips[2]])
            yield case("its last strip is short", [*strips[:2], strips[2][:100]])
        told = struct.pack("<3I", *(whole.index(strip) for strip in strips))
        sparse = whole.replace(told, told[:8] + bytes(4))
        yield Case("TIFF", kind, depth, f"{name}, a strip was never written", sparse, error="TruncatedImage")
    numbers = samples(8, 3, 32, 32)
    tiles = [pack(np.ascontiguousarray(numbers[y : y + 16, x : x + 16]).tobytes()) for y in (0, 16) for x in (0, 16)]
    tags = page(numbers, 8, RGB, t259=("H", [number]), t322=("I", [16]), t323=("I", [16]))
    data = tiff([(tags, tiles[:3])], tiled=True)
    yield Case("TIFF", "RGB", 8, f"{name}, a tile is missing", data, error="TruncatedImage")


def _jpegs() -> Iterator[Case]:
    noise = samples(8, 3, 96, 96)
    stream = jpeg(noise, "RGB", keep_rgb=True)
    tags = page(noise, 8, RGB, t259=("H", [7]))
    for share in (0.5, 0.9):
        data = tiff([(tags, [stream[: int(len(stream) * share)]])])
        yield Case("TIFF", "RGB", 8, f"JPEG, {share:.0%} of it", data, error="TruncatedImage")
    for width in (36, 37):
        deep = smooth(1, 24, width, 4095)
        for layout, options in {"JPEG": {}, "JPEG in tiles": {"tile": (16, 16)}}.items():
            data = written(deep[..., 0], compression="jpeg", compressionargs={"bitspersample": 12}, **options)
            read = width == 36 or options
            yield Case("TIFF", "grey", 12, f"{layout}, {width} wide", data, rgb(deep, 12) if read else None, 6)


def _not_unpacked() -> Iterator[Case]:
    numbers = samples(8, 3)
    inside = {
        33003: ("JPEG 2000", imagecodecs.jpeg2k_encode(numbers, codecformat="j2k")),
        34712: ("JPEG 2000", imagecodecs.jpeg2k_encode(numbers)),
        34933: ("PNG", imagecodecs.png_encode(numbers)),
        34934: ("JPEG XR", imagecodecs.jpegxr_encode(numbers)),
        50002: ("JPEG XL", imagecodecs.jpegxl_encode(numbers)),
        65000: ("a compression of its own", bytes(9)),
    }
    for number, (name, data) in inside.items():
        yield Case(
            "TIFF", f"{name} inside", 8, str(number), tiff([(page(numbers, 8, RGB, t259=("H", [number])), [data])])
        )
    for depth in (8, 16):
        of_no_kind = simple(samples(depth, 3), depth, RGB, t339=("H", [4, 4, 4]))
        yield Case("TIFF", "RGB of an undefined kind", depth, "plain", of_no_kind)
    for channels, photometric in ((4, RGB), (2, BLACK_IS_ZERO)):
        numbers = samples(8, channels)
        data = in_planes(numbers, 8, photometric, 1, bytes, t338=("H", [1]))
        kind = "RGB" if photometric == RGB else "grey"
        yield Case("TIFF", f"{kind} with premultiplied alpha", 8, "planes", data)
