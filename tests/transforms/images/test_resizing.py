"""Resizing against computations that do not use its code."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from transforms.images import SIMD
from transforms.images.resizing import RESIZE_MODES, crop_box, draft_size, resize_image

SIZE = (24, 24)


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
        assert crop_box(size, out, resize) == crop_box(size, out, resize.removesuffix(SIMD))
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


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 700), height=st.integers(1, 700), out=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    resize=st.sampled_from(["squash", "slim_eval", "fit_crop"]), seed=st.integers(0, 99), smooth=st.booleans(),
)  # fmt: skip
def test_the_faster_filter_is_within_one_of_pillows(
    width: int, height: int, out: tuple[int, int], resize: str, seed: int, smooth: bool
) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if smooth:
        pixels = np.linspace(0, 255, pixels.size).astype(np.uint8).reshape(pixels.shape)
    image = Image.fromarray(pixels)
    slow, fast = (np.asarray(resize_image(image, out, f"{resize}{suffix}")).astype(int) for suffix in ("", SIMD))
    assert np.abs(fast - slow).max() <= 1
    assert draft_size(out, f"{resize}{SIMD}") == draft_size(out, resize)


def test_threads_do_not_meet_in_the_faster_filter() -> None:
    images = [Image.fromarray(np.full((300, 400, 3), value, np.uint8)) for value in range(64)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda image: np.unique(resize_image(image, SIZE, "squash_simd")), images * 20))
    assert [value.tolist() for value in found] == [[value] for value in range(64)] * 20
