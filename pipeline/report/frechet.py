"""How far two sets of vectors are apart as wholes."""

from __future__ import annotations

import numpy as np


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The squared Fréchet distance of the normal distributions with the means and covariances of two sets.

    |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)), by Dowson and Landau, "The Fréchet distance between multivariate
    normal distributions", Journal of Multivariate Analysis 12 (1982); of features of images it is what Heusel et al.
    2017, "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", call FID. The trace of
    the root is had without a root of a matrix that is not symmetric: with C = X^T X, it is the sum of the singular
    values of X_a X_b^T.

    Args:
        a, b: float [N, D] and [M, D], N and M at least 2; covariances are divided by N - 1 and M - 1. In float64,
            beside their copies the smaller of N x M and three D x D matrices are in memory.
    """
    means = a.mean(axis=0, dtype=np.float64), b.mean(axis=0, dtype=np.float64)
    x, y = ((each - mean) / np.sqrt(len(each) - 1) for each, mean in zip((a, b), means, strict=True))
    difference = means[0] - means[1]
    traces = float((x * x).sum() + (y * y).sum())
    if min(len(x), len(y)) < x.shape[1]:
        root = float(np.linalg.svd(x @ y.T, compute_uv=False).sum())
    else:
        root = _trace_of_root(x.T @ x, y.T @ y)
    return max(0.0, float(difference @ difference) + traces - 2 * root)


def _trace_of_root(first: np.ndarray, second: np.ndarray) -> float:
    """tr((C_a C_b)^(1/2)): C_a^(1/2) C_b C_a^(1/2) is symmetric and has the eigenvalues of C_a C_b."""
    values, vectors = np.linalg.eigh(first)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    return float(np.sqrt(np.linalg.eigvalsh(root @ second @ root).clip(min=0)).sum())
