"""The plane of a map, held against NumPy's singular vectors."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.report import projection
from pipeline.report.projection import principal_components, project

RANDOM = np.random.default_rng(2)


@pytest.mark.parametrize(("count", "features"), [(60, 9), (9, 60), (2, 5), (5, 1)])
def test_points_and_shares_are_those_of_the_singular_vectors(count: int, features: int) -> None:
    vectors = (RANDOM.normal(size=(count, features)) * np.geomspace(5, 0.1, features) + 3).astype(np.float32)
    centered = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    left, singular, _ = np.linalg.svd(centered, full_matrices=False)
    wanted = np.zeros((count, 2))
    wanted[:, : min(2, len(singular))] = (left * singular)[:, :2]
    found = principal_components(vectors)
    np.testing.assert_allclose(np.abs(found.points), np.abs(wanted), atol=1e-5 * singular[0])
    np.testing.assert_allclose(found.shares, (singular**2 / (singular**2).sum())[: len(found.shares)], atol=1e-9)
    assert len(found.shares) == min(projection.SHARES, count, features)
    loadings = centered.T @ found.points
    for axis in range(min(2, features)):
        assert loadings[np.abs(loadings[:, axis]).argmax(), axis] >= 0


def test_a_map_does_not_turn_around() -> None:
    """The order of images, and whether there are more of them than features, change nothing."""
    vectors = (RANDOM.normal(size=(40, 30)) * np.geomspace(5, 0.1, 30)).astype(np.float32)
    both = np.concatenate([vectors, vectors])
    np.testing.assert_allclose(principal_components(vectors[::-1]).points[::-1], principal_components(vectors).points)
    np.testing.assert_allclose(principal_components(both).points[:40], principal_components(vectors).points, atol=1e-5)
    few = vectors[:20]
    np.testing.assert_allclose(
        principal_components(np.concatenate([few, few])).points[:20], principal_components(few).points, atol=1e-5
    )


def test_vectors_that_are_all_the_same_are_one_point() -> None:
    found = principal_components(np.ones((5, 3), np.float32))
    assert (found.points == 0).all()
    assert found.shares == ()


def test_without_umap_it_is_said_why(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = RANDOM.normal(size=(16, 4)).astype(np.float32)
    few = principal_components(vectors[:15])
    assert project(vectors[:15], few, "umap", 0).why_pca == "UMAP needs more than 15 images."
    monkeypatch.setattr(projection, "umap_is_there", lambda: False)
    principal = principal_components(vectors)
    found = project(vectors, principal, "auto", 0)
    assert (found.method, found.why_pca) == ("pca", "UMAP is not installed: pip install 'embed-images[umap]'.")
    assert found.points is principal.points
    assert project(vectors, principal, "pca", 0).why_pca == ""


@pytest.mark.whole
def test_umap_keeps_groups_apart_and_is_the_same_for_a_seed() -> None:
    centers = RANDOM.normal(size=(3, 16))
    groups = np.repeat(np.arange(3), 30)
    vectors = (centers[groups] + RANDOM.normal(0, 0.05, (90, 16))).astype(np.float32)
    vectors[7] = 0  # without a direction
    principal = principal_components(vectors)
    found = project(vectors, principal, "auto", 4)
    assert found.method == "umap"
    assert np.isfinite(found.points).all()
    points, of = np.delete(found.points, 7, axis=0), np.delete(groups, 7)
    middles = np.array([points[of == group].mean(axis=0) for group in range(3)])
    nearest = np.linalg.norm(points[:, None] - middles, axis=2).argmin(axis=1)
    assert (nearest == of).all()
    assert (project(vectors, principal, "umap", 4).points == found.points).all()
