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
    """An image whose label is likely wrong.

    Attributes:
        uri: of the image.
        label: the one that it has.
        suggested: the one that it may have.
        label_probability, suggested_probability: of these two, by a probe that was not shown the image.
    """

    uri: str
    label: Label
    suggested: Label
    label_probability: float
    suggested_probability: float


def find_mistakes(
    probabilities: np.ndarray, labels: np.ndarray, names: Sequence[Label], uris: Sequence[str]
) -> tuple[Mistake, ...]:
    """The likely mistakes, the likeliest first: by how far the suggested label is the more probable one.

    After confident learning (Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset
    Labels", JAIR 70): an image is taken for one of label j when j's probability is at least the mean that it has over
    the images labelled j, and for the most probable one of several such. It is a likely mistake where that is another
    label than its own (the paper's confident joint, off the diagonal) and, beyond the paper, more probable than that.

    Args:
        probabilities: float [N, labels], each row by a probe that was not shown that image.
        labels: int [N]; each label has an image.
        names: of the labels.
        uris: N.
    """
    every = np.arange(len(labels))
    own = probabilities[every, labels]
    usual = np.bincount(labels, own) / np.bincount(labels)
    taken_for = np.where(probabilities >= usual.astype(probabilities.dtype), probabilities, -1).argmax(axis=1)
    suggested = probabilities[every, taken_for]
    (found,) = np.nonzero((taken_for != labels) & (suggested > own))
    found = found[np.argsort(own[found] - suggested[found], kind="stable")]
    return tuple(
        Mistake(uris[i], names[labels[i]], names[taken_for[i]], float(own[i]), float(suggested[i]))
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
        schema = pa.schema({**fields, "label_probability": pa.float64(), "suggested_probability": pa.float64()})
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pylist(rows, schema), sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
    else:
        data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    storage.write_bytes(storage.normalize(uri), data)
