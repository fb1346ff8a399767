"""Which images are near which: groups of near duplicates, and the nearest others of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.geometry import NEAR_DUPLICATE
from pipeline.vectors.components import Components
from pipeline.vectors.pairs import near_pairs
from pipeline.vectors.scoring import cosines_to
from pipeline.vectors.search import vector_of

GROUPS_SHOWN = 12
IMAGES_SHOWN = 8  # of a group
CHOSEN = 6  # images whose neighbours are shown where none are asked for
NEIGHBOURS = 6


@dataclass(frozen=True)
class Group:
    """Images that are near each other, or near to others that are.

    Attributes:
        size: how many they are.
        uris: of the first of them, sorted, `IMAGES_SHOWN` at most.
        least: of the cosines of its near pairs.
    """

    size: int
    uris: tuple[str, ...]
    least: float


@dataclass(frozen=True)
class Groups:
    """Attributes:
    min_cosine: of a near pair.
    groups: how many there are, of two and more images.
    images: that are in one.
    shown: the largest of them, `GROUPS_SHOWN` at most; equal ones in the order of their uris.
    """

    min_cosine: float
    groups: int
    images: int
    shown: tuple[Group, ...]


@dataclass(frozen=True)
class Neighbour:
    uri: str
    cosine: float


@dataclass(frozen=True)
class Neighbours:
    """Of an image the nearest others among those that are looked at, the nearest first."""

    uri: str
    nearest: tuple[Neighbour, ...]


def find_groups(uris: Sequence[str], vectors: np.ndarray) -> Groups:
    """Of float32 [N, D], all pairs of which are compared."""
    components = Components(len(vectors))
    least = np.full(len(vectors), np.inf)
    for pairs in near_pairs(vectors, NEAR_DUPLICATE):
        components.join(pairs.first, pairs.second)
        np.minimum.at(least, pairs.first, pairs.cosines)
    roots = components.roots(np.arange(len(vectors)))
    members: dict[int, list[int]] = {}
    for row in np.flatnonzero(np.bincount(roots, minlength=len(vectors))[roots] > 1).tolist():
        members.setdefault(int(roots[row]), []).append(row)
    groups = [
        Group(len(rows), tuple(sorted(uris[row] for row in rows)), float(least[rows].min()))
        for rows in members.values()
    ]
    groups.sort(key=lambda group: (-group.size, group.uris))
    shown = [Group(group.size, group.uris[:IMAGES_SHOWN], group.least) for group in groups[:GROUPS_SHOWN]]
    return Groups(NEAR_DUPLICATE, len(groups), sum(group.size for group in groups), tuple(shown))


def choose(vectors: np.ndarray) -> list[int]:
    """Rows of float32 [N, D], `CHOSEN` at most, of images that are unlike each other.

    First the one that is nearest to the mean of all directions, then each time the one whose nearest chosen one is
    furthest away.
    """
    wide = vectors.astype(np.float64)
    lengths = np.sqrt((wide * wide).sum(axis=1, keepdims=True))
    unit = np.divide(wide, lengths, out=np.zeros_like(wide), where=lengths > 0)
    chosen = [int((unit @ unit.mean(axis=0)).argmax())]
    nearest = unit @ unit[chosen[0]]
    nearest[chosen[0]] = np.inf
    while len(chosen) < min(CHOSEN, len(vectors)):
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, unit @ unit[chosen[-1]])
        nearest[chosen[-1]] = np.inf
    return chosen


def neighbours_of(uri: str, vector: np.ndarray, uris: Sequence[str], vectors: np.ndarray) -> Neighbours:
    """The nearest of some images to float32 [D]; equal ones in the order of uris."""
    cosines = cosines_to(vector, vectors)
    found = sorted(zip((-cosines).tolist(), uris, strict=True))
    nearest = [Neighbour(other, -negated) for negated, other in found if other != uri][:NEIGHBOURS]
    return Neighbours(uri, tuple(nearest))


def all_neighbours(
    output: str, run_id: str, asked: Sequence[str], uris: Sequence[str], vectors: np.ndarray
) -> tuple[Neighbours, ...]:
    """Of the images that are asked for, or of some that are chosen.

    Raises:
        RunError: the output has no vector of one.
    """
    if asked:
        of = [vector_of(output, uri, run_id) for uri in asked]
    else:
        of = [(uris[row], vectors[row]) for row in choose(vectors)]
    return tuple(neighbours_of(uri, vector, uris, vectors) for uri, vector in of)
