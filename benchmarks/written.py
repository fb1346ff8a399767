"""What the systems of a benchmark have written: vectors by the names of their images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.outputs.dataset import read_shard, texts_of, vectors_of


def read_vectors(output: Path) -> dict[str, np.ndarray]:
    """Of all TFRecords; their checksums are compared, and no image may have two records."""
    vectors: dict[str, np.ndarray] = {}
    records = 0
    for shard in output.rglob("*"):
        if shard.suffix in (".tfrecord", ".tar"):  # as Ray names its TFRecords
            for batch in read_shard(str(shard)):
                names = [file_name(uri) for uri in texts_of(batch, "image/uri")]
                vectors.update(zip(names, vectors_of(batch), strict=True))
                records += len(names)
    if records != len(vectors):
        raise RuntimeError(f"{output} has {records} records of {len(vectors)} images")
    return vectors


def file_name(uri: str) -> str:
    """Of an image, in a folder or in a tar: tar://NAME::TAR is ours."""
    return os.path.basename(uri.removeprefix("tar://").partition("::")[0])


def mean_cosine(expected: Mapping[str, np.ndarray], actual: Mapping[str, np.ndarray]) -> float:
    x, y = (np.stack([vectors[name] for name in sorted(vectors)]).astype(np.float64) for vectors in (expected, actual))
    return float(np.mean((x * y).sum(1) / (np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1))))
