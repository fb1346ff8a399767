"""Reading outputs back in tests, by the public functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline import load_features


def run_vectors(folder: str) -> tuple[list[str], np.ndarray]:
    """The uris and vectors of the run in a folder."""
    output, _, run_id = folder.replace("/runs/", "\0").partition("\0")
    found = load_features(output, run_id=run_id, columns=())
    return found.uris, found.vectors


def newest_vectors(output: str, *, keep_deleted: bool = False) -> tuple[list[str], np.ndarray]:
    """The uris of an output, and their newest vectors."""
    found = load_features(output, columns=(), keep_deleted=keep_deleted)
    return found.uris, found.vectors


def records(output: Path, run_id: str) -> dict[str, dict[str, list[Any]]]:
    """By base name, the features of a run's records as TensorFlow has them."""
    import tensorflow as tf

    found = {}
    for raw in tf.data.TFRecordDataset(tf.io.gfile.glob(f"{output}/runs/{run_id}/features-*")):
        features = tf.train.Example.FromString(raw.numpy()).features.feature
        values = {
            name: list(getattr(each, each.WhichOneof("kind")).value) if each.WhichOneof("kind") else []
            for name, each in features.items()
        }
        found[Path(values["image/uri"][0].decode()).name] = values
    return found


def newest_records(output: Path, *, keep_deleted: bool = False) -> dict[str, dict[str, list[Any]]]:
    """Of `two_nights`, the newest record of every image."""
    found = records(output, "night-1") | records(output, "night-2")
    if not keep_deleted:
        del found["04.jpg"]
    return found
