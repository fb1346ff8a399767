"""TIFF: its directory is read before Pillow sees it, since Pillow's modes do not tell what the samples mean.

TIFF 6.0: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFile, ImagePalette

from transforms.images.colors import from_samples, grey_to_rgb, to_rgb
from transforms.images.directories import SLACK_BYTES, Directory, check_exif_of, directories
from transforms.images.errors import ImageError, check_pixels, too_costly, unsupported
from transforms.images.orientation import SWAPS_SIDES, UPRIGHT, upright
from transforms.images.tiff_blocks import MAX_BLOCKS, check_blocks, check_sizes

SUBFILE, OLD_SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 255, 256, 257, 258, 259, 262
ORIENTATION, SAMPLES, PLANAR, COLOR_MAP, INK_SET = 274, 277, 284, 320, 332
STRIP_BYTES, TILE_WIDTH, TILE_HEIGHT, TILE_BYTES = 279, 322, 323, 325
EXTRA_SAMPLES, SAMPLE_FORMAT, DNG_VERSION = 338, 339, 50706
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, CMYK, YCBCR = 0, 1, 2, 3, 5, 6
UNSPECIFIED, PREMULTIPLIED, ALPHA = 0, 1, 2  # extra samples
UNREAD = {
    4: "a mask", 9: "ICCLab", 10: "ITULab", 32803: "a camera's sensor (a raw file)", 32844: "LogL",
    32845: "LogLuv", 34892: "a camera's sensor (a raw file)", 51177: "a depth map",
}  # fmt: skip
NOT_WHOLE = {
    2: "signed integers", 3: "floating-point numbers", 4: "of an undefined kind", 5: "complex integers",
    6: "complex numbers",
}  # fmt: skip
JPEG = 7
# Compressions that Pillow's own wheels do not unpack, and those that imagecodecs' libtiff does not either.
UNPACKED_BY_EXTRA = {34887: "LERC", 50001: "WebP"}
NOT_UNPACKED = {
    9: "JBIG", 10: "JBIG", 22610: "JPEG XR", 33003: "JPEG 2000", 33004: "JPEG 2000", 33005: "JPEG 2000", 34661: "JBIG",
    34712: "JPEG 2000", 34892: "lossy JPEG", 34933: "PNG", 34934: "JPEG XR", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
MAX_PAGES = 1_000
LARGE_TILE = 1 << 24  # pixels; libtiff makes room for a whole one, however small the image is


def full_page(data: bytes, max_image_pixels: int) -> tuple[int, Directory]:
    """The first page that is no preview: its place, and its directory.

    Raises:
        ImageError: there is none, or it is of a kind that is not read, or would cost more than its pixels.
    """
    pages = list(directories(data, 1))
    if pages and DNG_VERSION in pages[0].tags:
        raise ImageError("UnsupportedFormat", "it is a raw file of a camera (DNG), which is not read here")
    if pages and _is_preview(pages[0]):
        pages = list(directories(data, MAX_PAGES))
    for place, page in enumerate(pages):
        if not _is_preview(page):
            _check_cost(page)
            _check_kind(page)
            check_pixels(*size_of(page), max_image_pixels)
            check_blocks(page)
            return place, page
    if pages:
        raise unsupported("its TIFF holds only previews where its pages should be, as raw files of cameras do")
    raise ImageError("TruncatedImage", "a TIFF that ends before its directory")


def _is_preview(page: Directory) -> bool:
    return bool(page.value(SUBFILE, 0) & 1) or page.value(OLD_SUBFILE, 1) == 2


def _check_cost(page: Directory) -> None:
    check_exif_of(page)
    width, height = page.value(TILE_WIDTH, 0), page.value(TILE_HEIGHT, 0)
    if width * height > max(page.value(WIDTH, 0) * page.value(HEIGHT, 0), LARGE_TILE):
        raise too_costly(f"a TIFF in tiles of {width:,} x {height:,} pixels")
    for number in (STRIP_BYTES, TILE_BYTES):
        blocks = page.tags[number].values if number in page.tags else 0
        claimed = sum(min(size, len(page.data)) for size in page.values(number, (), MAX_BLOCKS))
        if blocks > MAX_BLOCKS or claimed > len(page.data) * 4 + SLACK_BYTES:
            raise too_costly(f"a TIFF of {blocks:,} strips or tiles, of {claimed:,} bytes")


def _check_kind(page: Directory) -> None:
    photometric = page.value(PHOTOMETRIC, 0)
    formats = set(page.values(SAMPLE_FORMAT, (1,))) & set(NOT_WHOLE)
    reason = ""
    if not page.tags:
        raise ImageError("TruncatedImage", "a TIFF that ends before its directory")
    if not page.value(WIDTH, 0) or not page.value(HEIGHT, 0):
        raise ImageError("CorruptImage", "a TIFF whose directory tells no width or height")
    if photometric in UNREAD:
        reason = f"its samples are those of {UNREAD[photometric]}"
    elif formats:
        reason = f"its samples are {NOT_WHOLE[min(formats)]}, which have no agreed range; store 8 or 16 bits"
    elif max(page.values(BITS, (1,))) > 16:
        reason = "whole numbers of more than 16 bits have no agreed range; store 8 or 16 bits"
    elif photometric == CMYK and page.value(INK_SET, 1) != 1:
        reason = "its inks are others than cyan, magenta, yellow and black"
    elif photometric == YCBCR and page.value(COMPRESSION, 1) == 1:
        reason = "YCbCr without compression is not read here"
    elif page.value(COMPRESSION, 1) in NOT_UNPACKED:
        reason = "its compression is not read here"
    elif page.value(COMPRESSION, 1) == JPEG and page.value(BITS, 1) == 12 and _samples_of_row(page) % 2:
        reason = "of an odd number of samples in a row, libtiff leaves out the last one"
    if reason:
        raise unsupported(f"{describe(page)}: {reason}")


def _samples_of_row(page: Directory) -> int:
    beside = 1 if page.value(PLANAR, 1) == 2 else page.value(SAMPLES, 1)
    return page.value(TILE_WIDTH, page.value(WIDTH, 0)) * beside


def describe(page: Directory) -> str:
    bits = page.values(BITS, (1,))
    samples = f"{page.value(SAMPLES, len(bits))} x {bits[0]}" if len(set(bits)) == 1 else f"{bits}"
    compression = page.value(COMPRESSION, 1)
    name = (UNPACKED_BY_EXTRA | NOT_UNPACKED).get(compression, compression)
    packed = f", compression {name}" if compression != 1 else ""
    return f"a TIFF of {samples} bits{packed}"


def is_plain(page: Directory) -> bool:
    """Whether Pillow unpacks it; of its kinds of pixels, that shows when it is opened."""
    if page.value(COMPRESSION, 1) in UNPACKED_BY_EXTRA:
        return False
    return page.value(PLANAR, 1) != 2 or _has_plain_planes(page)


def _has_plain_planes(page: Directory) -> bool:
    """Of planes, Pillow has no layout for many kinds, and loses the alpha of others when they are compressed."""
    bits, photometric, extra = page.values(BITS, (1,)), page.value(PHOTOMETRIC, 0), page.values(EXTRA_SAMPLES)
    samples = page.value(SAMPLES, len(bits))
    if photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, PALETTE):
        return samples == 1 or (page.value(COMPRESSION, 1) != 1 and extra == (UNSPECIFIED,))
    if page.value(COMPRESSION, 1) == 1:
        lacks_layout = bits[0] == 16 and (photometric == CMYK or UNSPECIFIED in extra)
        return samples <= 4 and PREMULTIPLIED not in extra and not lacks_layout
    if photometric == RGB and samples > 3:  # where nothing is told, Pillow takes a fourth plane for premultiplied
        return bool(extra) and (samples == 4 or extra[0] != ALPHA)
    return True


def is_deep(page: Directory) -> bool:
    """Whether imagecodecs reads what Pillow does not: grey or RGB of 1 to 16 bits, with up to one further sample."""
    bits = page.values(BITS, (1,))
    samples, photometric = page.value(SAMPLES, len(bits)), page.value(PHOTOMETRIC, 0)
    further = samples - (3 if photometric == RGB else 1)
    known = photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB) and page.value(EXTRA_SAMPLES, 2) in (0, 2)
    return known and len(set(bits)) == 1 and further in (0, 1)


def read_deep(data: bytes, place: int, page: Directory) -> Image.Image:
    """RGB of what `is_deep`, upright, by libtiff as imagecodecs has it."""
    import imagecodecs

    bits, planar = page.value(BITS, 1), page.value(PLANAR, 1) == 2
    most, size = (1 << bits) - 1, (page.value(HEIGHT, 0), page.value(WIDTH, 0))
    count = page.value(SAMPLES, len(page.values(BITS, (1,))))
    shape = size if count == 1 else (count, *size) if planar else (*size, count)
    check_sizes(page)
    # Of the size that was checked: libtiff may find another one in a directory that is broken.
    samples = np.zeros(shape, bool if bits == 1 else np.uint8 if bits <= 8 else np.uint16)
    imagecodecs.tiff_decode(data, index=place, out=samples)
    if count == 1:
        samples = samples[..., None]
    elif planar:
        samples = np.moveaxis(samples, 0, -1)
    if bits == 1:
        samples = samples.view(np.uint8)
    if page.value(PHOTOMETRIC, 0) == WHITE_IS_ZERO:
        samples[..., 0] = most - samples[..., 0]
    if page.value(EXTRA_SAMPLES, 2) == 0:
        samples = samples[..., :-1]
    return upright(from_samples(samples, most, filled=True), orientation_in(page))


def size_of(page: Directory) -> tuple[int, int]:
    """(width, height), upright."""
    width, height = page.value(WIDTH, 0), page.value(HEIGHT, 0)
    return (height, width) if orientation_in(page) in SWAPS_SIDES else (width, height)


def orientation_in(page: Directory) -> int:
    orientation = page.value(ORIENTATION, 1)
    return orientation if orientation in UPRIGHT else 1


def prepare(image: ImageFile.ImageFile, page: Directory) -> None:
    """Mends what Pillow makes of an opened page, before it is decoded."""
    bits, planar = page.values(BITS, (1,)), page.value(PLANAR, 1) == 2
    if planar and bits[0] == 16 and page.value(COMPRESSION, 1) == 1:
        # Pillow takes a letter of its name of the layout for each plane, and forgets the depth.
        end = ";16L" if page.order == "<" else ";16B"
        image.tile = [tile._replace(args=(f"{args[0]}{end}", *args[1:])) for tile in image.tile if (args := tile.args)]
    if image.mode in ("P", "PA") and max(page.values(COLOR_MAP, (256,))) < 256:
        # Maps of 8 bits, as libtiff guesses them, too; Pillow takes the upper half of 16.
        colors = bytes(page.values(COLOR_MAP))
        image.palette = ImagePalette.raw("RGB;L", colors)


def rgb(image: ImageFile.ImageFile, page: Directory) -> Image.Image:
    """Decodes an opened page to RGB."""
    image.load()
    if image.mode == "LAB" and page.value(PLANAR, 1) == 2:  # whose signs Pillow mends where they are not in planes
        light, *colors = image.split()
        mended = Image.merge("LAB", [light, *(band.point([value ^ 128 for value in range(256)]) for band in colors)])
        return to_rgb(mended)
    if not image.mode.startswith("I;16"):
        return to_rgb(image)
    most = (1 << page.value(BITS, 1)) - 1
    samples = np.asarray(image)
    if page.value(PHOTOMETRIC, 0) == WHITE_IS_ZERO:  # which Pillow inverts up to 8 bits
        samples = most - np.minimum(samples, most)
    return grey_to_rgb(samples, most)
