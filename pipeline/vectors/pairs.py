"""All pairs of vectors that are near each other, exactly, a block of them against another at a time.

Products of unit vectors in float32 tell of nearly every pair on which side of the limit it is. Their error is bounded,
and the pairs that are nearer to the limit than that are computed once more, in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pipeline.vectors.scoring import PIECE_ROWS, cosines_to, error_of

BLOCK_ROWS = 1024  # at most a million pairs are in memory at once


class Pairs(NamedTuple):
    """Some pairs of rows.

    Attributes:
        first, second: int64 [P], rows of vectors.
        cosines: float64 [P], of each pair, right to 1e-4 and mostly to 1e-6.
    """

    first: np.ndarray
    second: np.ndarray
    cosines: np.ndarray


def near_pairs(vectors: np.ndarray, least: float) -> Iterator[Pairs]:
    """Every pair of float32 [N, features] of a cosine of at least `least`, which is above 0, once."""
    scales = scales_of(vectors)
    for i in range(0, len(vectors), BLOCK_ROWS):
        for j in range(i, len(vectors), BLOCK_ROWS):
            left = np.arange(i, min(i + BLOCK_ROWS, len(vectors)))
            right = np.arange(j, min(j + BLOCK_ROWS, len(vectors)))
            pairs = near_pairs_between(vectors, scales, left, right, least)
            if i == j:
                once = pairs.first < pairs.second
                pairs = Pairs(pairs.first[once], pairs.second[once], pairs.cosines[once])
            yield pairs


def near_pairs_between(
    vectors: np.ndarray, scales: np.ndarray, left: np.ndarray, right: np.ndarray, least: float
) -> Pairs:
    """The pairs of a row of int64 `left` and one of int64 `right` that are near; a row is near to itself, too."""
    products = unit_vectors(vectors, scales, left) @ unit_vectors(vectors, scales, right).T
    margin = error_of(vectors.shape[1])
    rows, columns = np.nonzero(products >= least - margin)
    first, second, cosines = left[rows], right[columns], products[rows, columns].astype(np.float64)
    doubtful = cosines <= least + margin
    cosines[doubtful] = cosines_of(vectors, first[doubtful], second[doubtful])
    near = cosines >= least
    return Pairs(first[near], second[near], cosines[near].clip(max=1))


def cosines_of(vectors: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """float64 [P]: the cosines of pairs of rows, exactly."""
    cosines = np.empty(len(first))
    for start in range(0, len(first), PIECE_ROWS):
        piece = slice(start, start + PIECE_ROWS)
        cosines[piece] = cosines_to(vectors[second[piece]], vectors[first[piece]])
    return cosines


def scales_of(vectors: np.ndarray) -> np.ndarray:
    """float64 [N]: by what each vector is multiplied to be of length 1; 0 for a zero one."""
    squares = np.empty(len(vectors))
    for start in range(0, len(vectors), PIECE_ROWS):
        wide = vectors[start : start + PIECE_ROWS].astype(np.float64)
        squares[start : start + PIECE_ROWS] = (wide * wide).sum(axis=1)
    lengths = np.sqrt(squares)
    return np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)


def unit_vectors(vectors: np.ndarray, scales: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """float32 [rows, features]: of length 1, or 0."""
    scaled: np.ndarray = (vectors[rows] * scales[rows, None]).astype(np.float32)
    return scaled
