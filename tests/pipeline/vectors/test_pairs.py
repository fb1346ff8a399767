"""Near pairs, by blocks and by FAISS, and what they connect: held against all cosines and SciPy's components."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from pipeline.vectors import candidates, pairs
from pipeline.vectors.components import Components
from tests.pipeline.vectors.made import LEAST, Groups, by_scipy, clusters, cosines_of


def groups_of(found: list[pairs.Pairs], uris: list[str]) -> Groups:
    components = Components(len(uris))
    for some in found:
        components.join(some.first, some.second)
    members = defaultdict(list)
    for row, root in enumerate(components.roots(np.arange(len(uris))).tolist()):
        members[root].append(uris[row])
    return sorted(tuple(sorted(each)) for each in members.values() if len(each) > 1)


Finding = Callable[[np.ndarray, float], list[pairs.Pairs]]


def exactly(vectors: np.ndarray, least: float) -> list[pairs.Pairs]:
    return list(pairs.near_pairs(vectors, least))


def by_faiss(vectors: np.ndarray, least: float) -> list[pairs.Pairs]:
    return list(candidates.Candidates(vectors, least).pairs())


@pytest.mark.parametrize("find", [exactly, by_faiss])
@pytest.mark.parametrize("least", [0.9, 0.97, 0.999])
def test_groups_are_the_connected_components_of_near_pairs(
    find: Finding, least: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pairs, "BLOCK_ROWS", 50)
    monkeypatch.setattr(candidates, "BLOCK_ROWS", 64)
    vectors = clusters(4, 60)
    uris = [f"{i:03}.jpg" for i in range(len(vectors))]
    wanted = by_scipy(uris, vectors, least)
    assert groups_of(find(vectors, least), uris) == wanted
    assert len(wanted) > 2


def test_every_near_pair_is_found_once_with_its_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "BLOCK_ROWS", 33)
    vectors = clusters(5, 40)
    found = {
        (a, b): cosine
        for some in exactly(vectors, LEAST)
        for a, b, cosine in zip(*(each.tolist() for each in some), strict=True)
    }
    assert sum(len(some.first) for some in exactly(vectors, LEAST)) == len(found)
    cosines = cosines_of(vectors)
    wanted = {(a, b) for a, b in zip(*np.nonzero(np.triu(cosines >= LEAST, 1)), strict=True)}
    assert found.keys() == wanted
    assert all(cosine == pytest.approx(cosines[pair], abs=1e-6) for pair, cosine in found.items())


@pytest.mark.parametrize("least", [0.9, 0.91, 0.93, 0.95, 0.97, 0.99])
def test_pairs_at_the_limit_are_told_apart_in_float64(least: float) -> None:
    """The nearest cosines above and below the limit that there are, closer to it than float32 can tell."""
    side = np.float32(least)
    others = np.float32((1 - least**2) ** 0.5) + np.arange(-40, 40, dtype=np.float32) * np.float32(2**-26)
    there = [(float(side / np.hypot(np.float64(side), other)), other) for other in others]
    above = min(each for each in there if each[0] >= least)
    below = max(each for each in there if each[0] < least)
    assert above[0] - below[0] < 2e-8
    vectors = np.zeros((4, 4), np.float32)
    vectors[0, 0] = vectors[2, 2] = 1
    vectors[1, :2], vectors[3, 2:] = (side, above[1]), (side, below[1])
    (found,) = exactly(vectors, least)
    assert (found.first.tolist(), found.second.tolist()) == ([0], [1])


def test_faiss_gives_pairs_of_two_with_their_cosines() -> None:
    vectors = clusters(8, 60)
    cosines = cosines_of(vectors)
    found = by_faiss(vectors, LEAST)
    assert sum(len(some.first) for some in found) > 100
    for some in found:
        assert (some.first != some.second).all()
        np.testing.assert_allclose(some.cosines, cosines[some.first, some.second], atol=1e-12)
        assert (some.cosines >= LEAST).all()


@pytest.mark.parametrize("order", ["forth", "back", "mixed"])
def test_components_come_out_the_same_in_whatever_order_pairs_come(order: str) -> None:
    random = np.random.default_rng(9)
    chain = [(i, i + 1) for i in range(99)]
    edges = [*chain, *(tuple(pair) for pair in random.integers(100, 160, (25, 2)).tolist())]
    edges = {"forth": edges, "back": edges[::-1], "mixed": random.permutation(edges).tolist()}[order]
    components = Components(160)
    for a, b in edges:  # one by one
        components.join(np.array([a]), np.array([b]))
    joined = np.zeros((160, 160), bool)
    joined[tuple(np.array(edges).T)] = True
    _, labels = connected_components(joined, directed=False)
    lowest = {label: int(np.flatnonzero(labels == label)[0]) for label in labels}
    assert components.roots(np.arange(160)).tolist() == [lowest[label] for label in labels]


def test_copies_have_a_cosine_of_1_and_zeros_are_near_to_nothing() -> None:
    once = np.random.default_rng(6).normal(0, 1, (30, 1664)).astype(np.float32)
    (found,) = exactly(np.concatenate([once, np.zeros_like(once), once]), 1.0)
    assert [each.tolist() for each in found] == [list(range(30)), list(range(60, 90)), [1.0] * 30]
    assert exactly(np.zeros((3, 8), np.float32), 1e-9)[0].first.size == 0


def test_faiss_is_measured_on_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clusters(7, 100)
    monkeypatch.setattr(candidates, "SAMPLE", len(vectors))
    monkeypatch.setattr(candidates, "BLOCK_ROWS", 64)
    found = candidates.Candidates(vectors, LEAST)
    sample, recall = found.sampled()
    wanted = {(a, b) for a, b in zip(*np.nonzero(cosines_of(vectors) >= LEAST), strict=True) if a != b}
    assert set(zip(sample.first.tolist(), sample.second.tolist(), strict=True)) == wanted
    assert recall == 1
    # Each image has others that are nearer than all but one of its near ones.
    monkeypatch.setattr(candidates, "NEIGHBOURS", 1)
    _, fewer = found.sampled()
    assert fewer is not None
    assert 0.05 < fewer < 0.8
    lone = candidates.Candidates(np.eye(50, dtype=np.float32), LEAST)
    assert lone.sampled()[1] is None
