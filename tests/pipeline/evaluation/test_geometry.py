"""Vectors by themselves, held against sets of known figures and against NumPy's own singular values."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation import geometry
from pipeline.evaluation.geometry import Geometry, effective_rank, measure_geometry
from pipeline.evaluation.neighbours import find_nearest

RANDOM = np.random.default_rng(7)


def measured(vectors: np.ndarray) -> Geometry:
    return measure_geometry(vectors, find_nearest(vectors, 0).closest)


def isotropic(count: int, dimensions: int, rank: int) -> np.ndarray:
    """Vectors that are spread alike in so many directions and in no other, far away from 0."""
    spread = RANDOM.normal(size=(count, rank))
    directions, _ = np.linalg.qr(spread - spread.mean(axis=0))  # orthonormal, and the mean of each is 0
    turned, _ = np.linalg.qr(RANDOM.normal(size=(dimensions, rank)))
    return np.asarray(10 * directions @ turned.T + 3, np.float32)


@pytest.mark.parametrize("rank", [1, 2, 7, 20])
def test_the_effective_rank_of_an_isotropic_set_is_its_rank(rank: int) -> None:
    assert effective_rank(isotropic(200, 48, rank)) == pytest.approx(rank, rel=1e-4)
    assert effective_rank(isotropic(30, 48, rank)) == pytest.approx(rank, rel=1e-4)


def test_the_effective_rank_is_that_of_the_singular_values() -> None:
    vectors = (RANDOM.normal(size=(300, 20)) * np.geomspace(1, 1e-3, 20)).astype(np.float32)
    singular = np.linalg.svd(vectors - vectors.mean(axis=0, dtype=np.float64), compute_uv=False)
    shares = singular / singular.sum()
    assert effective_rank(vectors) == pytest.approx(np.exp(-np.sum(shares * np.log(shares))), rel=1e-6)


def test_vectors_that_are_all_the_same_are_spread_in_no_direction() -> None:
    found = measured(np.full((5, 4), 2, np.float32))
    assert (found.effective_rank, found.dead_dimensions, found.near_duplicates) == (0, 4, 1)
    one = measured(np.ones((1, 4), np.float32))
    assert (one.images, one.effective_rank, one.near_duplicates) == (1, 0, 0)


def test_lengths_and_dead_dimensions_are_those_that_were_planted() -> None:
    vectors = RANDOM.normal(size=(100, 16)).astype(np.float32)
    vectors[:, [2, 9, 15]] = [0, 1.5, -2]
    vectors *= (np.arange(100) / np.linalg.norm(vectors, axis=1)).astype(np.float32)[:, None]  # of length 0 to 99
    vectors[1:, 9] = vectors[1:, 15] = 0.25
    found = measured(vectors)
    norms = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1))
    assert (found.images, found.dimensions, found.zero_vectors) == (100, 16, 1)
    assert found.dead_dimensions == 1  # of the other two, the zero vector has another value
    assert measured(vectors[1:]).dead_dimensions == 3
    assert found.mean_norm == pytest.approx(norms.mean())
    assert [found.norm_5, found.norm_50, found.norm_95] == pytest.approx(np.percentile(norms, [5, 50, 95]).tolist())


def test_near_duplicates_are_those_that_were_planted() -> None:
    vectors = np.eye(60, dtype=np.float32)
    vectors[1] = 4 * vectors[0]
    vectors[2] = vectors[0] + 0.1 * vectors[2]
    vectors[10], vectors[11] = vectors[10] + vectors[11], vectors[10] + 0.55 * vectors[11]  # of cosine 0.960
    vectors[20] = 0
    assert measured(vectors).near_duplicates == pytest.approx(3 / 60)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = RANDOM.normal(size=(101, 16)).astype(np.float32)
    at_once = measured(vectors)
    monkeypatch.setattr(geometry, "BLOCK_VALUES", 16 * 7)
    in_blocks = measured(vectors)
    assert vars(in_blocks) == pytest.approx(vars(at_once))
