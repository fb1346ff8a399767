"""8-bit RGB of decoded samples, whatever their mode and depth.

The rules: samples are scaled so that the largest value of their depth is 255; transparency is laid on white; an alpha
channel that is 0 everywhere is none in the formats where it may be a filler (`FILLED`); color profiles are not applied:
MobileNet and its kin were trained without.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from transforms.images.errors import unsupported

# Programs that know of no alpha leave 0 in the fourth byte of these. The others declare their alpha, and a picture that
# is transparent everywhere is white in them.
FILLED = frozenset(("BMP", "DIB", "ICO", "TGA", "DDS", "JPEG2000", "TIFF"))

ROWS = 64


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of a decoded image of any mode of Pillow's that has an agreed range."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        if image.mode == "I" and image.format not in ("PNG", "PPM"):  # whose 16 bits Pillow may hold so
            raise unsupported("32-bit integer pixels have no agreed range; store 8 or 16 bits")
        return grey_to_rgb(np.asarray(image), 65535)
    if image.mode == "F":
        raise unsupported("32-bit floating-point pixels have no agreed range; store 8 or 16 bits")
    try:
        if image.has_transparency_data and not has_filler(image):
            return on_white(image.convert("RGBA"))
        return image.convert("RGB")
    except ValueError:
        raise unsupported(f"pixels of mode {image.mode} cannot be turned into RGB") from None


def has_filler(image: Image.Image) -> bool:
    """Whether the alpha channel is one only by its name: 0 everywhere, in a format where that is seen."""
    return image.format in FILLED and is_filler(image)


def is_filler(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA") and image.getchannel("A").getextrema() == (0, 0)


def on_white(rgba: Image.Image) -> Image.Image:
    opaque = Image.new("RGB", rgba.size, "white")
    opaque.paste(rgba, mask=rgba)
    return opaque


def grey_to_rgb(samples: np.ndarray, maximum: int) -> Image.Image:
    """Whole numbers [height, width], of which `maximum` becomes 255; Pillow's own conversion would clip at 255."""
    return Image.fromarray(scaled(samples, maximum)).convert("RGB")


def scaled(samples: np.ndarray, maximum: int) -> np.ndarray:
    """uint8 of whole numbers from 0 to `maximum`, rounded; some rows at a time, which bounds what it holds besides."""
    eight = np.empty(samples.shape, np.uint8)
    for at in range(0, len(samples), ROWS):
        wide = np.minimum(samples[at : at + ROWS], maximum).astype(np.uint32)
        wide *= 255
        wide += maximum // 2
        wide //= maximum
        eight[at : at + ROWS] = wide
    return eight


def from_samples(samples: np.ndarray, maximum: int, *, filled: bool) -> Image.Image:
    """RGB of whole numbers [height, width] or [height, width, 1 to 4]: grey or RGB, with alpha as the last one.

    `filled` says that an alpha of 0 everywhere is none.
    """
    eight = samples if samples.dtype == np.uint8 and maximum == 255 else scaled(samples, maximum)
    image = Image.fromarray(eight[..., 0] if eight.ndim == 3 and eight.shape[2] == 1 else eight)
    if image.mode not in ("LA", "RGBA") or (filled and is_filler(image)):
        return image.convert("RGB")
    return on_white(image.convert("RGBA"))
