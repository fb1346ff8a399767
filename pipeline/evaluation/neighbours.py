"""The nearest others of each image, by cosine, and whether they are of its label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

RANKS = (1, 5, 10)
VOTERS = 10
# Cosines that are held at once, 64 MiB of float32: never all N x N of them.
BLOCK_VALUES = 1 << 24


class Nearest(NamedTuple):
    """The nearest others of N images, the nearest first.

    Attributes:
        images: int [N, k], which ones; -1 where there are not so many.
        cosines: float32 [N, k]; -inf where there are not so many.
    """

    images: np.ndarray
    cosines: np.ndarray


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


def measure_neighbours(vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray | None) -> NeighbourFigures:
    """Figures of float32 [N, D], each image against all others: none is its own neighbour.

    Args:
        labels: int [N], from 0.
        groups: int [N], from 0; images of one group are no neighbours of each other. None for groups of one.
    """
    nearest = nearest_others(vectors, max(*RANKS, VOTERS), groups).images
    same = _labels_of(nearest, labels) == labels[:, None]
    elected = vote(_labels_of(nearest[:, :VOTERS], labels))
    return NeighbourFigures(
        {k: float(same[:, :k].any(axis=1).mean()) for k in RANKS},
        {k: recall_by_chance(labels, groups, k) for k in RANKS},
        float((elected == labels).mean()),
    )


def nearest_others(vectors: np.ndarray, k: int, groups: np.ndarray | None = None) -> Nearest:
    """The k nearest others of each of float32 [N, D], of other groups where there are groups.

    Work grows with N x N x D, memory with N x D: a normalized copy of the vectors and `BLOCK_VALUES` cosines. To a zero
    vector every cosine is 0.
    """
    count = len(vectors)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(norms == 0, 1, norms)
    images, cosines = np.full((count, k), -1), np.full((count, k), -np.inf, np.float32)
    rows = max(1, BLOCK_VALUES // max(1, count))
    kept = min(k, count)
    for start in range(0, count, rows):
        block = slice(start, min(start + rows, count))
        similarity = unit[block] @ unit.T
        if groups is None:
            similarity[np.arange(len(similarity)), np.arange(block.start, block.stop)] = -np.inf
        else:
            similarity[groups[block, None] == groups] = -np.inf
        found = _largest(similarity, kept)
        values = np.take_along_axis(similarity, found, axis=1)
        images[block, :kept] = np.where(values == -np.inf, -1, found)
        cosines[block, :kept] = values
    return Nearest(images, cosines)


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
    largest: np.ndarray
    if k == 1:
        largest = values.argmax(axis=1)[:, None]
        return largest
    found = np.sort(np.argpartition(values, -k, axis=1)[:, -k:], axis=1)
    order = np.argsort(-np.take_along_axis(values, found, axis=1), axis=1, kind="stable")
    largest = np.take_along_axis(found, order, axis=1)
    return largest


def _labels_of(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The labels of images [N, k], -1 of none."""
    found: np.ndarray = np.where(images < 0, -1, labels[images])
    return found
