"""Small files that would cost much more than their pixels: refused from their headers, or read without what costs.

No times are asserted: what is not bounded takes hours, or all memory, and the suite would not end.
"""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from pipeline.demo.corpus import encode
from tests.conftest import photo
from tests.transforms.images.truth import jpeg2000
from tests.transforms.images.truth.modern import gif
from tests.transforms.images.truth.png import RGB, chunk, png
from tests.transforms.images.truth.psd import RESOURCES, planes_of, psd
from tests.transforms.images.truth.tiff import page, simple, tiff
from transforms.images.decoding import DecodedImage, ImageError, decode_image

LIMIT = 10**8
PIXELS = np.asarray(photo(30, 20))
MIB = 1 << 20


def decode(data: bytes) -> DecodedImage:
    return decode_image(data, (20, 30), "squash", LIMIT)


def segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def directory(entries: Sequence[tuple[int, int, int, int]], size: int) -> bytes:
    """A little-endian TIFF of tags (number, type, count, offset), filled up to a size."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return (b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(4)).ljust(size, b"\0")


def claims(count: int, size: int) -> bytes:
    """Tags that each claim nearly all bytes there are."""
    return directory([(1000 + i, 7, size - 100, 50) for i in range(count)], size)


def many_scans(scans: int) -> bytes:
    """A progressive JPEG of 36 megapixels, whose last scan is there again and again."""
    whole = encode(Image.new("L", (6000, 6000), 128), "JPEG", progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * scans + whole[-2:]


def many_components_scans() -> bytes:
    """A baseline JPEG whose components are scanned one by one, and the first one 5,000 times."""
    frame = segment(0xC0, struct.pack(">BHHB", 8, 6000, 6000, 3) + bytes((1, 17, 0, 2, 17, 0, 3, 17, 0)))
    return b"\xff\xd8" + frame + (segment(0xDA, bytes((1, 1, 0, 0, 63, 0))) + b"\0") * 5000 + b"\xff\xd9"


def tiled() -> bytes:
    """A TIFF of 10 x 10 pixels in one tile of 60,000 x 60,000."""
    tags = dict(page(np.zeros((10, 10, 3), np.uint8), 8, 2)) | {
        259: ("H", [8]),
        322: ("I", [60000]),
        323: ("I", [60000]),
    }
    return tiff([(tags, [zlib.compress(bytes(1000))])], tiled=True)


def strips() -> bytes:
    """A TIFF of 20,000 strips, each of which is the whole file of 1 MiB."""
    count, start = 20_000, 200_000
    fields = struct.pack("<I", start) * count + struct.pack("<I", MIB) * count
    tags = [(256, 4, 1, 10), (257, 4, 1, count), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (273, 4, count, 200)]
    tags += [(277, 3, 1, 1), (278, 4, 1, 1), (279, 4, count, 200 + 4 * count)]
    return directory(tags, 200) + fields + bytes(start - 200 - len(fields)) + bytes(MIB)


def jpeg_with(content: bytes) -> bytes:
    whole = encode(photo(30, 20), "JPEG")
    return whole[:2] + content + whole[2:]


def layered(tile: int, layers: int, block: int = 4) -> bytes:
    """A JPEG 2000 whose header claims 8,000 x 8,000 pixels in tiles, layers, and code blocks of 2 to the `block`."""
    size = struct.pack(">HHIIIIIIIIH", 47, 0, 8000, 8000, 0, 0, tile, tile, 0, 0, 3) + b"\7\1\1" * 3
    style = struct.pack(">HBBHBBBBBB", 12, 0, 0, layers, 0, 5, block - 2, block - 2, 0, 1)
    return b"\xff\x4f\xff\x51" + size + b"\xff\x52" + style + bytes(2000)


COSTLY: dict[str, Callable[[], bytes]] = {
    "JPEG: scans": lambda: many_scans(1000),
    "JPEG: scans of single components": many_components_scans,
    "JPEG: segments of EXIF": lambda: jpeg_with(segment(0xE1, b"Exif\0\0" + bytes(1000)) * 100),
    "JPEG: EXIF that claims its bytes again and again": lambda: jpeg_with(
        segment(0xE1, b"Exif\0\0" + claims(5400, 65_500))
    ),
    "JPEG: an index of pictures that does": lambda: jpeg_with(segment(0xE2, b"MPF\0" + claims(5400, 65_500))),
    "TIFF: a tile": tiled,
    "TIFF: strips that claim the file": strips,
    "TIFF: tags that claim the file": lambda: claims(1000, MIB),
    "TIFF: EXIF of many numbers": lambda: simple(
        np.zeros((4, 4, 1), np.uint8), 8, 1, t34665=("I", [400])
    ).ljust(400, b"\0") + struct.pack("<HHHIII", 1, 37500, 3, 3 * MIB, 500, 0) + bytes(7 * MIB),
    "PNG: chunks": lambda: png(PIXELS, 8, RGB, before=chunk(b"prVt", b"") * 100_001),
    "PNG: chunks of no pixels": lambda: png(PIXELS, 8, RGB, after=chunk(b"IDAT", b"") * 100_001),
    "GIF: blocks": lambda: gif(
        PIXELS[..., :1], np.zeros((256, 3), np.uint8), (30, 20), before=b"\x21\xfe" + b"\1a" * 200_001 + b"\0"
    ),
    "PNM: a comment": lambda: b"P6\n#" + b"a" * MIB + b"\n1 1 255\nabc",
    "PNM: comments": lambda: b"P3\n9 9\n255\n" + b"#\n" * MIB,
    "QOI: pixels": lambda: b"qoif" + struct.pack(">II", 5000, 5000) + b"\3\0" + b"\xfd" * 500_000,
    "BMP: runs": lambda: b"BM"
    + struct.pack("<IIIIiiHHIIIIII", 0, 0, 118, 40, 5000, 5000, 1, 4, 2, 0, 0, 0, 0, 0)
    + bytes(200),
    "ICNS: blocks": lambda: b"icns" + bytes(4) + b"abcd\0\0\0\x08" * (3 * MIB),
    "JPEG 2000: tiles": lambda: layered(16, 1),
    "JPEG 2000: layers": lambda: layered(8000, 60_000),
    "JPEG 2000: blocks": lambda: layered(8000, 1, block=2),
    "JPEG 2000: boxes": lambda: jpeg2000.jp2(b"\xff\x4f\xff\x51", (1, 1, 1), 8, 17, bytes(17 * MIB)),
}  # fmt: skip


@pytest.mark.parametrize("name", COSTLY)
def test_what_would_cost_too_much_is_refused_from_its_header(name: str) -> None:
    data = COSTLY[name]()
    tracemalloc.start()
    try:
        with pytest.raises(ImageError) as refused:
            decode(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert refused.value.error == "TooCostly", refused.value.message
    assert peak < 2 * len(data) + 8 * MIB


def text_chunks() -> bytes:
    """Text, XMP and a profile of 30 MB each, packed to 30 KB, and some that are damaged."""
    packed = zlib.compress(bytes(30 * MIB))
    text = chunk(b"zTXt", b"text\0\0" + packed) + chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packed)
    damaged = chunk(b"tEXt", b"text\0damaged", 1) + chunk(b"zTXt", b"text\0\7") + chunk(b"iTXt", b"\xff")
    return text + chunk(b"iCCP", b"profile\0\0" + packed) + damaged


def test_text_of_a_png_is_neither_unpacked_nor_needed() -> None:
    data = png(PIXELS, 8, RGB, before=text_chunks(), after=text_chunks())
    tracemalloc.start()
    try:
        np.testing.assert_array_equal(decode(data).pixels, PIXELS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * MIB


def test_a_png_may_end_within_the_text_behind_its_pixels() -> None:
    data = png(PIXELS, 8, RGB, after=chunk(b"tEXt", b"text\0" + bytes(1000)))
    np.testing.assert_array_equal(decode(data[:-500]).pixels, PIXELS)


def test_idat_that_unpacks_to_more_than_the_pixels_is_cut() -> None:
    rows = b"".join(b"\0" + row.tobytes() for row in PIXELS)
    head = struct.pack(">IIBBBBB", 30, 20, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows + bytes(50 * MIB)))
    np.testing.assert_array_equal(decode(data + chunk(b"IEND", b"")).pixels, PIXELS)


def test_comments_of_a_gif_are_passed_over() -> None:
    table = np.arange(768, dtype=np.uint16).reshape(256, 3).astype(np.uint8)
    comment = b"\x21\xfe" + (b"\xff" + bytes(255)) * 50_000 + b"\0"
    data = gif(PIXELS[..., :1], table, (30, 20), before=comment)
    np.testing.assert_array_equal(decode(data).pixels, table[PIXELS[..., 0]])


def test_resources_of_a_psd_are_passed_over() -> None:
    whole = psd(planes_of(PIXELS, 8), PIXELS.shape, 8, 3)
    many = RESOURCES * 200_000
    at = whole.index(RESOURCES)
    data = whole[: at - 4] + struct.pack(">I", len(many)) + many + whole[at + len(RESOURCES) :]
    np.testing.assert_array_equal(decode(data).pixels, PIXELS)


def test_a_canvas_is_measured_before_it_is_made() -> None:
    picture = imagecodecs.webp_encode(PIXELS, lossless=True)[12:]
    canvas = b"VP8X" + struct.pack("<II", 10, 2) + struct.pack("<I", 16_382)[:3] * 2
    data = b"RIFF" + struct.pack("<I", 4 + len(canvas) + len(picture)) + b"WEBP" + canvas + picture
    with pytest.raises(ImageError, match="ImageTooLarge"):
        decode(data)


def test_the_bound_on_scans_leaves_room_for_what_encoders_make(tmp_path: Path) -> None:
    data = encode(photo(400, 300), "JPEG", progressive=True, quality=90)
    assert decode_image(data, (20, 30), "squash", 400 * 300).width == 400
