"""The vectors that a report is about, what they are of, and what they are like."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.outputs.features import Features, load_selection
from pipeline.outputs.selection import Selection, kinds_of, runs_to_read, select_features
from pipeline.report.bands import (
    ASPECT_LABELS,
    ASPECTS,
    MEGAPIXELS,
    Bands,
    count_between,
    histogram,
    labels_between,
)
from transforms.records.arrow import FEATURES

FORMAT, WIDTH, HEIGHT = "image/format", "image/width", "image/height"
ALWAYS = (FORMAT, WIDTH, HEIGHT)
MOST_FORMATS = 12
NORM_BANDS = 24


@dataclass(frozen=True)
class Looked:
    """Attributes:
    there: how many vectors there are.
    images: how many of them are looked at; fewer are a random sample.
    runs: "" of the newest vectors of all runs, else the id of the one run that they are all of.
    formats: images by format, the commonest first.
    megapixels, aspects: of the upright stored images, by bands.
    norms: of the vectors' lengths.
    """

    there: int
    images: int
    run_id: str
    formats: Bands
    megapixels: Bands
    aspects: Bands
    norms: Bands


def load_vectors(
    output: str, run_id: str, columns: Sequence[str] | None, sample: int, seed: int
) -> tuple[Selection, Features]:
    """What there is, and up to `sample` of it, with the columns that are carried, and format and size.

    Raises:
        RunError: no such run or column.
        OutputError: a run that is needed cannot be read.
    """
    carried = kinds_of(runs_to_read(output, run_id)) if columns is None else columns
    wanted = [name for name in carried if columns is not None or name not in FEATURES]
    there = select_features(output, run_id=run_id, columns=[*wanted, *ALWAYS], keep_deleted=bool(run_id))
    return there, load_selection(there.sampled(sample, seed))


def describe(there: Selection, found: Features, run_id: str) -> Looked:
    table = found.table
    width, height = (table[name].to_numpy().astype(np.float64) for name in (WIDTH, HEIGHT))
    sane = (width > 0) & (height > 0)
    return Looked(
        there=there.count,
        images=len(found.vectors),
        run_id=run_id,
        formats=_commonest(table[FORMAT]),
        megapixels=Bands(
            labels_between(MEGAPIXELS, "MP"), tuple(count_between(width * height / 1e6, MEGAPIXELS).tolist())
        ),
        aspects=Bands(ASPECT_LABELS, tuple(count_between(width[sane] / height[sane], ASPECTS).tolist())),
        norms=histogram(norms_of(found.vectors), NORM_BANDS),
    )


def norms_of(vectors: np.ndarray) -> np.ndarray:
    """float64 [N] of float32 [N, D]: their lengths."""
    norms: np.ndarray = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    return norms


def _commonest(column: pa.ChunkedArray) -> Bands:
    counted = column.combine_chunks().value_counts().to_pylist()
    ordered = sorted(((each["counts"], str(each["values"])) for each in counted), key=lambda each: (-each[0], each[1]))
    shown, rest = ordered[:MOST_FORMATS], ordered[MOST_FORMATS:]
    if rest:
        shown.append((sum(count for count, _ in rest), f"{len(rest)} others"))
    return Bands(tuple(name for _, name in shown), tuple(count for count, _ in shown))
