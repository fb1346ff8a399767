"""FAISS: one index of all vectors, and what its rows are of; beside the files of `npy.py`, which it is made of.

The index holds the vectors divided by their length, so that its inner products are cosines; one of zeros stays so. Up
to `FLAT` of them it is exact (IndexFlatIP). Beyond, it is an IndexIVFFlat of 4 * sqrt(N) lists, trained on 40 vectors
for each, of which a search looks into 64. (FAISS's own guidelines ask for 4 to 16 * sqrt(N) lists and 30 to 256 vectors
each: https://github.com/facebookresearch/faiss/wiki/Guidelines-to-choose-an-index.) While it is made, an index is in
the memory of one worker: 4 bytes a value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np
import pyarrow.parquet as pq

from transforms.exports import npy
from transforms.exports.format import Format, OpenFile, Part
from transforms.exports.parquet import open_writer
from transforms.records import directions
from transforms.stores.spooling import Spools

INDEX = "index.faiss"
FLAT = 100_000
LISTS = 4  # by the root of the number of vectors
TRAINED_ON = 40  # vectors a list
PROBED = 64


def finish(paths: Sequence[str], open_file: OpenFile, spool: Spools) -> Iterator[Part]:
    """The index, and a Parquet file of uri, version and columns, a row for each of its own.

    Args:
        paths: the `.npy` files in their order.
        open_file: opens one, or what stands beside it.
    """
    import faiss

    shapes = [_shape(path, open_file) for path in paths]
    count, feature_dim = sum(rows for rows, _ in shapes), shapes[0][1] if shapes else 1
    flat = faiss.IndexFlatIP(feature_dim)
    index: faiss.Index = flat
    if count > FLAT:
        number = int(LISTS * math.sqrt(count))
        lists = faiss.IndexIVFFlat(flat, feature_dim, number, faiss.METRIC_INNER_PRODUCT)
        lists.train(_some(paths, open_file, count, number * TRAINED_ON))
        lists.nprobe = PROBED
        index = lists
    for block in _blocks(paths, open_file):
        index.add(block)
    file = spool()
    faiss.write_index(index, f"/dev/fd/{file.fileno()}")  # the same file, on Linux and macOS
    yield INDEX, file
    yield "index.uris.parquet", _rows(paths, open_file, spool)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors divided by their length in float64, float32 [N, D]; those of zeros stay so."""
    return directions.unit(vectors.astype(np.float64)).astype(np.float32)


def _shape(path: str, open_file: OpenFile) -> tuple[int, int]:
    with open_file(path) as file:
        return npy.read_header(file)


def _blocks(paths: Sequence[str], open_file: OpenFile) -> Iterator[np.ndarray]:
    for path in paths:
        with open_file(path) as file:
            yield from map(unit, npy.blocks(file))


def _some(paths: Sequence[str], open_file: OpenFile, count: int, wanted: int) -> np.ndarray:
    """Vectors spread evenly over all of them."""
    places = np.unique(np.linspace(0, count - 1, min(wanted, count)).astype(np.int64))
    found, first = [], 0
    for block in _blocks(paths, open_file):
        inside = places[(places >= first) & (places < first + len(block))] - first
        found.append(block[inside])
        first += len(block)
    return np.concatenate(found)


def _rows(paths: Sequence[str], open_file: OpenFile, spool: Spools) -> IO[bytes]:
    joined = spool()
    writer = None
    for path in paths:
        with open_file(path.removesuffix(".npy") + ".uris.parquet") as file:
            parquet = pq.ParquetFile(file)
            writer = writer or open_writer(joined, parquet.schema_arrow)
            for batch in parquet.iter_batches(npy.BLOCK):
                writer.write_batch(batch)
    if writer:
        writer.close()
    return joined


FAISS = Format("faiss", npy.write, finish=finish, package="faiss")
