"""The map of a report: where each image lies, what it is called, which column gives it which color, who is near it."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.report.markup import told
from pipeline.report.projection import Projection
from pipeline.report.vectors import ALWAYS
from pipeline.vectors.results import shown
from transforms.inputs.containers.naming import container_of
from transforms.records.arrow import URI, VERSION

SCALE = 9999  # places are whole numbers from 0 to this
COLORS = 8  # of names; the others are of one more
MOST_NAMES = 200
BANDS = 5
NO_VALUE = "no value"
FOLDER = "folder"


@dataclass(frozen=True)
class Coloring:
    """A column as colors of points.

    Attributes:
        name: of the column.
        ordered: whether the values are bands of numbers, and not names.
        names: of the values, the commonest first, or the bands, ascending; then, where it is needed, what stands for
            all others, and for none.
        codes: int [N], which of the names each image has.
    """

    name: str
    ordered: bool
    names: tuple[str, ...]
    codes: np.ndarray


@dataclass(frozen=True)
class ImageMap:
    """Attributes:
    method: "pca" or "umap".
    places: int [N, 2], from 0 to `SCALE`.
    uris: N of them.
    colorings: the one to begin with first.
    nearest: int [N, k], rows of the nearest others, the nearest first; -1 where there are not so many.
    cosines: float [N, k], to these.
    """

    method: str
    places: np.ndarray
    uris: Sequence[str]
    colorings: Sequence[Coloring]
    nearest: np.ndarray
    cosines: np.ndarray

    def as_json(self) -> dict[str, Any]:
        """For the page: of uris what they begin with once; neighbours and their cosines in one list an image."""
        uris = [told(uri) for uri in self.uris]
        ends = zip(min(uris), max(uris), strict=False)  # what these two begin with, all do
        prefix = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], ends)).rpartition("/")[0]
        kept = self.nearest >= 0
        thousandths = np.rint(np.where(kept, self.cosines, 0) * 1000).astype(int)
        return {
            "method": self.method,
            "prefix": prefix,
            "uris": [uri[len(prefix) :] for uri in uris],
            "x": self.places[:, 0].tolist(),
            "y": self.places[:, 1].tolist(),
            "colorings": [
                {"name": each.name, "ordered": each.ordered, "names": each.names, "codes": each.codes.tolist()}
                for each in self.colorings
            ],
            "nearest": [row[there].tolist() for row, there in zip(self.nearest, kept, strict=True)],
            "cosines": [row[there].tolist() for row, there in zip(thousandths, kept, strict=True)],
        }


def draw_map(projection: Projection, table: pa.Table, nearest: np.ndarray, cosines: np.ndarray) -> ImageMap:
    """The map of N images, of which `table` has the uris and columns."""
    uris = table[URI].to_pylist()
    points = projection.points
    low, high = points.min(axis=0), points.max(axis=0)
    span = float((high - low).max()) or 1.0  # one for both, so that distances are what they are
    middle = (points - (low + high) / 2) / span
    places = np.rint((0.5 + middle * [1, -1]) * SCALE).astype(int)  # a page counts from its top
    return ImageMap(projection.method, places, uris, colorings_of(table, uris), nearest, cosines)


def colorings_of(table: pa.Table, uris: Sequence[str]) -> list[Coloring]:
    """Of the columns that are carried, the folder of each image, and what all records tell; none of one value only."""
    carried = [name for name in table.column_names if name not in (URI, VERSION, *ALWAYS)]
    found = [_coloring(name, table[name]) for name in carried]
    found.append(_named(FOLDER, [_folder_of(uri) for uri in uris]))
    found += [_coloring(name, table[name]) for name in ALWAYS]
    return [each for each in found if len(each.names) > 1] or found[-1:]


def _folder_of(uri: str) -> str:
    container = container_of(uri)
    return posixpath.basename(container) if container else posixpath.basename(posixpath.dirname(uri))


def _coloring(name: str, column: pa.ChunkedArray) -> Coloring:
    numbers = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
    if numbers and len(column.unique()) > COLORS:
        return _banded(name, column)
    return _named(name, [None if value is None else shown(value) for value in column.to_pylist()])


def _named(name: str, values: Sequence[str | None]) -> Coloring:
    counted = Counter(value for value in values if value is not None)
    ordered = sorted(counted, key=lambda value: (-counted[value], value))
    names, others = ordered[:MOST_NAMES], len(ordered) > MOST_NAMES
    number = {value: place for place, value in enumerate(names)}
    rest = {None: len(names) + others} if None in values else {}
    codes = np.array([rest[None] if value is None else number.get(value, len(names)) for value in values], int)
    told = [*names, *([f"{len(ordered) - MOST_NAMES:,} more values"] if others else []), *([NO_VALUE] if rest else [])]
    return Coloring(name, False, tuple(told), codes)


def _banded(name: str, column: pa.ChunkedArray) -> Coloring:
    """Numbers in bands of about as many images each."""
    values = column.to_numpy().astype(np.float64) if not column.null_count else _with_gaps(column)
    known = np.isfinite(values)
    edges = np.unique(np.quantile(values[known], np.linspace(0, 1, BANDS + 1)))
    codes = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, max(len(edges) - 2, 0))
    names = [f"{a:.6g} to {b:.6g}" for a, b in pairwise(edges)] or [f"{edges[0]:.6g}"]
    codes[~known] = len(names)
    return Coloring(name, True, (*names, *([] if known.all() else [NO_VALUE])), codes)


def _with_gaps(column: pa.ChunkedArray) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in column.to_pylist()], np.float64)
