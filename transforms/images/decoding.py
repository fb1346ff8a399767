"""Bytes of an image in, upright RGB pixels of the model's input size out.

What is specified here is preprocessing version `PREPROCESSING_VERSION`; a change that moves pixels
raises it, since vectors of two versions are not to be mixed.
"""

from __future__ import annotations

import ctypes
import re
import warnings
from contextlib import suppress
from typing import NamedTuple

import numpy as np
from PIL import Image, _imaging

from transforms.images import RESIZE_MODES
from transforms.images.errors import ImageError, check_pixels
from transforms.images.formats import FORMATS, extensions, identify
from transforms.images.opening import open_image
from transforms.images.orientation import SWAPS_SIDES, orientation_of, upright
from transforms.images.resizing import DRAFT_FACTOR, crop_box, draft_size, is_reducible, resize_image

__all__ = [
    "DRAFT_FACTOR",
    "FORMATS",
    "PREPROCESSING_VERSION",
    "RESIZE_MODES",
    "DecodedImage",
    "ImageError",
    "configure_pillow",
    "crop_box",
    "decode_image",
    "extensions",
    "resize_image",
]

PREPROCESSING_VERSION = 1

# What readers say of a kind that they know and do not read.
UNREAD = re.compile(
    "unsupported|unimplemented|unknown|cannot handle|not (yet )?supported|not implemented|not configured", re.IGNORECASE
)


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


def configure_pillow(max_image_pixels: int) -> None:
    """Sets Pillow's process-wide guards, which cover images inside of images (ICO, ICNS, …) too.

    The headers of the images themselves are checked by `decode_image`, so Pillow's warning at half of
    its limit says nothing new. libtiff, within Pillow, would write to stderr what it fails at, and not of which image.
    """
    with suppress(AttributeError):  # where Pillow is built without it
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
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
        opened = open_image(identify(data), data, max_image_pixels)
        check_pixels(*opened.size, max_image_pixels)
        draft = opened.draft if opened.draft and is_reducible(opened.size, size, resize) else None
        if draft:
            draft(draft_size(size, resize))
        rgb = opened.rgb()
        width, height = opened.size if draft else rgb.size  # a draft is smaller than the image
        orientation = opened.orientation() if opened.image is None else orientation_of(opened.image)
        if orientation in SWAPS_SIDES:
            width, height = height, width
        rgb = upright(rgb, orientation)
        return DecodedImage(np.asarray(resize_image(rgb, size, resize)), opened.format, width, height)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        message = f"an image within it claims more than the {max_image_pixels:,} pixels that --max_image_pixels allows"
        raise ImageError("ImageTooLarge", message) from None
    except MemoryError:
        raise ImageError("TooCostly", "it asks for more memory than there is") from None
    except NotImplementedError as e:
        raise ImageError("UnsupportedMode", str(e)) from None
    except Exception as e:
        # Pillow's decoders let struct, zlib, index, syntax and other errors out on broken files; one
        # broken file must never fail a run.
        raise ImageError(_class_of(str(e)), f"{type(e).__name__}: {e}") from None


def _class_of(message: str) -> str:
    if "truncated" in message.lower():
        return "TruncatedImage"
    return "UnsupportedMode" if UNREAD.search(message) else "CorruptImage"
