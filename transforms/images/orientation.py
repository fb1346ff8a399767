"""Which way is up: what EXIF says, and what makes an image so."""

from __future__ import annotations

import struct

from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile

from transforms.images.directories import check_exif
from transforms.images.errors import ImageError

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
# Where Pillow's reader of JPEGs puts what may tell it.
TOLD_IN = ("exif", "xmp")
SWAPS_SIDES = frozenset((5, 6, 7, 8))


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8. A malformed one is taken for 1, upright, as viewers do."""
    if isinstance(image, JpegImageFile) and image.info.keys().isdisjoint(TOLD_IN):
        return 1
    try:
        profile = image.info.get("Raw profile type exif")
        if profile is not None and "exif" not in image.info:  # ImageMagick's, in hexadecimal digits
            image.info["exif"] = bytes.fromhex("".join(profile.split("\n")[3:]))
        if image.info.get("exif"):
            check_exif(image.info["exif"])
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except (ImageError, SyntaxError, ValueError, TypeError, LookupError, OSError, OverflowError, struct.error):
        return 1
    return orientation if orientation in UPRIGHT else 1


def upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = UPRIGHT[orientation]
    return image if turn is None else image.transpose(turn)
