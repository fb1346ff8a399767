"""Connected components of pairs that come some at a time: union-find."""

from __future__ import annotations

import numpy as np


class Components:
    """Which of N rows are connected. The root of a component is its lowest row."""

    def __init__(self, count: int):
        self._parent = np.arange(count)

    def join(self, first: np.ndarray, second: np.ndarray) -> None:
        """Connects pairs of rows, int64 [P] each."""
        roots = np.stack([self.roots(first), self.roots(second)], axis=1)
        apart = np.unique(roots[roots[:, 0] != roots[:, 1]], axis=0)
        for a, b in apart.tolist():
            low, high = sorted((self._root(a), self._root(b)))
            self._parent[high] = low

    def roots(self, rows: np.ndarray) -> np.ndarray:
        """int64 [P]: of the components that these rows are in."""
        found: np.ndarray = self._parent[rows]
        while not np.array_equal(above := self._parent[found], found):
            found = above
        self._parent[rows] = found
        return found

    def _root(self, row: int) -> int:
        while (above := int(self._parent[row])) != row:
            self._parent[row] = self._parent[above]
            row = above
        return row
