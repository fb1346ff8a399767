"""JPEG by imagecodecs' libjpeg, and by Pillow's where it alone writes a kind."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from tests.transforms.images.truth.pictures import Case, rgb, samples, smooth

EOI = b"\xff\xd9"
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
    for kind, channels in (("grey", 1), ("RGB", 3)):
        deep = smooth(channels, most=4095)
        contiguous = deep if channels == 3 else deep[..., 0]
        data = imagecodecs.jpeg_encode(contiguous, level=97, bitspersample=12)
        yield Case("JPEG", kind, 12, "plain", data, rgb(deep, 12), NEAR)
    for depth in (8, 12, 16):
        numbers = samples(depth)
        data = imagecodecs.ljpeg_encode(numbers[..., 0], bitspersample=depth)
        yield Case("JPEG", "grey", depth, "lossless", data, rgb(numbers, depth))
    data = imagecodecs.jpegls_encode(samples(8)[..., 0])
    yield Case("JPEG-LS", "grey", 8, "plain", data)


def _without_last_scan(numbers: np.ndarray) -> bytes:
    """A progressive JPEG that ends where its last scan, with the last bits, would begin."""
    data = written(numbers, "RGB", progressive=True)
    return data[: data.rindex(b"\xff\xda")]
