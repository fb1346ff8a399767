"""JPEGs that the decoder reduces, and those that it need not be asked to: which, and which way is up."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from transforms.images.decoding import decode_image
from transforms.images.orientation import orientation_of

SIZE = (32, 32)  # which a draft has at least twice


def jpeg(width: int, height: int, **options: bytes) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(file := io.BytesIO(), "JPEG", **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("width", "height", "decoded"),
    [
        (127, 500, (127, 500)), (500, 127, (500, 127)), (128, 128, (64, 64)), (129, 300, (65, 150)),
        (255, 256, (128, 128)), (256, 256, (64, 64)), (520, 512, (65, 64)), (64, 64, (64, 64)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("resize", ["squash", "fit_crop"])
def test_a_jpeg_is_reduced_as_far_as_twice_the_size(
    width: int, height: int, decoded: tuple[int, int], resize: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, load, frombytes = list[tuple[int, int]](), JpegImageFile.load, Image.frombytes

    def watched(image: JpegImageFile) -> object:
        sizes.append(image.size)
        return load(image)

    def watched_too(mode: str, size: tuple[int, int], *given: Any) -> Image.Image:
        sizes.append(size)
        return frombytes(mode, size, *given)

    monkeypatch.setattr(JpegImageFile, "load", watched)
    monkeypatch.setattr(Image, "frombytes", watched_too)
    usual = jpeg(width, height)
    for data in (usual, usual[:20] + b"junk" + usual[20:]):  # which is passed over
        sizes.clear()
        image = decode_image(data, SIZE, resize, 1 << 30)
        assert sizes[0] == decoded
        assert (image.width, image.height) == (width, height)


@pytest.mark.parametrize("orientation", [None, 1, 3, 6, 8, 9])
@pytest.mark.parametrize("told_in", ["exif", "xmp"])
def test_which_way_is_up_is_what_pillow_finds(told_in: str, orientation: int | None) -> None:
    options: dict[str, bytes] = {}
    if orientation and told_in == "xmp":
        options["xmp"] = f'<x tiff:Orientation="{orientation}"/>'.encode()
    elif orientation:
        exif = Image.Exif()
        exif[0x0112] = orientation
        options["exif"] = exif.tobytes()
    with Image.open(io.BytesIO(jpeg(20, 10, **options))) as image:
        found = image.getexif().get(0x0112, 1)
    with Image.open(io.BytesIO(jpeg(20, 10, **options))) as image:
        assert orientation_of(image) == (found if found <= 8 else 1) == (orientation if orientation in (3, 6, 8) else 1)
