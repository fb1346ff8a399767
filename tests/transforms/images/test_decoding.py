"""Decoding against computations that do not use its code."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from pipeline.demo.corpus import broken_files, encode, huge_png
from tests.conftest import photo
from transforms.images.decoding import (
    RESIZE_MODES,
    ImageError,
    configure_pillow,
    decode_image,
    extensions,
    resize_image,
)

SIZE = (24, 24)
LIMIT = 10**8


def decode(data: bytes, size: tuple[int, int] = SIZE, resize: str = "squash") -> np.ndarray:
    return decode_image(data, size, resize, LIMIT).pixels


def squashed(image: Image.Image, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))


def png(image: Image.Image) -> bytes:
    return encode(image, "PNG")


@pytest.mark.parametrize("name", ["PNG", "BMP", "TIFF", "PPM", "TGA", "PCX", "SGI", "QOI", "ICO", "DDS", "DIB"])
def test_lossless_formats_give_their_pixels(name: str) -> None:
    image = photo(64, 64)
    decoded = decode_image(encode(image, name), SIZE, "squash", LIMIT)
    np.testing.assert_array_equal(decoded.pixels, squashed(image))
    assert (decoded.width, decoded.height, decoded.format) == (64, 64, name)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("JPEG", {"quality": 95}),
        ("JPEG", {"quality": 95, "progressive": True}),
        ("WEBP", {"quality": 95}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 95}),
        ("JPEG2000", {}),
        ("GIF", {}),
        ("ICNS", {}),
        ("TIFF", {"compression": "jpeg"}),
    ],
)
def test_lossy_formats_come_near(name: str, options: dict[str, object]) -> None:
    image = photo(60, 44)
    pixels = decode(encode(image, name, **options))
    assert np.abs(pixels.astype(int) - squashed(image)).mean() < 4


def test_mpo_is_read_by_its_first_picture() -> None:
    data = encode(photo(60, 44), "MPO", save_all=True, append_images=[photo(60, 44, 1)])
    assert np.abs(decode(data).astype(int) - squashed(photo(60, 44))).mean() < 4
    assert ".mpo" in extensions()


def test_animations_give_their_first_frame() -> None:
    frames = [photo(40, 30, seed).quantize(64) for seed in range(3)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(decode(data), squashed(frames[0].convert("RGB")))


def test_cmyk_jpegs_follow_the_inks() -> None:
    inks = np.zeros((16, 64, 4), np.uint8)
    inks[:, 0:16, 0], inks[:, 16:32, 1], inks[:, 32:48, 3] = 200, 255, 128
    data = encode(Image.fromarray(inks, "CMYK"), "JPEG", quality=100, subsampling=0)
    assert b"Adobe" in data[:64]  # Adobe's marker goes with inverted values
    expected = (255 - inks[..., :3].astype(float)) * (255 - inks[..., 3:]) / 255
    pixels = decode(data, (16, 64)).astype(int)
    for left in (4, 20, 36, 52):
        np.testing.assert_allclose(pixels[4:12, left : left + 8], expected[4:12, left : left + 8], atol=4)


def test_16_bits_are_scaled_not_clipped() -> None:
    grey = np.linspace(0, 65535, 64 * 64).round().astype(np.uint16).reshape(64, 64)
    expected = np.repeat((grey / 257).round().astype(np.uint8)[..., None], 3, axis=2)
    for name in ("PNG", "TIFF"):
        data = encode(Image.fromarray(grey), name)
        np.testing.assert_array_equal(decode(data, (64, 64)), expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    color, alpha = (200, 40, 90), 64
    image = Image.new("RGBA", (30, 30), (*color, alpha)).convert("LA" if mode == "LA" else "RGBA")
    expected = [round((c * alpha + 255 * (255 - alpha)) / 255) for c in color]
    if mode == "LA":
        grey = image.getpixel((0, 0))[0]  # type: ignore[index]
        expected = [round((grey * alpha + 255 * (255 - alpha)) / 255)] * 3
    if mode == "PA":
        image = Image.new("P", (30, 30), 7)
        image.putpalette([0] * 21 + list(color) + [0] * 700)
        data = encode(image, "PNG", transparency=bytes([255] * 7 + [alpha]))
    else:
        data = png(image)
    np.testing.assert_allclose(decode(data)[12, 12], expected, atol=1)


def test_a_transparent_color_key_is_white() -> None:
    image = Image.new("RGB", (20, 20), (10, 20, 30))
    assert (decode(encode(image, "PNG", transparency=(10, 20, 30))) == 255).all()


@pytest.mark.parametrize(("mode", "name"), [("1", "PNG"), ("L", "PNG"), ("L", "JPEG"), ("P", "PNG")])
def test_other_modes_become_rgb(mode: str, name: str) -> None:
    image = photo(40, 30).convert(mode)
    np.testing.assert_allclose(
        decode(encode(image, name)), squashed(image.convert("RGB")), atol=8 if name == "JPEG" else 2
    )


@pytest.mark.parametrize("resize", RESIZE_MODES)
def test_large_jpegs_are_decoded_smaller_and_stay_near(resize: str) -> None:
    """The draft decode moves pixels by less than 1 of 255 on average."""
    smooth = photo(60, 40).resize((1500, 1000), Image.Resampling.BICUBIC)
    data = encode(smooth, "JPEG", quality=90)
    decoded = decode_image(data, (100, 100), resize, LIMIT)
    full = Image.open(io.BytesIO(data))
    full.load()
    expected = np.asarray(resize_image(full, (100, 100), resize)).astype(int)
    assert (decoded.width, decoded.height) == (1500, 1000)
    assert np.abs(decoded.pixels - expected).mean() < 1


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_end_is_decoded_smaller_all_the_same(progressive: bool) -> None:
    data = encode(photo(600, 400), "JPEG", quality=90, progressive=progressive)
    np.testing.assert_array_equal(decode(data[:-2]), decode(data))
    np.testing.assert_array_equal(decode(data[:-1]), decode(data))


ERRORS = {
    "empty.jpg": "EmptyObject",
    "a web page.jpg": "NotAnImage",
    "half.jpg": "TruncatedImage",
    "half.png": "TruncatedImage",
    "damaged.png": "CorruptImage",
    "header only.gif": "NotAnImage",
    "huge.png": "ImageTooLarge",
    "floating point.tiff": "UnsupportedMode",
}


def test_each_broken_file_is_refused_by_its_class() -> None:
    found = {}
    for name, data in broken_files(photo(300, 200)).items():
        with pytest.raises(ImageError) as refused:
            decode(data)
        found[name] = refused.value.error
        assert refused.value.message
        assert "\n" not in refused.value.message
    assert found == ERRORS


@pytest.mark.parametrize(("pixels", "fits"), [(1200, True), (1199, False)])
def test_the_pixel_limit_is_exact(pixels: int, fits: bool) -> None:
    data = png(photo(40, 30))
    if fits:
        decode_image(data, SIZE, "squash", pixels)
    else:
        with pytest.raises(ImageError, match="ImageTooLarge"):
            decode_image(data, SIZE, "squash", pixels)


def test_pillows_own_guard_is_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    with warnings.catch_warnings():
        configure_pillow(1000)
        for side in (40, 50, 10_000):  # its warning and its error
            with pytest.raises(ImageError, match="ImageTooLarge"):
                decode_image(huge_png(side, side), SIZE, "squash", 1000)


def test_libtiff_does_not_write_to_stderr(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    data = bytearray(encode(photo(40, 30), "TIFF", compression="tiff_lzw"))
    data[8:1000] = bytes(992)
    with warnings.catch_warnings():
        configure_pillow(LIMIT)
        with pytest.raises(ImageError, match="CorruptImage"):
            decode(bytes(data))
    assert capfd.readouterr().err == ""


def test_32_bit_integers_are_refused() -> None:
    for value in (70_000, 200):
        with pytest.raises(ImageError, match="UnsupportedMode"):
            decode(encode(Image.fromarray(np.full((8, 8), value, np.int32)), "TIFF"))
