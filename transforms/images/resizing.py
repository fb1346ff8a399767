"""From the pixels of an image to those of the model's input size."""

from __future__ import annotations

import math

from PIL import Image

from transforms.images import RESIZE_MODES, SIMD, simd

# The central share of each side that MobileNet's evaluation keeps:
# https://github.com/tensorflow/models/blob/master/research/slim/preprocessing/inception_preprocessing.py
SLIM_EVAL_FRACTION = 0.875
# JPEGs are decoded at 1/2, 1/4 or 1/8 when that still leaves this many pixels for each output pixel.
DRAFT_FACTOR = 2


def resize_image(image: Image.Image, size: tuple[int, int], resize: str) -> Image.Image:
    """Resizes with Pillow's bilinear filter, whose support grows with the scale (antialiased).

    Modes:
        squash: the whole image, aspect ratio ignored; TF Hub's convention for image input.
        slim_eval: the central 0.875 of each side, then squash, as MobileNet was evaluated.
        fit_crop: the largest central part of the target's aspect ratio.
        squash_simd, slim_eval_simd, fit_crop_simd: the same, by `simd`: each value within 1 of Pillow's.
    """
    height, width = size
    box = crop_box(image.size, size, resize)
    # Cropped first: given a box, Pillow's filter would reach for pixels beyond it.
    part = image if box == (0, 0, *image.size) else image.crop(box)
    if resize.endswith(SIMD):
        return simd.resized(part, (width, height))
    return part.resize((width, height), Image.Resampling.BILINEAR)


def crop_box(image_size: tuple[int, int], size: tuple[int, int], resize: str) -> tuple[int, int, int, int]:
    """The part of an image that is resized, as (left, top, right, bottom) in its pixels.

    Args:
        image_size: (width, height), as Pillow has it.
        size: (height, width) of the output.
    """
    width, height = image_size
    mode = resize.removesuffix(SIMD)
    if mode == "squash":
        return (0, 0, width, height)
    if mode == "slim_eval":  # by the rounding of tf.image.central_crop
        left, top = (int((side - side * SLIM_EVAL_FRACTION) / 2) for side in image_size)
        return (left, top, width - left, height - top)
    if mode == "fit_crop":
        scale = min(width / size[1], height / size[0])
        kept_width, kept_height = max(round(size[1] * scale), 1), max(round(size[0] * scale), 1)
        left, top = (width - kept_width) // 2, (height - kept_height) // 2
        return (left, top, left + kept_width, top + kept_height)
    raise ValueError(f"resize: {resize!r} is not one of {', '.join(RESIZE_MODES)}")


def draft_size(size: tuple[int, int], resize: str) -> tuple[int, int]:
    """The smallest (width, height) that a JPEG may be decoded at."""
    kept = SLIM_EVAL_FRACTION if resize.removesuffix(SIMD) == "slim_eval" else 1.0
    # Square, since EXIF may turn the image on its side after the decoder.
    side = math.ceil(DRAFT_FACTOR * max(size) / kept)
    return (side, side)


def is_reducible(image_size: tuple[int, int], size: tuple[int, int], resize: str) -> bool:
    """Whether a JPEG of that (width, height) may be decoded at half of it, or less."""
    width, height = draft_size(size, resize)
    return image_size[0] >= 2 * width and image_size[1] >= 2 * height
