"""The Fréchet distance, held against SciPy's root of a matrix and against distances that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from pipeline.report.frechet import frechet_distance

RANDOM = np.random.default_rng(5)


def spread(count: int, features: int, scale: float = 1.0, shift: float = 0.0) -> np.ndarray:
    mixed = RANDOM.normal(size=(count, features)) @ RANDOM.normal(size=(features, features))
    return (scale * mixed + shift).astype(np.float32)


def by_scipy(a: np.ndarray, b: np.ndarray) -> float:
    """As it is written down: |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))."""
    first, second = np.cov(a.astype(np.float64), rowvar=False), np.cov(b.astype(np.float64), rowvar=False)
    difference = a.mean(axis=0, dtype=np.float64) - b.mean(axis=0, dtype=np.float64)
    root = np.real(sqrtm(first @ second))
    return float(difference @ difference + np.trace(first + second - 2 * root))


# More images than features, fewer, and one of each: by covariances, and by products of images.
@pytest.mark.parametrize(("n", "m", "features"), [(300, 200, 12), (40, 30, 12), (13, 400, 12), (400, 12, 12)])
def test_it_is_what_the_formula_says(n: int, m: int, features: int) -> None:
    a, b = spread(n, features), spread(m, features, 1.7, 0.5)
    assert frechet_distance(a, b) == pytest.approx(by_scipy(a, b), rel=1e-5)
    assert frechet_distance(b, a) == pytest.approx(frechet_distance(a, b), rel=1e-7)


@pytest.mark.parametrize(("count", "features"), [(200, 16), (10, 64)])
def test_of_a_set_moved_and_stretched_it_is_known(count: int, features: int) -> None:
    """Moved by t: |t|^2. Stretched by s around its mean: (s - 1)^2 tr(C)."""
    a = spread(count, features).astype(np.float64)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6 * np.cov(a, rowvar=False).trace())
    assert frechet_distance(a, a + 3) == pytest.approx(9 * features, rel=1e-6)
    stretched = a.mean(axis=0) + 1.5 * (a - a.mean(axis=0))
    assert frechet_distance(a, stretched) == pytest.approx(0.25 * np.cov(a, rowvar=False).trace(), rel=1e-6)
