"""Decoders that end before their picture does, without a word: pixels that they never wrote are found here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFile

from transforms.images.errors import ImageError

FILLS = ((165, 90, 165, 90), (90, 165, 90, 165))  # two that differ in every band


def loaded(image: ImageFile.ImageFile, again: Callable[[], ImageFile.ImageFile]) -> ImageFile.ImageFile:
    """Decodes an opened image over a color that pictures seldom have rows of; `again` opens it once more.

    Where its first or last rows, which decoders write last, are of that color, it is decoded over another one, too.

    Raises:
        ImageError: what was there before shows through.
    """
    if not image.tile:  # its reader makes the picture as a whole
        image.load()
        return image
    extents = image.tile[0].extents if len(image.tile) == 1 else None  # of a GIF, they may be smaller than the image
    box = extents or (0, 0, *image.size)
    _load_over(image, FILLS[0])
    if _shows(image, box, FILLS[0]):
        other = again()
        _load_over(other, FILLS[1])
        if (np.asarray(image.crop(box)) != np.asarray(other.crop(box))).any():
            raise ImageError("TruncatedImage", f"its {image.format} data end before its pixels do")
    return image


def _load_over(image: ImageFile.ImageFile, fill: tuple[int, ...]) -> None:
    image.im = _filled(image.mode, image.size, fill).im
    image.load()


def _filled(mode: str, size: tuple[int, int], fill: tuple[int, ...]) -> Image.Image:
    bands = Image.getmodebands(mode)
    return Image.new(mode, size, fill[0] >> 7 if mode == "1" else fill[0] if bands == 1 else fill[:bands])


def _shows(image: Image.Image, box: tuple[int, int, int, int], fill: tuple[int, ...]) -> bool:
    left, top, right, bottom = box
    row = _filled(image.mode, (right - left, 1), fill).tobytes()
    # The last two: of an interlaced picture, it depends on its height which one is written last.
    rows = {top, max(bottom - 2, top), bottom - 1}
    return any(image.crop((left, y, right, y + 1)).tobytes() == row for y in rows)
