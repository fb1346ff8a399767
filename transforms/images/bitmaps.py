"""BMP and TGA: what their headers say of palettes and of alpha, beside what Pillow makes of it."""

from __future__ import annotations

from PIL import Image, ImageFile, ImagePalette

from transforms.images.colors import to_rgb
from transforms.images.errors import unsupported

RAW_INDICES = {1: "P;1", 2: "P;2", 4: "P;4", 8: "P"}  # Pillow's layouts by bits of an index
# What the extension area of a TGA calls its fourth channel: https://www.dca.fee.unicamp.br/~martino/disciplinas/ia369/tga.pdf
FOOTER = b"TRUEVISION-XFILE.\0"
ATTRIBUTES_AT = 494
UNDEFINED, PREMULTIPLIED = (1, 2), 4


def mend_palette(image: ImageFile.ImageFile, data: bytes, header: int) -> None:
    """Of an opened BMP whose header stands at `header`: Pillow takes palettes of two colors, and of greys, for depths.

    It does so whatever the bits of an index are, and reads other bits then.
    """
    long = int.from_bytes(data[header : header + 4], "little") > 12
    bits = int.from_bytes(data[header + (14 if long else 10) :][:2], "little")
    if bits in RAW_INDICES and ((image.mode == "1" and bits > 1) or (image.mode == "L" and bits < 8)):
        greys = (0, 255) if image.mode == "1" else range(1 << bits)
        image.palette = ImagePalette.raw("RGB", bytes(grey for grey in greys for _ in range(3)))
        image._mode = "P"
        image.tile = [tile._replace(args=(RAW_INDICES[bits], *(tile.args or ())[1:])) for tile in image.tile]


def check_tga(data: bytes) -> None:
    kind, depth, attribute_bits = data[2:3], data[16:17], data[17:18]
    if kind in (b"\x03", b"\x0b") and depth == b"\x10" and attribute_bits and not attribute_bits[0] & 15:
        raise unsupported("a TGA of 16 bits of grey")


def tga_rgb(image: ImageFile.ImageFile, data: bytes) -> Image.Image:
    """RGB of a decoded TGA, whose header tells how many bits of alpha there are, and its end what they are."""
    if not data[17] & 15:
        return image.convert("RGB")
    if image.mode == "RGBA" and data.endswith(FOOTER):
        extension = int.from_bytes(data[-26:-22], "little")
        attributes = data[extension + ATTRIBUTES_AT] if 0 < extension < len(data) - ATTRIBUTES_AT else None
        if attributes in UNDEFINED:
            return image.convert("RGB")
        if attributes == PREMULTIPLIED:
            return to_rgb(Image.frombytes("RGBa", image.size, image.tobytes()).convert("RGBA"))
    return to_rgb(image)
