"""embed-images evaluate: the story. Vectors are read, looked at by themselves, and held against labels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipeline.errors import RunError
from pipeline.evaluation.geometry import Geometry, measure_geometry
from pipeline.evaluation.labels import Labels, check_column, read_labels
from pipeline.evaluation.mistakes import Mistake, find_mistakes
from pipeline.evaluation.neighbours import NEIGHBOURS, Nearest, NeighbourFigures, find_nearest, measure_neighbours
from pipeline.evaluation.probe import ProbeFigures, check_installed, measure_probe, predict_held_out
from pipeline.outputs.features import Features, load_selection
from pipeline.outputs.selection import select_features

SAMPLE = 50_000


@dataclass(frozen=True)
class LabelFigures:
    """Figures by a column.

    Attributes:
        column, group_column: the labels, and what keeps images together; "" for no groups.
        kind: of the labels: "int64" or "string".
        images, labels: how many were used.
        without_value, images_left_out, labels_left_out: as of `Labels`.
        chance: the share of the most frequent label: the accuracy of giving it to all.
        neighbours, probe: None where they are refused.
        mistakes: images that the probe takes for ones of another label, the likeliest mistakes first.
        refused: why, in a sentence; "" where they are there.
    """

    column: str
    group_column: str
    kind: str
    images: int
    labels: int
    without_value: int
    images_left_out: int
    labels_left_out: int
    chance: float = 0.0
    neighbours: NeighbourFigures | None = None
    probe: ProbeFigures | None = None
    mistakes: tuple[Mistake, ...] = ()
    refused: str = ""


@dataclass(frozen=True)
class Evaluation:
    """What was found of the vectors of an output.

    Attributes:
        output, run_id: of which vectors; "" for the newest of all runs, without images that are gone.
        seed: of the sample and of the probe's cut.
        images_there: how many vectors there are; where it is more than `geometry.images`, these are a sample of them.
        geometry: figures that need no labels.
        by_label: figures by a column; None where none was named.
    """

    output: str
    run_id: str
    seed: int
    images_there: int
    geometry: Geometry
    by_label: LabelFigures | None


def evaluate_output(
    output: str,
    *,
    run_id: str = "",
    column: str = "",
    group_column: str = "",
    sample: int = SAMPLE,
    seed: int = 0,
) -> Evaluation:
    """Evaluates the newest vector of every image that is not gone, or the vectors of one run.

    Work grows with images x images x dimensions; memory is some four times the vectors that are looked at, and 4 bytes
    times images times labels.

    Args:
        run_id: of one run; "" for the newest of all.
        column: the feature that holds labels: one int64 or one text of an image. Needs scikit-learn.
        group_column: one whose images of the same value are never held against each other, such as crops of a photo.
        sample: of more images than this, one or more, so many are taken at random.
        seed: of that sample and of the probe's cut.

    Raises:
        RunError: no such run or column, a column of other kinds, no images, or no scikit-learn.
        OutputError: a run that is needed cannot be read.
    """
    if group_column and not column:
        raise RunError("groups are of use for figures by labels only: name the column of these, too")
    if column:
        check_installed()
    columns = [name for name in (column, group_column) if name]
    there = select_features(output, run_id=run_id, columns=columns)
    for name in columns:
        check_column(there.schema, name, output)
    if not there.count:
        raise RunError(f"{output}: no vectors to evaluate; `embed-images runs` lists what is there")
    found = load_selection(there.sampled(sample, seed))
    if not column:
        nearest = find_nearest(found.vectors, 0)
        return Evaluation(output, run_id, seed, there.count, measure_geometry(found.vectors, nearest.closest), None)
    labels = read_labels(found.table[column], found.table[group_column] if group_column else None)
    among = None if len(labels.rows) == len(found.vectors) else labels.rows
    nearest = find_nearest(found.vectors, NEIGHBOURS, among, labels.groups)
    geometry = measure_geometry(found.vectors, nearest.closest)
    about = LabelFigures(
        column=column,
        group_column=group_column,
        kind=str(found.table[column].type),
        images=len(labels.rows),
        labels=len(labels.names),
        without_value=labels.without_value,
        images_left_out=labels.images_left_out,
        labels_left_out=labels.labels_left_out,
        refused=_refusal(labels, group_column),
    )
    by_label = about if about.refused else _measured(about, found, labels, nearest, seed)
    return Evaluation(output, run_id, seed, there.count, geometry, by_label)


def _measured(about: LabelFigures, found: Features, labels: Labels, nearest: Nearest, seed: int) -> LabelFigures:
    """With the figures of two labels or more."""
    vectors = found.vectors if len(labels.rows) == len(found.vectors) else found.vectors[labels.rows]
    uris = found.table["uri"].take(labels.rows).to_pylist()
    predictions = predict_held_out(vectors, labels.codes, labels.groups, seed)
    return replace(
        about,
        chance=float(np.bincount(labels.codes).max() / len(labels.codes)),
        neighbours=measure_neighbours(nearest.images, labels.codes, labels.groups),
        probe=measure_probe(predictions, labels.codes, labels.groups, labels.names),
        mistakes=find_mistakes(predictions.probabilities, labels.codes, labels.names, uris),
    )


def _refusal(labels: Labels, group_column: str) -> str:
    """Why there is nothing to be told apart, of fewer than two labels; "" of two or more."""
    if len(labels.names) > 1:
        return ""
    several = f"2 groups ({group_column!r})" if group_column else "2 images"
    left_out = f"{labels.images_left_out:,} of labels in fewer than {several} and {labels.without_value:,} without one"
    if not labels.names:
        return f"no label is in {several}: there are {left_out}; name a column that several images share"
    return (
        f"all of the {len(labels.rows):,} images have the label {labels.names[0]!r}, besides {left_out}: there is"
        " nothing to tell apart; name a column of two labels or more"
    )
