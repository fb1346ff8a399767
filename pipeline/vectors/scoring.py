"""The vectors nearest to another one, exactly: blocks of vectors in, the best hits out.

A cosine is computed in float64, each row by itself, and not by a matrix product, whose last bits depend on the rows
beside: equal vectors have equal cosines, in whichever blocks they come. A product of two float32 is exact in float64.

Which rows are worth that, products in float32 tell, whose error is bounded: most rows are further from being found.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

# Rows that are computed with at once, whatever blocks come: of 1,664 values 14 MB each in float64.
PIECE_ROWS = 1024
# What is read twice, for products and for lengths, is to be in a core's cache the second time.
CACHED_BYTES = 1 << 20
# While one waits for the disk another has something to do; the disk of one machine is busy with two.
THREADS = 2
# Squares of lengths with which float32 neither overflows nor loses digits to underflow.
LEAST_SQUARE, MOST_SQUARE = 1e-20, 1e30


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


class Floor:
    """A cosine that k vectors reach: what is below it is not among the k nearest of all.

    Searches of parts share one; a thread that overwrites what another has found makes it lower, which is right as well.
    """

    def __init__(self) -> None:
        self.least = -np.inf

    def rise(self, least: float) -> None:
        self.least = max(self.least, least)


def nearest_of_parts(parts: Iterable[Iterable[Block]], query: np.ndarray, k: int) -> list[Hit]:
    """As `nearest`, of blocks in parts, several of which are looked through at once, in threads: a block of each."""
    floor = Floor()
    with ThreadPoolExecutor(THREADS) as threads:
        found = threads.map(lambda blocks: nearest(blocks, query, k, floor), parts)
        return _first((hit for hits in found for hit in hits), k)


def nearest(blocks: Iterable[Block], query: np.ndarray, k: int, floor: Floor | None = None) -> list[Hit]:
    """The k vectors of the largest cosines to a query, the nearest first; equal ones in the order of uris.

    In memory are one block, and the hits.

    Args:
        query: float32 [features].
        floor: what is below it is left out, though fewer than k are found.
    """
    best: list[Hit] = []
    floor = floor or Floor()
    direction = _direction_of(query)
    for block in blocks:
        for start in range(0, len(block.vectors), PIECE_ROWS):
            piece = block.vectors[start : start + PIECE_ROWS]
            least = floor.least
            likely = _likely(piece, direction, k, least)
            cosines = cosines_to(query, piece[likely])
            chosen = _largest(cosines, k, least)
            rows = (start + likely[chosen]).tolist()
            found = [(float(cosines[i]), block.uris[row], row) for i, row in zip(chosen, rows, strict=True)]
            if found:
                best = _merged(best, found, block, k)
                if len(best) == k:
                    floor.rise(best[-1].cosine)
    return best


def cosines_to(query: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """float64 [N]: the cosines of float32 [N, features] to float32 [features], or, row by row, to as many."""
    x, y = vectors.astype(np.float64), query.astype(np.float64)
    scales = np.sqrt((x * x).sum(axis=-1) * (y * y).sum(axis=-1))
    products = (x * y).sum(axis=-1)
    cosines: np.ndarray = np.divide(products, scales, out=np.zeros_like(products), where=scales > 0)
    return cosines.clip(-1, 1) + 0.0  # which makes 0 of -0


def error_of(features: int) -> float:
    """How far a cosine by products in float32 is from the true one at most.

    A sum of n products is off by at most n half units in the last place of the product of the lengths, whatever the
    order (Higham, Accuracy and Stability of Numerical Algorithms, 3.1), and so is a square of a length, whose root is
    off by half of that: 1.5 n. Twice n + 4 covers the rounding of unit vectors and of the root as well.
    """
    return 2 * (features + 4) * float(np.finfo(np.float32).eps) / 2


def _direction_of(query: np.ndarray) -> np.ndarray:
    """float32 [features], of length 1; zeros of zeros."""
    wide = query.astype(np.float64)
    length = np.sqrt((wide * wide).sum())
    direction: np.ndarray = (wide / (length or 1)).astype(np.float32)
    return direction


def _likely(vectors: np.ndarray, direction: np.ndarray, k: int, least: float) -> np.ndarray:
    """The rows that may be among the k of the largest cosines, none of which is below `least`: these, and some more.

    With an error of at most e, the k-th largest of all cosines is no less than the k-th largest that is computed here
    less e. A row that is found has at least that cosine, so what is computed of it is no less than that less 2 e.
    """
    products, squares = np.empty(len(vectors), np.float32), np.empty(len(vectors), np.float32)
    at_once = max(1, CACHED_BYTES // max(1, vectors.shape[1] * vectors.itemsize))
    with np.errstate(all="ignore"):  # of lengths that float32 does not have, which are seen below
        for start in range(0, len(vectors), at_once):
            cached = slice(start, start + at_once)
            np.vecdot(vectors[cached], direction, out=products[cached])
            np.vecdot(vectors[cached], vectors[cached], out=squares[cached])
    known = (squares >= LEAST_SQUARE) & (squares <= MOST_SQUARE)
    cosines = np.divide(products, np.sqrt(squares, where=known, out=np.ones_like(squares)), dtype=np.float64)
    error = error_of(vectors.shape[1])
    limit = least - error
    if np.count_nonzero(known) > k:
        limit = max(limit, np.partition(cosines[known], -k)[-k] - 2 * error)
    return np.flatnonzero(~known | (cosines >= limit))


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


def _first(hits: Iterable[Hit], k: int) -> list[Hit]:
    return sorted(hits, key=lambda hit: (-hit.cosine, hit.uri))[:k]


def _told(block: Block, row: int) -> Mapping[str, Any]:
    if block.rows is None:
        return {}
    (told,) = block.rows.slice(row, 1).to_pylist()
    return dict(told)
