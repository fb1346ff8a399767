"""Labels that are likely mistakes: images that look like those of another label, and not like those of their own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.evaluation.labels import Label
from transforms.stores import storage

PARQUET, JSON_LINES = (".parquet",), (".jsonl", ".ndjson")


@dataclass(frozen=True)
class Mistake:
    """An image that a probe, which was not shown it, takes for one of another label than it has.

    Attributes:
        uri: of the image.
        label: the one that it has.
        suggested: the most probable one.
        label_probability, suggested_probability: of these two.
        confident: whether the suggested one is as probable as it usually is where it is the label, see `find_mistakes`.
    """

    uri: str
    label: Label
    suggested: Label
    label_probability: float
    suggested_probability: float
    confident: bool


def find_mistakes(
    probabilities: np.ndarray, labels: np.ndarray, names: Sequence[Label], uris: Sequence[str]
) -> tuple[Mistake, ...]:
    """Each image whose label is not the most probable one, by how much less probable it is, the most first.

    After confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset
    Labels", JAIR 70): the order is that of their margin; `confident` are those of their confident joint, off its
    diagonal, where the probability of the suggested label is at least its mean over the images that have this label.

    Args:
        probabilities: float [N, labels], each row by a probe that was not shown that image.
        labels: int [N]; each label has an image.
        names: of the labels.
        uris: N.
    """
    every = np.arange(len(labels))
    own = probabilities[every, labels]
    usual = np.bincount(labels, own) / np.bincount(labels)
    suggested = probabilities.argmax(axis=1)
    probability = probabilities[every, suggested]
    (found,) = np.nonzero(probability > own)
    found = found[np.argsort(own[found] - probability[found], kind="stable")]
    return tuple(
        Mistake(
            uri=uris[i],
            label=names[labels[i]],
            suggested=names[suggested[i]],
            label_probability=float(own[i]),
            suggested_probability=float(probability[i]),
            confident=bool(probability[i] >= usual[suggested[i]]),
        )
        for i in found.tolist()
    )


def write_mistakes(mistakes: Sequence[Mistake], kind: str, uri: str) -> None:
    """As Parquet or as JSON Lines, by the name (`PARQUET`, `JSON_LINES`); a local path or one in a store.

    Args:
        kind: Arrow's name of the type of labels.
    """
    rows = [asdict(mistake) for mistake in mistakes]
    if uri.endswith(PARQUET):
        label = pa.type_for_alias(kind)
        fields = {"uri": pa.string(), "label": label, "suggested": label}
        numbers = {"label_probability": pa.float64(), "suggested_probability": pa.float64(), "confident": pa.bool_()}
        schema = pa.schema({**fields, **numbers})
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema), sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
    else:
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    storage.write_bytes(storage.normalize(uri), data)
