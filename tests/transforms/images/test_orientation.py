"""Which way is up, of images as viewers show them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

from pipeline.demo.corpus import encode
from tests.conftest import photo
from transforms.images.decoding import decode_image

SIZE = (24, 24)
LIMIT = 10**8


def decode(data: bytes) -> np.ndarray:
    return decode_image(data, SIZE, "squash", LIMIT).pixels


def squashed(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize(SIZE[::-1], Image.Resampling.BILINEAR))


TURNS = {  # what a viewer does to show an image of each EXIF orientation, in numpy
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("name", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_exif_orientation_makes_images_upright(name: str, orientation: int) -> None:
    stored = photo(48, 32)
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if name == "WEBP" else {"quality": 100, "subsampling": 0} if name == "JPEG" else {}
    decoded = decode_image(encode(stored, name, exif=exif, **options), SIZE, "squash", LIMIT)
    upright = Image.fromarray(np.ascontiguousarray(TURNS[orientation](np.asarray(stored))))
    assert (decoded.width, decoded.height) == upright.size
    np.testing.assert_allclose(
        decoded.pixels.astype(int), squashed(upright).astype(int), atol=4 if name == "JPEG" else 0
    )


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"]
)
def test_malformed_exif_is_not_fatal(exif: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of the EXIF
        np.testing.assert_allclose(
            decode(encode(photo(40, 30), "JPEG", exif=exif)), decode(encode(photo(40, 30), "JPEG"))
        )
