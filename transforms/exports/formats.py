"""The formats of exports by their names."""

from __future__ import annotations

from transforms.exports.faiss import FAISS
from transforms.exports.npy import NPY
from transforms.exports.parquet import PARQUET
from transforms.exports.tensorboard import TENSORBOARD
from transforms.exports.vertex import VERTEX

FORMATS = {each.name: each for each in (PARQUET, NPY, FAISS, TENSORBOARD, VERTEX)}
