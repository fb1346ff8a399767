"""The formats of exports by their names."""

from __future__ import annotations

from transforms.exports.faiss import FAISS
from transforms.exports.format import Format
from transforms.exports.npy import NPY
from transforms.exports.parquet import PARQUET
from transforms.exports.tensorboard import TENSORBOARD
from transforms.exports.vertex import VERTEX

# No files but points of a collection: `exports/qdrant.py`, which needs the package, and `upserting.py`.
QDRANT = Format("qdrant", by_changes=True, package="qdrant_client")

FORMATS = {each.name: each for each in (PARQUET, NPY, FAISS, TENSORBOARD, VERTEX, QDRANT)}
