"""The demo's corpus: variants of scikit-image's photos in many formats, and a handful of broken files."""

from __future__ import annotations

import importlib.resources
import io
import os
import shutil
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

# Bundled with scikit-image's wheel; its other photos would be downloaded.
PHOTOS = (
    "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png",
    "coffee.png", "coins.png", "color.png", "grass.png", "gravel.png", "horse.png",
    "hubble_deep_field.jpg", "ihc.png", "logo.png", "microaneurysms.png", "moon.png",
    "motorcycle_left.png", "page.png", "phantom.png", "retina.jpg", "rocket.jpg", "text.png",
)  # fmt: skip
LONGEST_SIDE = 800
BROKEN = "broken"  # the folder of the files that cannot be decoded
EXIF_ORIENTATION = 0x0112


def make_corpus(folder: Path) -> None:
    """Writes `folder/PHOTO/VARIANT` for every photo and variant, and `folder/broken/…`.

    The photos of one folder are near duplicates of each other. A corpus that is there already stays.
    """
    if folder.exists():
        return
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}.partial")
    try:
        _write_corpus(partial)
        os.rename(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_corpus(folder: Path) -> None:
    for name in PHOTOS:
        photo = load_photo(name)
        group = folder / name.partition(".")[0]
        group.mkdir(parents=True)
        for variant, data in variants(photo):
            (group / variant).write_bytes(data)
    (folder / BROKEN).mkdir()
    for name, data in broken_files(load_photo(PHOTOS[0])).items():
        (folder / BROKEN / name).write_bytes(data)


def load_photo(name: str) -> Image.Image:
    """One of `PHOTOS` as RGB, its longest side at most `LONGEST_SIDE`.

    Raises:
        FileNotFoundError: scikit-image is not installed, or no longer bundles it.
    """
    try:
        data = (importlib.resources.files("skimage.data") / name).read_bytes()
    except ModuleNotFoundError:
        raise FileNotFoundError(
            f"{name}: the demo's photos come with scikit-image: pip install embed-images[demo]"
        ) from None
    photo = Image.open(io.BytesIO(data)).convert("RGBA")
    white = Image.new("RGBA", photo.size, "white")
    rgb = Image.alpha_composite(white, photo).convert("RGB")
    rgb.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    return rgb


def variants(photo: Image.Image) -> Iterator[tuple[str, bytes]]:
    """(file name, encoded image) of each variant: other crops, sizes, formats and qualities."""
    cropped, corner = crop(photo, 0.85), crop(photo, 0.85, (0, 0))
    smaller = photo.resize((max(photo.width * 3 // 5, 1), max(photo.height * 3 // 5, 1)))
    turned = Image.Exif()
    turned[EXIF_ORIENTATION] = 6  # a quarter turn clockwise makes it upright
    yield "baseline.jpg", encode(photo, "JPEG", quality=90)
    yield "progressive-crop.jpg", encode(cropped, "JPEG", quality=80, progressive=True)
    yield "low-quality.jpeg", encode(photo, "JPEG", quality=25)
    yield "cmyk.jpg", encode(photo.convert("CMYK"), "JPEG", quality=90)
    yield "exif-rotated.jpg", encode(photo.transpose(Image.Transpose.ROTATE_90), "JPEG", quality=90, exif=turned)
    yield "flipped.png", encode(ImageOps.mirror(photo), "PNG")
    yield "with-alpha.png", encode(with_alpha(cropped), "PNG")
    yield "smaller.webp", encode(smaller, "WEBP", quality=80)
    yield "palette.gif", encode(photo.quantize(256), "GIF")
    yield "corner.tiff", encode(corner, "TIFF", compression="tiff_lzw")


def broken_files(photo: Image.Image) -> dict[str, bytes]:
    """Files of image names that cannot be decoded, one for each way that was seen in the wild."""
    jpeg, png = encode(photo, "JPEG", quality=90), encode(photo, "PNG")
    floats = Image.fromarray(np.linspace(-1, 1, 64 * 64, dtype=np.float32).reshape(64, 64))
    return {
        "empty.jpg": b"",
        "a web page.jpg": b"<!DOCTYPE html><html><body>404 Not Found</body></html>",
        "half.jpg": jpeg[: len(jpeg) // 2],
        "half.png": png[: len(png) // 2],
        "damaged.png": png[:2000] + bytes(500) + png[2500:],
        "header only.gif": b"GIF89a",
        "huge.png": huge_png(40_000, 40_000),
        "floating point.tiff": encode(floats, "TIFF"),
    }


def crop(photo: Image.Image, share: float, at: tuple[float, float] = (0.5, 0.5)) -> Image.Image:
    """A part of `share` of each side; `at` places it from (0, 0), top left, to (1, 1)."""
    width, height = max(round(photo.width * share), 1), max(round(photo.height * share), 1)
    left, top = round((photo.width - width) * at[0]), round((photo.height - height) * at[1])
    return photo.crop((left, top, left + width, top + height))


def with_alpha(photo: Image.Image) -> Image.Image:
    """The photo with a transparent frame of a twentieth of its width."""
    frame = photo.width // 20
    opaque = Image.new("L", (photo.width - 2 * frame, photo.height - 2 * frame), 255)
    alpha = Image.new("L", photo.size, 0)
    alpha.paste(opaque, (frame, frame))
    result = photo.convert("RGBA")
    result.putalpha(alpha)
    return result


def huge_png(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims any number of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")


def encode(image: Image.Image, format_name: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    save: Callable[..., None] = image.save
    save(buffer, format_name, **options)
    return buffer.getvalue()
