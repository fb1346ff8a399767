"""One format as Pillow's reader opens it."""

from __future__ import annotations

import io
import struct

from PIL import Image, ImageFile

from transforms.images.errors import ImageError, too_costly

# Decoders that are Python code, of a microsecond a sample, by Pillow's names.
SLOW = frozenset(("bmp_rle", "dds_rgb", "ppm", "ppm_plain", "qoi"))
SLOW_PIXELS = 16_000_000
ENDS_EARLY = (IndexError, EOFError, struct.error)


class NotThisFormatError(ImageError):
    """A header that begins as one of a format does, and is none."""

    def __init__(self, format: str, error: Exception):
        cause = error.args[0] if error.args else error  # Pillow wraps what its readers raise
        reason = "it ends too early" if isinstance(cause, ENDS_EARLY) or isinstance(error, ENDS_EARLY) else cause
        super().__init__("NotAnImage", f"it begins as {format} does, but its header cannot be read: {reason}")


def pillow_image(format: str, data: bytes) -> ImageFile.ImageFile:
    """The image as Pillow's reader of one format opens it.

    Not by `Image.open`, which keeps to itself why a file is not of a format.
    """
    if format not in Image.OPEN:
        Image.init()
    factory, accept = Image.OPEN[format]
    try:
        if accept and not accept(data[:16]):
            raise SyntaxError("the first bytes are of none")
        image = factory(io.BytesIO(data), "")
    except (SyntaxError, IndexError, TypeError, struct.error) as e:
        raise NotThisFormatError(format, e) from None
    if image.tile and image.tile[0][0] in SLOW and image.width * image.height > SLOW_PIXELS:
        what = f"{image.width:,} x {image.height:,} pixels of a kind of {format} that is decoded by slow code"
        raise too_costly(f"{what}: up to {SLOW_PIXELS:,} are read")
    return image
