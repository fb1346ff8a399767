"""What vectors are like by themselves: their lengths, their dimensions, their copies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

# Images whose nearest other one has a cosine of at least this are counted as near duplicates.
NEAR_DUPLICATE = 0.97
# Values that are held in float64 at once.
BLOCK_VALUES = 1 << 22


@dataclass(frozen=True)
class Geometry:
    """Figures that need no labels.

    Attributes:
        images: N, the vectors that were looked at.
        dimensions: D.
        mean_norm, norm_5, norm_50, norm_95: of their lengths, the mean and three percentiles.
        zero_vectors: how many are of length 0.
        dead_dimensions: in how many dimensions all of them have the same value.
        effective_rank: see `effective_rank`.
        near_duplicates: the share of images whose nearest other one has a cosine of at least `NEAR_DUPLICATE`.
    """

    images: int
    dimensions: int
    mean_norm: float
    norm_5: float
    norm_50: float
    norm_95: float
    zero_vectors: int
    dead_dimensions: int
    effective_rank: float
    near_duplicates: float


def measure_geometry(vectors: np.ndarray, closest: np.ndarray) -> Geometry:
    """Geometry of finite float32 [N, D], N at least 1.

    Args:
        closest: float32 [N], the cosine of each to the nearest other one.
    """
    norms = np.concatenate([np.linalg.norm(block, axis=1) for block in _blocks(vectors)])
    norm_5, norm_50, norm_95 = np.percentile(norms, (5, 50, 95)).tolist()
    return Geometry(
        images=vectors.shape[0],
        dimensions=vectors.shape[1],
        mean_norm=float(norms.mean()),
        norm_5=norm_5,
        norm_50=norm_50,
        norm_95=norm_95,
        zero_vectors=int((norms == 0).sum()),
        dead_dimensions=int((vectors.min(axis=0) == vectors.max(axis=0)).sum()),
        effective_rank=effective_rank(vectors),
        near_duplicates=float((closest >= NEAR_DUPLICATE).mean()),
    )


def effective_rank(vectors: np.ndarray) -> float:
    """In how many directions, as it were, float [N, D] are spread: from 1 to the rank; 0 where all are the same.

    It is exp(-sum(p ln p)) over p = s / sum(s), where s are the singular values of the vectors less their mean: the
    effective rank of Roy and Vetterli, "The effective rank: A measure of effective dimensionality", EUSIPCO 2007,
    definition 1. N images have one of at most N - 1. The singular values are the roots of the eigenvalues of the
    D x D matrix of scatter, in float64; below max(N, D) times its epsilon times the largest, an eigenvalue is rounding
    and counts as none.
    """
    mean = vectors.mean(axis=0, dtype=np.float64)
    scatter = np.zeros((vectors.shape[1],) * 2)
    for block in _blocks(vectors):
        block -= mean
        scatter += block.T @ block
    eigenvalues = np.linalg.eigvalsh(scatter)
    least = eigenvalues[-1] * max(vectors.shape) * np.finfo(np.float64).eps
    singular = np.sqrt(eigenvalues[eigenvalues > least])
    if not len(singular):
        return 0.0
    shares = singular / singular.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _blocks(vectors: np.ndarray) -> Iterator[np.ndarray]:
    """Copies of some rows at a time: float64 [rows, D]."""
    rows = max(1, BLOCK_VALUES // vectors.shape[1])
    for start in range(0, len(vectors), rows):
        yield vectors[start : start + rows].astype(np.float64)
