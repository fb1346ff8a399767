"""Vectors divided by their length, so that their products are cosines."""

from __future__ import annotations

import numpy as np


def unit(vectors: np.ndarray) -> np.ndarray:
    """Floats [N, D] of the same precision, in which lengths are computed as well; vectors of zeros stay so."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    divided: np.ndarray = vectors / np.where(lengths == 0, 1, lengths)
    return divided
