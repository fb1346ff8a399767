"""ICO and ICNS: the PNG within, which Pillow decodes by itself."""

from __future__ import annotations

from PIL import ImageFile
from PIL.IcnsImagePlugin import IcnsFile, IcnsImageFile
from PIL.IcoImagePlugin import IcoImageFile

from transforms.images.png import SIGNATURE


def png_within(image: ImageFile.ImageFile, data: bytes) -> bytes:
    """From the PNG on that an opened icon takes its pixels from; nothing where it is of another kind."""
    places: list[int] = []
    if isinstance(image, IcoImageFile):
        places = [entry.offset for entry in image.ico.entry[:1]]
    elif isinstance(image, IcnsImageFile):
        codes = [code for code, _ in IcnsFile.SIZES[image.best_size]]
        places = [image.icns.dct[code][0] for code in codes if code in image.icns.dct]
    return next((data[place:] for place in places if data.startswith(SIGNATURE, place)), b"")
