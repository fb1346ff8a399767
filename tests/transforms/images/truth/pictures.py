"""Pictures that are numbers, the pixels that a right decoder makes of them, and what one case of the suite is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

HEIGHT, WIDTH = 24, 37  # no multiples of bytes, blocks or tiles, across


class Case(NamedTuple):
    """One file, and what is right.

    Attributes:
        format: as people name it.
        kind: of its pixels: "grey", "RGB with alpha", …
        depth: bits of a sample.
        layout: what else differs: compression, order of bytes, …
        data: the file.
        truth: uint8 [height, width, 3]; None when it is to be refused.
        near: the largest difference that the codec may make.
        error: the class of the refusal.
    """

    format: str
    kind: str
    depth: int
    layout: str
    data: bytes
    truth: np.ndarray | None = None
    near: int = 0
    error: str = "UnsupportedMode"

    @property
    def name(self) -> str:
        return f"{self.format}-{self.kind}-{self.depth}-{self.layout}".replace(" ", "_")


def samples(depth: int, channels: int = 1, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Whole numbers [height, width, channels] of all sizes, the least and the largest among them."""
    numbers = np.random.default_rng(depth).integers(0, 1 << depth, (height, width, channels))
    numbers[0, 0], numbers[0, 1], numbers[-1, -1] = 0, (1 << depth) - 1, (1 << depth) - 1
    return numbers.astype(np.uint8 if depth <= 8 else np.uint16)


def smooth(channels: int = 3, height: int = HEIGHT, width: int = WIDTH, most: int = 255) -> np.ndarray:
    """Whole numbers [height, width, channels] of slopes, which lossy codecs keep."""
    rows, columns = np.mgrid[0:height, 0:width]
    slopes = [
        columns / (width - 1),
        rows / (height - 1),
        1 - columns / (width - 1),
        (rows + columns) / (height + width),
    ]
    numbers = np.stack(slopes[:channels], axis=-1) * most
    return numbers.round().astype(np.uint8 if most < 256 else np.uint16)


def eight(numbers: np.ndarray, depth: int) -> np.ndarray:
    """uint8: the numbers scaled so that the largest of the depth is 255."""
    return np.round(numbers.astype(float) * 255 / ((1 << depth) - 1)).astype(np.uint8)


def rgb(numbers: np.ndarray, depth: int = 8) -> np.ndarray:
    """The pixels of grey, grey with alpha, RGB, or RGB with alpha: on white."""
    scaled = eight(numbers, depth)
    channels = scaled.shape[2]
    colors = np.repeat(scaled[..., :1], 3, axis=2) if channels < 3 else scaled[..., :3]
    return on_white(colors, scaled[..., -1:]) if channels in (2, 4) else colors


def on_white(colors: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """uint8 of colors [..., 3] under alpha [..., 1], both from 0 to 255."""
    share = alpha.astype(float) / 255
    return np.round(colors * share + 255 * (1 - share)).astype(np.uint8)


def where_transparent(colors: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """The colors [..., 3], white where the holes [...] are."""
    return np.where(holes[..., None], np.uint8(255), colors)


def packed(numbers: np.ndarray, depth: int) -> list[bytes]:
    """Rows of whole numbers [height, width] of `depth` bits, the most significant first, padded to bytes."""
    bits = (numbers[..., None].astype(np.int64) >> np.arange(depth)[::-1] & 1).astype(np.uint8)
    return [np.packbits(row).tobytes() for row in bits]


def packed_pixels(numbers: np.ndarray, depth: int) -> list[bytes]:
    """The same of [height, width, channels], the channels of a pixel beside each other."""
    return packed(numbers.reshape(len(numbers), -1), depth)


def lab(numbers: np.ndarray) -> np.ndarray:
    """uint8 sRGB of CIELab [..., 3] under D50, of L from 0 to 255 and a and b about 128: CIE 15, IEC 61966-2-1."""
    light, a, b = (numbers[..., i].astype(float) for i in range(3))
    middle = (light / 2.55 + 16) / 116
    parts = np.stack([middle + (a - 128) / 500, middle, middle - (b - 128) / 200], axis=-1)
    xyz = np.where(parts > 6 / 29, parts**3, 3 * (6 / 29) ** 2 * (parts - 4 / 29)) * (0.96422, 1.0, 0.82521)
    # From XYZ under D50, by Bradford's adaptation.
    matrix = np.array([[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.033454],
                       [0.0719453, -0.2289914, 1.4052427]])  # fmt: skip
    linear = np.clip(xyz @ matrix.T, 0, 1)
    return np.round(255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)).astype(
        np.uint8
    )
