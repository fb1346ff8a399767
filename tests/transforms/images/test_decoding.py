"""Decoding against computations that do not use its code."""

from __future__ import annotations

import io
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.demo.corpus import broken_files, encode, huge_png
from tests.conftest import photo
from transforms.images.decoding import (
    RESIZE_MODES,
    ImageError,
    configure_pillow,
    crop_box,
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


def test_32_bit_integers_are_refused() -> None:
    for value in (70_000, 200):
        with pytest.raises(ImageError, match="UnsupportedMode"):
            decode(encode(Image.fromarray(np.full((8, 8), value, np.int32)), "TIFF"))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damage_gives_pixels_or_an_image_error(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "TGA", "JPEG2000", "QOI"]))
    encoded = bytearray(encode(photo(32, 24), name))
    for _ in range(data.draw(st.integers(1, 8))):
        encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(len(encoded) // 2, len(encoded)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata
        try:
            outcome: Any = decode_image(bytes(encoded[:cut]), SIZE, "squash", 10**6).pixels.shape
        except ImageError as e:
            outcome = e.error
    assert outcome in {(*SIZE, 3), "CorruptImage", "TruncatedImage", "NotAnImage", "ImageTooLarge", "UnsupportedMode"}


def triangle_weights(length: int, out: int) -> np.ndarray:
    """Bilinear filter weights [out, length]: a triangle as wide as the scale, at least one pixel."""
    scale = length / out
    centers = (np.arange(out) + 0.5) * scale
    distance = np.abs(np.arange(length)[None, :] + 0.5 - centers[:, None]) / max(scale, 1.0)
    weights = np.clip(1 - distance, 0, None)
    return weights / weights.sum(axis=1, keepdims=True)


@settings(max_examples=120, deadline=None)
@given(
    width=st.integers(1, 90), height=st.integers(1, 90), out=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    resize=st.sampled_from(RESIZE_MODES), seed=st.integers(0, 99),
)  # fmt: skip
def test_resizing_is_an_antialiased_triangle_filter(
    width: int, height: int, out: tuple[int, int], resize: str, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    left, top, right, bottom = crop_box((width, height), out, resize)
    part = pixels[top:bottom, left:right].astype(float)
    rows, columns = triangle_weights(bottom - top, out[0]), triangle_weights(right - left, out[1])
    expected = np.einsum("yh,xw,hwc->yxc", rows, columns, part)
    actual = np.asarray(resize_image(Image.fromarray(pixels), out, resize)).astype(float)
    assert actual.shape == (*out, 3)
    assert np.abs(actual - expected).max() <= 1.01  # Pillow rounds to 8 bits after each of its two passes


@settings(deadline=None)
@given(
    size=st.tuples(st.integers(1, 5000), st.integers(1, 5000)), out=st.tuples(st.integers(1, 600), st.integers(1, 600))
)
def test_boxes_lie_within_and_keep_what_they_promise(size: tuple[int, int], out: tuple[int, int]) -> None:
    width, height = size
    for resize in RESIZE_MODES:
        left, top, right, bottom = crop_box(size, out, resize)
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        assert 0 <= (width - right) - left <= 1
        assert 0 <= (height - bottom) - top <= 1
    left, top, right, bottom = crop_box(size, out, "fit_crop")
    assert right - left == width or bottom - top == height
    scale = min(width / out[1], height / out[0])
    assert abs((right - left) - max(out[1] * scale, 1)) <= 0.5
    assert abs((bottom - top) - max(out[0] * scale, 1)) <= 0.5
    left, top, right, bottom = crop_box(size, out, "slim_eval")
    assert abs((right - left) - 0.875 * width) < 2
    assert abs((bottom - top) - 0.875 * height) < 2


def test_slim_eval_crops_as_tensorflow_does() -> None:
    import tensorflow as tf

    for width, height in [(500, 375), (224, 224), (101, 33), (1, 7)]:
        pixels = np.zeros((height, width, 3), np.uint8)
        cropped = tf.image.central_crop(pixels, 0.875).shape
        left, top, right, bottom = crop_box((width, height), SIZE, "slim_eval")
        assert (bottom - top, right - left) == tuple(cropped[:2])


def test_an_unknown_resize_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="squash, slim_eval, fit_crop"):
        crop_box((1, 1), SIZE, "stretch")
