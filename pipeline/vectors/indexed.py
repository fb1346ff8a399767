"""Which vectors of an export may be near to a query, by its FAISS index; most of them, when the index is one of lists.

An index that is flat holds the very vectors, divided by their length, that lie beside it: looking through these costs
the same, is exact, and needs neither FAISS nor the memory for it.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pipeline.console.logs import logger
from pipeline.errors import OutputError, RunError
from pipeline.vectors.scoring import error_of
from transforms.exports.faiss import INDEX, unit
from transforms.stores import filesystems, storage
from transforms.stores.spooling import naming, open_spool
from transforms.stores.streaming import open_current

# How FAISS begins the files of IndexIVFFlat, IndexFlatIP and IndexFlat (faiss/impl/index_write.cpp).
LISTS, FLAT = b"IwFl", (b"IxFI", b"IxFl")


def has_lists(folder: str) -> bool:
    """Whether the index of an export is one of lists, of which a search looks into some.

    Raises:
        OutputError: it is no index that exports write.
    """
    uri = storage.join(folder, INDEX)
    try:
        with open_current(uri) as file:
            kind = file.read(4)
    except FileNotFoundError:
        raise OutputError(f"{uri}: it is not there, though the export is one for FAISS") from None
    if kind != LISTS and kind not in FLAT:
        raise OutputError(f"{uri}: no index that exports write")
    return kind == LISTS


def candidates(folder: str, query: np.ndarray, k: int, count: int) -> np.ndarray:
    """The places of the k nearest of the vectors in the lists that are looked into, and of all that may be as near.

    Args:
        query: float32 [features].
        count: of the vectors of the export; where the lists hold fewer than k, more of them are looked into.

    Returns:
        int64 in ascending order.

    Raises:
        RunError: FAISS is not installed.
        OutputError: the index is not of these vectors, or none.
    """
    with _opened(folder) as index:
        if (index.ntotal, index.d) != (count, len(query)):
            raise OutputError(f"{storage.join(folder, INDEX)}: it is not of the {count:,} vectors that lie beside it")
        direction = unit(query[None])
        scores, found = index.search(direction, min(k, count))
        while (found < 0).any() and index.nprobe < index.nlist:
            index.nprobe = min(4 * index.nprobe, index.nlist)
            scores, found = index.search(direction, min(k, count))
        if index.nprobe < index.nlist:
            looked = (index.nprobe, index.nlist)
            logger.info("approximate: the index looks into %d of its %d lists; --exact looks at all vectors", *looked)
        if not (there := found >= 0).any():
            return np.zeros(0, np.int64)
        least = float(scores[there].min()) - 2 * error_of(len(query))
        _, _, near = index.range_search(direction, least)
        return np.unique(np.concatenate([near, found[there]]).astype(np.int64))


@contextmanager
def _opened(folder: str) -> Iterator[Any]:
    """An index whose lists stay on the disk; of a store it is spooled there first."""
    try:
        with warnings.catch_warnings(action="ignore"):  # of SWIG, on the import
            import faiss
    except ImportError:
        raise RunError(
            f"{folder}: the package faiss is not installed; `pip install 'embed-images[faiss]'` brings it, and --exact "
            f"needs none"
        ) from None
    uri = storage.join(folder, INDEX)
    with open_current(uri) as file, open_spool() as spool:
        if not filesystems.is_local(uri):
            with naming():
                shutil.copyfileobj(file, spool, 1 << 20)
                spool.flush()
            file = spool
        try:
            yield faiss.read_index(f"/dev/fd/{file.fileno()}", faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        except RuntimeError as e:
            raise OutputError(f"{uri}: no index that this FAISS reads ({str(e).splitlines()[0][:200]})") from None
