"""Whether a module's vectors are of use: one for each image, of the image, and of nothing else."""

from __future__ import annotations

import numpy as np

from pipeline.errors import ModelError
from pipeline.model.signatures import ImageSignature
from transforms.engines.tensorflow import what_failed

# Of the largest value: nearer vectors are one vector; and nearer ones come of the same image. Batches of another size
# are summed in another order, which makes 1e-6 in f32; a batch normalization left in training makes 0.1 and more.
SAME, AS_GOOD_AS_SAME = 1e-6, 5e-3
ALONE = 2


def vectors_of(signature: ImageSignature, pixels: np.ndarray, handle: str) -> np.ndarray:
    """float32 [N, D]: what the module gives for uint8 [N, height, width, 3].

    Raises:
        ModelError: it cannot be run, or gives something else.
    """
    import tensorflow as tf

    try:
        vectors: np.ndarray = signature(tf.constant(pixels / np.float32(255))).numpy()
    except tf.errors.OpError as e:
        raise ModelError(f"{handle}: TensorFlow cannot run the module: {what_failed(e)}") from e
    if vectors.ndim != 2 or len(vectors) != len(pixels):
        raise ModelError(f"{handle}: {len(pixels)} images gave an output of shape {vectors.shape}, not [N, D]")
    if not np.isfinite(vectors).all():
        raise ModelError(f"{handle}: the module gives values that are not finite for ordinary images")
    return vectors


def check_sound(signature: ImageSignature, pixels: np.ndarray, handle: str) -> np.ndarray:
    """`vectors_of` images that all differ, refused where they do not tell the images apart.

    Raises:
        ModelError: all have the same vector; or an image has another one at the next call, or by itself.
    """
    vectors = vectors_of(signature, pixels, handle)
    output = f"output {signature.output_name} of signature {signature.signature}"
    if _differ(vectors, vectors[:1]) <= SAME:
        value = "only zeros" if not vectors.any() else "the same vector"
        raise ModelError(
            f"{handle}: {output} gives {value} for each of {len(pixels)} different images, which is of use to nobody; "
            f"give another module, or another output of this one (--signature, --output_name)"
        )
    if _differ(vectors, vectors_of(signature, pixels, handle)) > AS_GOOD_AS_SAME:
        raise ModelError(
            f"{handle}: {output} gives the same image another vector at each call, as dropout and augmentation do in "
            f"training; export the module for inference (training=False)"
        )
    alone = np.concatenate([vectors_of(signature, pixels[i : i + 1], handle) for i in range(ALONE)])
    if _differ(vectors[:ALONE], alone) > AS_GOOD_AS_SAME:
        raise ModelError(
            f"{handle}: {output} gives an image another vector by itself than beside other images, as batch "
            f"normalization and augmentation do in training; export the module for inference (training=False)"
        )
    return vectors


def _differ(vectors: np.ndarray, others: np.ndarray) -> float:
    """The largest difference, by the largest value."""
    return float(np.abs(vectors - others).max()) / (float(np.abs(vectors).max()) or 1.0)
