"""Vectors as points of a plane, near ones near each other as far as a plane allows it."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import dataclass

import numpy as np

from pipeline.console.logs import logger

METHODS = ("auto", "pca", "umap")
# UMAP looks at so many nearest others of each image; fewer images are left to PCA.
UMAP_NEIGHBOURS = 15
SHARES = 10


@dataclass(frozen=True)
class Projection:
    """Attributes:
    method: "pca" or "umap".
    points: float64 [N, 2].
    why_pca: why it is not what could have been, in a sentence; "".
    """

    method: str
    points: np.ndarray
    why_pca: str = ""


@dataclass(frozen=True)
class Principal:
    """Attributes:
    points: float64 [N, 2], by the first two principal components; 0 where there are not so many.
    shares: of the variance, by component, the largest first, `SHARES` at most.
    """

    points: np.ndarray
    shares: tuple[float, ...]


def umap_is_there() -> bool:
    return importlib.util.find_spec("umap") is not None


def principal_components(vectors: np.ndarray) -> Principal:
    """Of float32 [N, D], N at least 1, in float64, of which one copy is made.

    Of a component's two directions, the one that its largest loading points to is taken, so that a map does not turn
    around from one run to the next.
    """
    centered = vectors - vectors.mean(axis=0, dtype=np.float64)
    by_images = len(vectors) < vectors.shape[1]  # of whichever there are fewer, the matrix of products is decomposed
    values, found = np.linalg.eigh(centered @ centered.T if by_images else centered.T @ centered)
    values, first = values[::-1].clip(min=0), found[:, ::-1][:, :2]
    loadings = centered.T @ first if by_images else first
    scores = first * np.sqrt(values[:2]) if by_images else centered @ first
    largest = loadings[np.abs(loadings).argmax(axis=0), np.arange(loadings.shape[1])]
    points = np.zeros((len(vectors), 2))
    points[:, : scores.shape[1]] = scores * np.where(largest < 0, -1, 1)
    total = values.sum()
    shares = values[:SHARES] / total if total > 0 else np.zeros(0)
    return Principal(points, tuple(shares.tolist()))


def project(vectors: np.ndarray, principal: Principal, method: str, seed: int) -> Projection:
    """By UMAP (McInnes, Healy and Melville 2018) where `method` is not "pca" and it is installed; else by PCA.

    Args:
        vectors: float32 [N, D], of which `principal` is.
    """
    if method == "pca":
        return Projection("pca", principal.points)
    if not umap_is_there():
        return Projection("pca", principal.points, "UMAP is not installed: pip install 'embed-images[umap]'.")
    if len(vectors) <= UMAP_NEIGHBOURS:
        return Projection("pca", principal.points, f"UMAP needs more than {UMAP_NEIGHBOURS} images.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of one thread, which is the price of the same map for the same seed
        logger.info("report: map by UMAP, which takes a while; --map pca does without")
        import umap

        found = umap.UMAP(n_neighbors=UMAP_NEIGHBOURS, metric="cosine", random_state=seed).fit_transform(vectors)
    points = np.asarray(found, np.float64)
    lost = ~np.isfinite(points).all(axis=1)  # vectors of zeros have no direction
    points[lost] = np.nan_to_num(np.nanmean(points, axis=0))
    return Projection("umap", points)
