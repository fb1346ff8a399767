"""JPEGs of the usual kind, which are nearly all: decoded by one call, and nothing of them is read by Python code.

Pillow's decoder takes a whole file, header and all. Its reader goes through the header before that, for what it tells
besides pixels, and gives the file to the decoder in pieces of 64 KB. `jpeg.check` has seen to what may not be decoded.
"""

from __future__ import annotations

from PIL import Image

from transforms.images import jpeg
from transforms.images.colors import to_rgb
from transforms.images.jpeg import Frame
from transforms.images.pillow import pillow_image

SCALES = (8, 4, 2, 1)  # of libjpeg's, those that Pillow's `draft` takes


class PlainJpeg:
    """A JPEG that has its end, and whose `frame` is a usual one."""

    def __init__(self, data: bytes, frame: Frame):
        self._data = data
        self._frame = frame
        self._least: tuple[int, int] | None = None

    def draft(self, least: tuple[int, int]) -> None:
        """Has it decoded at a fraction of its sides that leaves at least this (width, height), as Pillow's `draft`."""
        self._least = least

    def rgb(self) -> Image.Image:
        """Raises what Pillow's reader does, where the decoder finds something wrong."""
        scale = self._scale()
        size = -(-self._frame.width // scale), -(-self._frame.height // scale)
        mode = "L" if self._frame.components == 1 else "RGB"
        try:
            # https://pillow.readthedocs.io/en/stable/handbook/writing-your-own-image-plugin.html on decoders; these
            # arguments are those that its reader of JPEGs gives: the mode, libjpeg's own guess of colors, the scale.
            return to_rgb(Image.frombytes(mode, size, self._data, "jpeg", mode, "", scale, 0))
        except ValueError:
            return self._read()

    def orientation(self) -> int:
        return jpeg.orientation_in(self._data) if self._frame.may_be_turned else 1

    def _scale(self) -> int:
        if self._least is None:
            return 1
        most = min(self._frame.width // self._least[0], self._frame.height // self._least[1])
        return next(scale for scale in SCALES if scale <= max(most, 1))

    def _read(self) -> Image.Image:
        image = pillow_image("JPEG", self._data)
        if self._least:
            image.draft("RGB", self._least)
        return jpeg.rgb(image, self._data)
