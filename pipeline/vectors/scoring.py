"""The vectors nearest to another one, exactly: blocks of vectors in, the best hits out.

A cosine is computed in float64, each row by itself, and not by a matrix product, whose last bits depend on the rows
beside: equal vectors have equal cosines, in whichever blocks they come. A product of two float32 is exact in float64.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

# Rows that are computed with at once, whatever blocks come: of 1,664 values 14 MB each in float64.
PIECE_ROWS = 1024


class Block(NamedTuple):
    """Some vectors.

    Attributes:
        uris: N of them.
        vectors: float32 [N, features].
        rows: what else is known of these images, a row each, which hits are to tell.
    """

    uris: Sequence[str]
    vectors: np.ndarray
    rows: pa.RecordBatch | None = None


class Hit(NamedTuple):
    """An image that was found.

    Attributes:
        uri: of the image.
        cosine: of its vector to the one that was looked for, from -1 to 1; 0 where one of them is all zeros.
        told: by name, what the block's `rows` told of it.
    """

    uri: str
    cosine: float
    told: Mapping[str, Any]


def nearest(blocks: Iterable[Block], query: np.ndarray, k: int) -> list[Hit]:
    """The k vectors of the largest cosines to a query, the nearest first; equal ones in the order of uris.

    In memory are one block, and the hits.

    Args:
        query: float32 [features].
    """
    best: list[Hit] = []
    for block in blocks:
        for start in range(0, len(block.uris), PIECE_ROWS):
            cosines = cosines_to(query, block.vectors[start : start + PIECE_ROWS])
            least = best[-1].cosine if len(best) == k else -np.inf
            found = [(float(cosines[row]), block.uris[start + row], start + row) for row in _largest(cosines, k, least)]
            best = _merged(best, found, block, k)
    return best


def cosines_to(query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """float64 [N]: the cosines of float32 [N, features] to float32 [features], or, row by row, to as many."""
    x, y = vectors.astype(np.float64), query.astype(np.float64)
    scales = np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1))
    products = (x * y).sum(axis=-1)
    cosines: np.ndarray = np.divide(products, scales, out=np.zeros_like(products), where=scales > 0)
    return cosines.clip(-1, 1) + 0.0  # which makes 0 of -0


def _largest(cosines: np.ndarray, k: int, least: float) -> np.ndarray:
    """The rows of the k largest of them, and of all that equal the last of these; none below `least`."""
    rows = np.flatnonzero(cosines >= least)
    if len(rows) > k:
        last = np.partition(cosines[rows], len(rows) - k)[len(rows) - k]
        rows = rows[cosines[rows] >= last]
    return rows


def _merged(best: Sequence[Hit], found: Sequence[tuple[float, str, int]], block: Block, k: int) -> list[Hit]:
    """The k best of hits and of (cosine, uri, row of a block)."""
    before: list[tuple[float, str, Hit | int]] = [(-hit.cosine, hit.uri, hit) for hit in best]
    now = [(-cosine, uri, row) for cosine, uri, row in found]
    ordered = sorted([*before, *now], key=lambda each: each[:2])[:k]
    return [
        which if isinstance(which, Hit) else Hit(uri, -negated, _told(block, which)) for negated, uri, which in ordered
    ]


def _told(block: Block, row: int) -> Mapping[str, Any]:
    if block.rows is None:
        return {}
    (told,) = block.rows.slice(row, 1).to_pylist()
    return dict(told)
