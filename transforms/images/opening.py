"""The one way into each format: its header is looked at first, then it is opened, and nothing is decoded yet."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from itertools import islice
from typing import NamedTuple

from PIL import Image, ImageFile

from transforms.images import (
    bitmaps,
    bmp_runs,
    gif,
    icons,
    jpeg,
    jpeg2000,
    jpegxl,
    plain_jpeg,
    png,
    portable,
    psd,
    targa,
    textures,
    tiff,
    webp,
)
from transforms.images.colors import to_rgb
from transforms.images.covering import loaded
from transforms.images.directories import Directory, check_exif
from transforms.images.errors import check_pixels, too_costly, unsupported
from transforms.images.formats import UNSIGNED, refusal
from transforms.images.pillow import NotThisFormatError, pillow_image

TIFF_HEADER = re.compile(rb"II\*\0.\0\0\0|MM\0\*\0\0\0.", re.DOTALL)
MAX_EXIFS = 16
MAX_ICON_BYTES = 16 << 20  # their blocks are read one by one


class Opened(NamedTuple):
    """An image whose header was read.

    Attributes:
        format: Pillow's name of the encoding.
        size: (width, height) that the header claims.
        image: as Pillow has opened it; None where another library reads it.
        rgb: decodes it to RGB. What it raises besides ImageError is the decoder's.
        draft: has it decoded at a half, a quarter or an eighth of its sides, as far as at least the given (width,
            height) is left; None where the decoder cannot.
        orientation: as EXIF has it, where there is no `image` that would tell it.
    """

    format: str
    size: tuple[int, int]
    image: ImageFile.ImageFile | None
    rgb: Callable[[], Image.Image]
    draft: Callable[[tuple[int, int]], object] | None = None
    orientation: Callable[[], int] = lambda: 1


def open_image(format: str, data: bytes, max_image_pixels: int) -> Opened:
    """Opens an image of a format that `formats.identify` has named; "" stands for one without a signature.

    Raises:
        ImageError: it is of a kind that is not read, or would cost more than its pixels.
    """
    if format:
        return OPENERS.get(format, _Plain(format))(data, max_image_pixels)
    for unsigned in UNSIGNED:
        try:
            return OPENERS.get(unsigned, _Plain(unsigned))(data, max_image_pixels)
        except NotThisFormatError:
            continue
    raise refusal(data)


class _Plain:
    """Opens a format of which Pillow makes all that is needed."""

    def __init__(self, format: str):
        self._format = format

    def __call__(self, data: bytes, max_image_pixels: int) -> Opened:
        opened = partial(pillow_image, self._format, data)
        image = opened()
        return Opened(image.format or self._format, image.size, image, lambda: to_rgb(loaded(image, opened)))


def _jpeg(data: bytes, max_image_pixels: int) -> Opened:
    frame = jpeg.check(data, max_image_pixels)
    if frame and not frame.is_plain:
        return Opened("JPEG", (frame.width, frame.height), None, lambda: jpeg.read_deep(data, frame))
    if frame and frame.is_usual and jpeg.has_end(data):
        usual = plain_jpeg.PlainJpeg(data, frame)
        return Opened("JPEG", (frame.width, frame.height), None, usual.rgb, usual.draft, usual.orientation)
    image = pillow_image("JPEG", data)
    return Opened(
        image.format or "JPEG", image.size, image, partial(jpeg.rgb, image, data), partial(image.draft, "RGB")
    )


def _png(data: bytes, max_image_pixels: int) -> Opened:
    pixels = png.only_pixels(data)
    opened = partial(pillow_image, "PNG", pixels)
    image = opened()
    return Opened("PNG", image.size, image, lambda: png.rgb(loaded(image, opened), pixels))


def _gif(data: bytes, max_image_pixels: int) -> Opened:
    plain = gif.without_extensions(data)

    def opened() -> ImageFile.ImageFile:
        image = pillow_image("GIF", plain)
        gif.prepare(image)
        return image

    image = opened()
    box = image.tile[0].extents if image.tile else None
    return Opened("GIF", image.size, image, lambda: gif.on_screen(to_rgb(loaded(image, opened)), box))


def _webp(data: bytes, max_image_pixels: int) -> Opened:
    check_pixels(*webp.canvas(data), max_image_pixels)  # which Pillow allocates when it opens
    opened = _Plain("WEBP")(data, max_image_pixels)
    box = webp.first_frame(data)
    return opened._replace(rgb=lambda: gif.on_screen(opened.rgb(), box))


def _tiff(data: bytes, max_image_pixels: int) -> Opened:
    place, page = tiff.full_page(data, max_image_pixels)
    try:
        image = pillow_image("TIFF", data) if tiff.is_plain(page) else None
        if image and place:
            image.seek(place)
    except (NotThisFormatError, SyntaxError, KeyError):
        image = None
    if image is None:
        return _deep_tiff(data, place, page)
    tiff.prepare(image, page)
    return Opened("TIFF", image.size, image, lambda: tiff.rgb(image, page))


def _deep_tiff(data: bytes, place: int, page: Directory) -> Opened:
    if not tiff.is_deep(page):
        raise unsupported(f"{tiff.describe(page)}, of a kind that is not read here")
    if not find_spec("imagecodecs"):
        raise unsupported(f"{tiff.describe(page)}; pip install 'embed-images[deep]' to read it")
    return Opened("TIFF", tiff.size_of(page), None, lambda: tiff.read_deep(data, place, page))


def _jpeg2000(data: bytes, max_image_pixels: int) -> Opened:
    stream = jpeg2000.stream_of(data)
    channels = jpeg2000.check(data, stream)
    if jpeg2000.is_deep(stream):
        size = (stream.width, stream.height)
        return Opened("JPEG2000", size, None, lambda: jpeg2000.read_deep(data, stream, channels))

    def opened() -> ImageFile.ImageFile:
        image = pillow_image("JPEG2000", data)
        jpeg2000.prepare(image, stream)
        return image

    image = opened()
    return Opened("JPEG2000", image.size, image, lambda: jpeg2000.rgb(loaded(image, opened), stream, channels))


def _jpegxl(data: bytes, max_image_pixels: int) -> Opened:
    header = jpegxl.header_of(data)
    return Opened("JXL", (header.width, header.height), None, lambda: jpegxl.read(data, header))


def _heif(data: bytes, max_image_pixels: int) -> Opened:
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
    return _Plain("HEIF")(data, max_image_pixels)


def _psd(data: bytes, max_image_pixels: int) -> Opened:
    picture = psd.merged(data)
    opened, opened_alpha = partial(pillow_image, "PSD", picture.colors), partial(pillow_image, "PSD", picture.alpha)
    image = opened()

    def rgb() -> Image.Image:
        alpha = loaded(opened_alpha(), opened_alpha) if picture.alpha else None
        return psd.rgb(loaded(image, opened), alpha, picture)

    return Opened("PSD", picture.size, image, rgb)


def _ppm(data: bytes, max_image_pixels: int) -> Opened:
    plain = portable.plain_pnm(data)
    if deep := portable.deep_of(plain):
        return Opened("PPM", (deep.width, deep.height), None, lambda: portable.read_deep(plain, deep))
    return _Plain("PPM")(plain, max_image_pixels)


def _icon(format: str) -> Callable[[bytes, int], Opened]:
    def open_icon(data: bytes, max_image_pixels: int) -> Opened:
        if len(data) > MAX_ICON_BYTES:
            raise too_costly(f"icons of {len(data):,} bytes; up to {MAX_ICON_BYTES:,} are read")
        opened = _Plain(format)(data, max_image_pixels)
        within = icons.png_within(opened.image, data) if opened.image else b""

        def rgb() -> Image.Image:
            if within:  # whose decoding tells whether all of it is there
                png_alone = _png(within, max_image_pixels)
                check_pixels(*png_alone.size, max_image_pixels)
                png_alone.rgb()
            return opened.rgb()

        return opened._replace(rgb=rgb)

    return open_icon


def _avif(data: bytes, max_image_pixels: int) -> Opened:
    starts = [exif.start() for exif in islice(TIFF_HEADER.finditer(data), MAX_EXIFS + 1)]
    if len(starts) > MAX_EXIFS:
        raise too_costly(f"an AVIF of more than {MAX_EXIFS} EXIFs")
    for start in starts:  # Pillow reads it when it opens the image
        check_exif(data[start:])
    return _Plain("AVIF")(data, max_image_pixels)


def _bmp(data: bytes, max_image_pixels: int) -> Opened:
    return _bitmap("BMP", bmp_runs.without_runs(data), 14)


def _dib(data: bytes, max_image_pixels: int) -> Opened:
    opened = _bitmap("DIB", data, 0)
    if data[16:20] == b"\2\0\0\0":
        raise unsupported("a DIB whose pixels are run lengths of four bits")
    return opened


def _bitmap(format: str, data: bytes, header: int) -> Opened:
    def opened() -> ImageFile.ImageFile:
        image = pillow_image(format, data)
        bitmaps.mend_palette(image, data, header)
        return image

    image = opened()
    return Opened(format, image.size, image, lambda: bitmaps.rgb(loaded(image, opened), data, header))


def _tga(data: bytes, max_image_pixels: int) -> Opened:
    opened = partial(pillow_image, "TGA", targa.plain(data))
    image = opened()
    targa.check(data)
    return Opened("TGA", image.size, image, lambda: targa.rgb(loaded(image, opened), data))


def _dds(data: bytes, max_image_pixels: int) -> Opened:
    textures.check_dds(data)
    return _Plain("DDS")(data, max_image_pixels)


def _sgi(data: bytes, max_image_pixels: int) -> Opened:
    textures.check_sgi(data)
    return _Plain("SGI")(data, max_image_pixels)


OPENERS: dict[str, Callable[[bytes, int], Opened]] = {
    "AVIF": _avif, "BMP": _bmp, "DDS": _dds, "DIB": _dib, "GIF": _gif, "HEIF": _heif, "ICNS": _icon("ICNS"),
    "ICO": _icon("ICO"), "JPEG": _jpeg, "JPEG2000": _jpeg2000, "JXL": _jpegxl, "PNG": _png, "PPM": _ppm, "PSD": _psd,
    "SGI": _sgi, "TGA": _tga, "TIFF": _tiff, "WEBP": _webp,
}  # fmt: skip
