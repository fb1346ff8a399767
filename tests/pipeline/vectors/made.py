"""Vectors of which it is known who is near whom, and SciPy's word on the groups."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from scipy.sparse.csgraph import connected_components

LEAST = 0.97
Groups = list[tuple[str, ...]]


def cosines_of(vectors: np.ndarray) -> np.ndarray:
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    unit = wide / np.where(lengths == 0, 1, lengths)
    return np.asarray(unit @ unit.T)


def by_scipy(uris: list[str], vectors: np.ndarray, least: float) -> Groups:
    _, labels = connected_components(cosines_of(vectors) >= least, directed=False)
    members = defaultdict(list)
    for uri, label in zip(uris, labels, strict=True):
        members[label].append(uri)
    return sorted(tuple(sorted(each)) for each in members.values() if len(each) > 1)


def clusters(seed: int, count: int, features: int = 48) -> np.ndarray:
    """float32 [N, features]: groups of vectors around centers, chains, lone ones, copies and zeros, shuffled."""
    random = np.random.default_rng(seed)
    centers = random.normal(0, 1, (count, features))
    rows = [center + random.normal(0, 0.08, features) for center in centers for _ in range(random.integers(1, 6))]
    start, end = random.normal(0, 1, (2, features))
    rows += [start + step * (end - start) for step in np.linspace(0, 1, 40)]  # near ones lead to far ones
    rows += [rows[0]] * 3 + [7 * rows[1]] + [np.zeros(features)] * 4
    vectors = np.array(rows, np.float32)
    return vectors[random.permutation(len(vectors))]
