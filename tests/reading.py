"""Reading outputs back in tests, by the public functions."""

from __future__ import annotations

import numpy as np

from pipeline import load_features


def run_vectors(folder: str) -> tuple[list[str], np.ndarray]:
    """The uris and vectors of the run in a folder."""
    output, _, run_id = folder.replace("/runs/", "\0").partition("\0")
    found = load_features(output, run_id=run_id, columns=())
    return found.uris, found.vectors


def newest_vectors(output: str, *, drop_deleted: bool = False) -> tuple[list[str], np.ndarray]:
    """The uris of an output, and their newest vectors."""
    found = load_features(output, columns=(), drop_deleted=drop_deleted)
    return found.uris, found.vectors
