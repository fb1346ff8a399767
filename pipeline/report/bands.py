"""Numbers of images by bands of a value: what a chart of many images shows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

MEGAPIXELS = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 25)
BYTES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000, 30_000_000)
BYTES_LABELS = (
    "below 10 KB", "10 to 30 KB", "30 to 100 KB", "100 to 300 KB", "0.3 to 1 MB", "1 to 3 MB", "3 to 10 MB",
    "10 to 30 MB", "30 MB and more",
)  # fmt: skip
# Width by height. Between 9:10 and 10:9 a picture is taken for a square.
ASPECTS = (0.5, 0.7, 0.9, 10 / 9, 1.4, 1.65, 2)
ASPECT_LABELS = (
    "narrower than 1:2", "1:2 to 0.7", "0.7 to 0.9", "square, 0.9 to 1.1", "1.1 to 1.4", "1.4 to 1.65", "1.65 to 2:1",
    "wider than 2:1",
)  # fmt: skip


@dataclass(frozen=True)
class Bands:
    """Attributes:
    labels: of the bands, in their order.
    counts: of images, or what else there is so much of, as many.
    """

    labels: tuple[str, ...]
    counts: tuple[float, ...]

    @property
    def total(self) -> float:
        return sum(self.counts)


def count_between(values: np.ndarray, edges: Sequence[float]) -> np.ndarray:
    """int64 [len(edges) + 1]: how many lie below the first edge, from each to below the next, and from the last on."""
    places = np.searchsorted(np.asarray(edges, np.float64), values, side="right")
    return np.bincount(places, minlength=len(edges) + 1)


def labels_between(edges: Sequence[float], unit: str) -> tuple[str, ...]:
    """Such as: below 1 MB, 1 to 3 MB, 3 MB and more."""
    between = [f"{low:g} to {high:g} {unit}" for low, high in pairwise(edges)]
    return (f"below {edges[0]:g} {unit}", *between, f"{edges[-1]:g} {unit} and more")


def histogram(values: np.ndarray, bands: int) -> Bands:
    """Of equal widths, from the least to the largest value; one band where they are all the same, none of no values."""
    if not len(values):
        return Bands((), ())
    low, high = float(values.min()), float(values.max())
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        return Bands((f"{low:.4g}",), (len(values),))
    counts, edges = np.histogram(values.astype(np.float64), bands)
    labels = [f"{a:.4g} to {b:.4g}" for a, b in pairwise(edges)]
    return Bands(tuple(labels), tuple(counts.tolist()))
