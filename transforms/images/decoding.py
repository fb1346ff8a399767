"""Bytes of an image in, upright RGB pixels of the model's input size out.

What is specified here is preprocessing version `PREPROCESSING_VERSION`; a change that moves pixels
raises it, since vectors of two versions are not to be mixed.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

PREPROCESSING_VERSION = 1

# What Pillow decodes by itself. Left out: formats that run another program (EPS), that are read on
# Windows only (WMF), that Pillow identifies but cannot decode (FITS, GRIB, HDF5, …), and ones whose
# loose signatures claim files of other kinds (PCD, SPIDER, XVTHUMB, …).
FORMATS = (
    "AVIF", "BMP", "DDS", "DIB", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "PCX", "PNG", "PPM", "PSD",
    "QOI", "SGI", "TGA", "TIFF", "WEBP",
)  # fmt: skip

RESIZE_MODES = ("squash", "slim_eval", "fit_crop")
# The central share of each side that MobileNet's evaluation keeps:
# https://github.com/tensorflow/models/blob/master/research/slim/preprocessing/inception_preprocessing.py
SLIM_EVAL_FRACTION = 0.875
# JPEGs are decoded at 1/2, 1/4 or 1/8 when that still leaves this many pixels for each output pixel.
DRAFT_FACTOR = 2

# What makes an image with an EXIF orientation upright: section 4.6.4 A of the EXIF 2.3 standard.
UPRIGHT = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SWAPS_SIDES = frozenset(UPRIGHT[orientation] for orientation in (5, 6, 7, 8))


class ImageError(Exception):
    """An image that is refused.

    Attributes:
        error: the class of the failure, for counting: "NotAnImage", "TruncatedImage", …
        message: one sentence for a person.
    """

    def __init__(self, error: str, message: str):
        super().__init__(error, message)
        self.error = error
        self.message = message


class DecodedImage(NamedTuple):
    """Attributes:
    pixels: uint8 [height, width, 3] RGB of the size that was asked for.
    format: Pillow's name of the encoding.
    width, height: of the upright stored image.
    """

    pixels: np.ndarray
    format: str
    width: int
    height: int


def extensions() -> frozenset[str]:
    """The file extensions of `FORMATS`, in lower case, with the dot."""
    Image.init()
    readable = (*FORMATS, "MPO")  # Pillow's JPEG plugin reads MPO, which is JPEGs in a row
    return frozenset(extension for extension, name in Image.EXTENSION.items() if name in readable)


def configure_pillow(max_image_pixels: int) -> None:
    """Sets Pillow's process-wide guards, which cover images inside of images (ICO, ICNS, …) too.

    The headers of the images themselves are checked by `decode_image`, so Pillow's warning at half of
    its limit says nothing new.
    """
    Image.MAX_IMAGE_PIXELS = max_image_pixels
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


def decode_image(data: bytes, size: tuple[int, int], resize: str, max_image_pixels: int) -> DecodedImage:
    """Decodes the first frame, makes it upright RGB, and resizes it.

    Args:
        data: the encoded image.
        size: (height, width) of the pixels to return.
        resize: one of `RESIZE_MODES`, see `resize_image`.
        max_image_pixels: larger images are refused from their header, before a pixel is decoded.

    Raises:
        ImageError: whatever is wrong with the image, however broken it is.
    """
    if not data:
        raise ImageError("EmptyObject", "the object has no bytes")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_image_pixels:
                raise Image.DecompressionBombError
            drafted = image.draft("RGB", _draft_size(size, resize))
            image.load()
            if not drafted:  # a draft is smaller than the image; a TIFF is turned upright by load()
                width, height = image.size
            rgb = to_rgb(image)
            turn = UPRIGHT[orientation_of(image)]
            if turn is not None:
                rgb = rgb.transpose(turn)
                if turn in SWAPS_SIDES:
                    width, height = height, width
            return DecodedImage(np.asarray(resize_image(rgb, size, resize)), image.format or "", width, height)
    except ImageError:
        raise
    except UnidentifiedImageError:
        message = "no image of a format that is read here"
        raise ImageError("NotAnImage", message) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        message = f"its header claims more than the {max_image_pixels:,} pixels that --max_image_pixels allows"
        raise ImageError("ImageTooLarge", message) from None
    except Exception as e:
        # Pillow's decoders let struct, zlib, index, syntax and other errors out on broken files; one
        # broken file must never fail a run.
        truncated = "truncated" in str(e).lower()
        raise ImageError("TruncatedImage" if truncated else "CorruptImage", f"{type(e).__name__}: {e}") from None


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8. A malformed one is taken for 1, upright, as viewers do."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (SyntaxError, ValueError, TypeError, LookupError, OSError, OverflowError, struct.error):
        return 1
    return orientation if orientation in UPRIGHT else 1


def to_rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB of any mode: 16 bits scaled to 8, alpha laid on white, CMYK and palettes converted.

    Color profiles are not applied: MobileNet and its kin were trained without.
    """
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I"):
        return _from_integers(image)
    if image.mode == "F":
        raise ImageError("UnsupportedMode", "32-bit floating-point pixels have no agreed range; store 8 or 16 bits")
    try:
        if image.has_transparency_data:
            rgba = image.convert("RGBA")
            opaque = Image.new("RGB", rgba.size, "white")
            opaque.paste(rgba, mask=rgba)
            return opaque
        return image.convert("RGB")
    except ValueError:
        raise ImageError("UnsupportedMode", f"pixels of mode {image.mode} cannot be turned into RGB") from None


def _from_integers(image: Image.Image) -> Image.Image:
    """65535 becomes 255 (rounded); Pillow's own conversion would clip at 255."""
    if image.mode == "I" and image.format not in ("PNG", "PPM"):  # whose 16 bits older Pillows hold so
        raise ImageError("UnsupportedMode", "32-bit integer pixels have no agreed range; store 8 or 16 bits")
    grey = (np.asarray(image).astype(np.uint32) + 128) // 257
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def resize_image(image: Image.Image, size: tuple[int, int], resize: str) -> Image.Image:
    """Resizes with Pillow's bilinear filter, whose support grows with the scale (antialiased).

    Modes:
        squash: the whole image, aspect ratio ignored; TF Hub's convention for image input.
        slim_eval: the central 0.875 of each side, then squash, as MobileNet was evaluated.
        fit_crop: the largest central part of the target's aspect ratio.
    """
    height, width = size
    box = crop_box(image.size, size, resize)
    # Cropped first: given a box, Pillow's filter would reach for pixels beyond it.
    part = image if box == (0, 0, *image.size) else image.crop(box)
    return part.resize((width, height), Image.Resampling.BILINEAR)


def crop_box(image_size: tuple[int, int], size: tuple[int, int], resize: str) -> tuple[int, int, int, int]:
    """The part of an image that is resized, as (left, top, right, bottom) in its pixels.

    Args:
        image_size: (width, height), as Pillow has it.
        size: (height, width) of the output.
    """
    width, height = image_size
    if resize == "squash":
        return (0, 0, width, height)
    if resize == "slim_eval":  # by the rounding of tf.image.central_crop
        left, top = (int((side - side * SLIM_EVAL_FRACTION) / 2) for side in image_size)
        return (left, top, width - left, height - top)
    if resize == "fit_crop":
        scale = min(width / size[1], height / size[0])
        kept_width, kept_height = max(round(size[1] * scale), 1), max(round(size[0] * scale), 1)
        left, top = (width - kept_width) // 2, (height - kept_height) // 2
        return (left, top, left + kept_width, top + kept_height)
    raise ValueError(f"resize: {resize!r} is not one of {', '.join(RESIZE_MODES)}")


def _draft_size(size: tuple[int, int], resize: str) -> tuple[int, int]:
    """The smallest (width, height) that a JPEG may be decoded at."""
    kept = SLIM_EVAL_FRACTION if resize == "slim_eval" else 1.0
    # Square, since EXIF may turn the image on its side after the decoder.
    side = math.ceil(DRAFT_FACTOR * max(size) / kept)
    return (side, side)
