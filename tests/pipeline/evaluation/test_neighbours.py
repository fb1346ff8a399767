"""Recall and votes of neighbours, held against loops over all pairs."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from pipeline.evaluation import neighbours
from pipeline.evaluation.neighbours import (
    NEIGHBOURS,
    NeighbourFigures,
    find_nearest,
    measure_neighbours,
    recall_by_chance,
    vote,
)

RANDOM = np.random.default_rng(11)
VECTORS = RANDOM.normal(size=(90, 12)).astype(np.float32)
LABELS = np.arange(90) % 4
VECTORS[:, :4] += np.eye(4, dtype=np.float32)[LABELS]  # a little of its label is in each
GROUPS = RANDOM.permutation(90) // 3


def figures(vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray | None) -> NeighbourFigures:
    return measure_neighbours(find_nearest(vectors, NEIGHBOURS, groups=groups).images, labels, groups)


def by_loops(groups: np.ndarray, ranks: tuple[int, ...]) -> tuple[dict[int, float], float]:
    """Recall by rank and the accuracy of ten votes, an image at a time."""
    hits, elected = dict.fromkeys(ranks, 0), 0
    for i, vector in enumerate(VECTORS):
        cosines = {
            j: float(vector @ other / np.linalg.norm(vector) / np.linalg.norm(other))
            for j, other in enumerate(VECTORS)
            if j != i and groups[j] != groups[i]
        }
        others = [int(LABELS[j]) for j in sorted(cosines, key=lambda j: -cosines[j])]
        for k in ranks:
            hits[k] += LABELS[i] in others[:k]
        elected += Counter(others[:10]).most_common(1)[0][0] == LABELS[i]  # of ties, the one that came first
    return {k: count / len(VECTORS) for k, count in hits.items()}, elected / len(VECTORS)


@pytest.mark.parametrize("groups", [None, GROUPS], ids=["alone", "grouped"])
@pytest.mark.parametrize("block", [1, 90 * 7, 1 << 24])
def test_figures_are_those_of_loops_in_blocks_of_any_size(
    groups: np.ndarray | None, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "BLOCK_VALUES", block)
    found = figures(VECTORS, LABELS, groups)
    recall, accuracy = by_loops(np.arange(90) if groups is None else groups, (1, 5, 10))
    assert found.recall == recall
    assert found.knn_accuracy == accuracy
    assert 0.2 < recall[1] < recall[5] < recall[10]


@pytest.mark.parametrize("block", [90, 90 * 7, 1 << 24])
def test_neighbours_among_some_are_those_of_these_alone(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    among = np.flatnonzero(RANDOM.random(90) < 0.4)
    alone = find_nearest(VECTORS[among], 10, groups=GROUPS[among])
    everything = find_nearest(VECTORS, 1)
    monkeypatch.setattr(neighbours, "BLOCK_VALUES", block)
    found = find_nearest(VECTORS, 10, among, GROUPS[among])
    np.testing.assert_array_equal(found.images, alone.images)
    np.testing.assert_allclose(found.cosines, alone.cosines, rtol=1e-5)
    np.testing.assert_allclose(found.closest, everything.cosines[:, 0], rtol=1e-5)
    assert find_nearest(VECTORS, 10, among[:0]).images.shape == (0, 10)


def test_clusters_have_neighbours_of_their_own() -> None:
    centers = np.array([[9, 0, 0], [0, 9, 0]], np.float32)
    labels = np.repeat([0, 1], 20)
    vectors = centers[labels] + RANDOM.normal(size=(40, 3)).astype(np.float32)
    found = figures(vectors, labels, None)
    assert found.recall == {1: 1, 5: 1, 10: 1}
    assert found.knn_accuracy == 1
    assert found.recall_by_chance[10] > found.recall_by_chance[1] == pytest.approx(19 / 39)


def test_of_shuffled_labels_recall_is_that_by_chance() -> None:
    vectors = RANDOM.normal(size=(1500, 8)).astype(np.float32)
    found = figures(vectors, RANDOM.permutation(np.arange(1500) % 6), None)
    assert found.recall == pytest.approx(found.recall_by_chance, abs=0.05)
    assert found.knn_accuracy == pytest.approx(1 / 6, abs=0.05)


@pytest.mark.parametrize("groups", [None, np.array([0, 1, 1, 2, 2, 3, 3])], ids=["alone", "grouped"])
@pytest.mark.parametrize("k", [1, 2, 3, 10])
def test_recall_by_chance_is_that_of_all_draws(groups: np.ndarray | None, k: int) -> None:
    labels = np.array([0, 0, 0, 1, 1, 0, 1])
    shares = []
    for i in range(7):
        others = [j for j in range(7) if j != i and (groups is None or groups[j] != groups[i])]
        draws = list(combinations(others, min(k, len(others))))
        shares.append(sum(any(labels[j] == labels[i] for j in draw) for draw in draws) / len(draws))
    assert recall_by_chance(labels, groups, k) == pytest.approx(np.mean(shares))


def test_where_there_are_few_others_the_rest_is_none() -> None:
    vectors = np.array([[1, 0], [1, 0.1], [0, 1]], np.float32)
    images, cosines, closest = find_nearest(vectors, 5, groups=np.array([0, 0, 1]))
    assert images.tolist() == [[2, -1, -1, -1, -1], [2, -1, -1, -1, -1], [1, 0, -1, -1, -1]]
    assert np.isneginf(cosines[:, 2:]).all()
    assert closest[0] == closest[1] == pytest.approx(1 / 1.01**0.5)
    alone = find_nearest(vectors[:1], 1)
    assert alone.images.tolist() == [[-1]]
    assert np.isneginf(alone.closest).all()


def test_votes() -> None:
    assert vote(np.array([[2, 1, 1], [2, 1, 0], [5, -1, -1], [3, -1, 3]])).tolist() == [1, 2, 5, 3]
