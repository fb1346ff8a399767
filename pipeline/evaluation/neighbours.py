"""The nearest others of each image, by cosine, and whether they are of its label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from transforms.records.directions import unit

RANKS = (1, 5, 10)
VOTERS = 10
NEIGHBOURS = max(*RANKS, VOTERS)
# Cosines that are held at once, 32 MiB of float32 and twice that of their order: never all N x N of them.
BLOCK_VALUES = 1 << 23


class Nearest(NamedTuple):
    """The nearest others of images, the nearest first.

    Attributes:
        images: int [M, k], which of the M images among which they were looked for; -1 where there are not so many.
        cosines: float32 [M, k]; -inf where there are not so many.
        closest: float32 [N], for each of all images its cosine to the nearest of all others; -inf where N is 1.
    """

    images: np.ndarray
    cosines: np.ndarray
    closest: np.ndarray


@dataclass(frozen=True)
class NeighbourFigures:
    """What the neighbours of images tell of their labels.

    Attributes:
        recall: by k of `RANKS`, the share of images of which one of the k nearest others has the same label.
        recall_by_chance: the same if the k others were drawn at random.
        knn_accuracy: the share of images whose label is the one of most of their `VOTERS` nearest others; among labels
            of as many votes, the one whose first vote is nearest counts.
    """

    recall: dict[int, float]
    recall_by_chance: dict[int, float]
    knn_accuracy: float


def measure_neighbours(nearest: np.ndarray, labels: np.ndarray, groups: np.ndarray | None) -> NeighbourFigures:
    """Figures of M images, each of which has another one of its label among those that may be its neighbours.

    Args:
        nearest: int [M, `NEIGHBOURS`], which of the M are the nearest of each; -1 where there are not so many.
        labels: int [M], from 0.
        groups: int [M], from 0, as `find_nearest` was given them.
    """
    found = np.where(nearest < 0, -1, labels[nearest])
    same = found == labels[:, None]
    return NeighbourFigures(
        {k: float(same[:, :k].any(axis=1).mean()) for k in RANKS},
        {k: recall_by_chance(labels, groups, k) for k in RANKS},
        float((vote(found[:, :VOTERS]) == labels).mean()),
    )


def find_nearest(
    vectors: np.ndarray, k: int, among: np.ndarray | None = None, groups: np.ndarray | None = None
) -> Nearest:
    """The k nearest others of images by cosine; no image is its own neighbour.

    Work grows with N x N x D, memory with N x D: a normalized copy of the vectors and `BLOCK_VALUES` cosines. To a zero
    vector every cosine is 0.

    Args:
        vectors: float32 [N, D].
        among: int [M], ascending: of which of the N, and among which, neighbours are looked for; None for all.
        groups: int [M]; images of one group are no neighbours of each other. None for groups of one.
    """
    count, asked = len(vectors), len(vectors) if among is None else len(among)
    directions = unit(vectors)
    images, cosines = np.full((asked, k), -1), np.full((asked, k), -np.inf, np.float32)
    closest = np.empty(count, np.float32)
    kept = min(k, asked)
    rows = max(1, BLOCK_VALUES // max(1, count))
    for start in range(0, count, rows):
        stop = min(start + rows, count)
        similarity = directions[start:stop] @ directions.T
        similarity[np.arange(stop - start), np.arange(start, stop)] = -np.inf
        closest[start:stop] = similarity.max(axis=1)
        block = slice(start, stop)
        if among is not None:
            block = slice(*np.searchsorted(among, (start, stop)).tolist())
            similarity = similarity[np.ix_(among[block] - start, among)]
        if groups is not None:
            similarity[groups[block, None] == groups] = -np.inf
        if kept:
            found = _largest(similarity, kept)
            values = np.take_along_axis(similarity, found, axis=1)
            images[block, :kept] = np.where(values == -np.inf, -1, found)
            cosines[block, :kept] = values
    return Nearest(images, cosines, closest)


def vote(labels: np.ndarray) -> np.ndarray:
    """int [N]: the most frequent of each row of int [N, k], the first of several; -1 stands for no vote."""
    votes = (labels[:, :, None] == labels[:, None, :]).sum(axis=2)
    votes[labels < 0] = 0
    winner = votes.argmax(axis=1)
    elected: np.ndarray = labels[np.arange(len(labels)), winner]
    return elected


def recall_by_chance(labels: np.ndarray, groups: np.ndarray | None, k: int) -> float:
    """The recall at k that is expected when the k others of each image are drawn at random, without putting back."""
    count = len(labels)
    of_label = np.bincount(labels)[labels]
    if groups is None:
        others, same = np.full(count, count - 1), of_label - 1
    else:
        _, pairs, sizes = np.unique(np.stack([labels, groups]), axis=1, return_inverse=True, return_counts=True)
        others, same = count - np.bincount(groups)[groups], of_label - sizes[pairs.reshape(-1)]
    missed = np.ones(count)
    for drawn in range(k):
        missed *= np.clip(others - same - drawn, 0, None) / np.clip(others - drawn, 1, None)
    return float((1 - missed).mean())


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """int [rows, k]: where the k largest of each row are, the largest first, of equal ones the first first."""
    found = np.sort(np.argpartition(values, -k, axis=1)[:, -k:], axis=1)
    order = np.argsort(-np.take_along_axis(values, found, axis=1), axis=1, kind="stable")
    largest: np.ndarray = np.take_along_axis(found, order, axis=1)
    return largest
