"""Pairs of vectors that are near each other, as FAISS finds them: fast, and not every one.

Vectors are sorted into cells by k-means; for each one the cells nearest to it are looked through, and the nearest 64
others are candidates. They are verified. What is missed is measured on a sample, whose pairs are looked for exactly.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np

from pipeline.vectors.pairs import (
    BLOCK_ROWS,
    Pairs,
    cosines_of,
    near_pairs_between,
    scales_of,
    unit_vectors,
)

NEIGHBOURS = 64
CELLS_SEARCHED = 8
TRAINED_ON = 40  # vectors a cell; FAISS warns below 39
SAMPLE = 256
SEED = 11
# How far the cosines of FAISS, of 8 bits a value, may be from the true ones and still be verified.
SLACK = 0.02


class Candidates:
    """An index of vectors, 1 byte a value besides theirs.

    Args:
        vectors: float32 [N, features].
        least: the cosine of a near pair, above 0.

    Raises:
        ImportError: FAISS is not installed.
    """

    def __init__(self, vectors: np.ndarray, least: float):
        with warnings.catch_warnings(action="ignore"):  # of SWIG, on the import
            import faiss

        self._vectors, self._least, self._scales = vectors, least, scales_of(vectors)
        count, features = vectors.shape
        cells = max(1, min(round(2 * count**0.5), count // TRAINED_ON))
        self._index = faiss.index_factory(features, f"IVF{cells},SQ8", faiss.METRIC_INNER_PRODUCT)
        faiss.extract_index_ivf(self._index).nprobe = min(CELLS_SEARCHED, cells)
        self._index.train(self._unit(self._chosen(TRAINED_ON * cells)))
        for rows in self._blocks():
            self._index.add(self._unit(rows))

    def pairs(self) -> Iterator[Pairs]:
        """Near pairs, each of them verified, and some of them twice."""
        for rows in self._blocks():
            found, scores = self._neighbours(rows)
            near = (found >= 0) & (found != rows[:, None]) & (scores >= self._least - SLACK)
            first = np.broadcast_to(rows[:, None], found.shape)[near]
            second = found[near]
            cosines = cosines_of(self._vectors, first, second)
            true = cosines >= self._least
            yield Pairs(first[true], second[true], cosines[true])

    def sampled(self) -> tuple[Pairs, float | None]:
        """All near pairs of some vectors, and the share of these that FAISS finds; None where there are none."""
        rows = self._chosen(SAMPLE)
        found, _ = self._neighbours(rows)
        place = {row: i for i, row in enumerate(rows.tolist())}
        parts, met = [], 0
        for others in self._blocks():
            pairs = near_pairs_between(self._vectors, self._scales, rows, others, self._least)
            apart = pairs.first != pairs.second
            parts.append(Pairs(pairs.first[apart], pairs.second[apart], pairs.cosines[apart]))
            looked_at = found[[place[row] for row in parts[-1].first.tolist()]]
            met += int((looked_at == parts[-1].second[:, None]).any(axis=1).sum())
        pairs = Pairs(*(np.concatenate(each) for each in zip(*parts, strict=True)))
        return pairs, met / len(pairs.first) if len(pairs.first) else None

    def _neighbours(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(int64 rows, or -1, and float32 cosines as FAISS has them), each [rows, up to `NEIGHBOURS` + 1]."""
        scores, found = self._index.search(self._unit(rows), min(NEIGHBOURS + 1, len(self._vectors)))
        return found, scores

    def _unit(self, rows: np.ndarray) -> np.ndarray:
        return unit_vectors(self._vectors, self._scales, rows)

    def _blocks(self) -> Iterator[np.ndarray]:
        for start in range(0, len(self._vectors), BLOCK_ROWS):
            yield np.arange(start, min(start + BLOCK_ROWS, len(self._vectors)))

    def _chosen(self, count: int) -> np.ndarray:
        """Some rows, in ascending order, the same at each call."""
        random = np.random.default_rng(SEED)
        return np.sort(random.choice(len(self._vectors), min(count, len(self._vectors)), replace=False))
