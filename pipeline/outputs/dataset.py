"""Reading an output back: its runs, their manifests, records, ledgers and dead letters."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from transforms.records import documents, layout
from transforms.records.tfrecord import open_shard, read_records
from transforms.stores import folders, storage

BATCH_RECORDS = 1024
READERS = 16  # a year of nights is 365 small files


def run_ids(output: str) -> list[str]:
    """The ids of the published runs of an output, in the order of names; what can be no run's name is none."""
    runs = storage.join(output, layout.RUNS)
    names = [name for name, _ in folders.entries(runs) if re.fullmatch(layout.RUN_ID, name)]
    with ThreadPoolExecutor(READERS) as readers:
        published = readers.map(lambda name: storage.exists(storage.join(runs, name, layout.SUCCESS)), names)
        return sorted(name for name, found in zip(names, published, strict=True) if found)


def read_manifest(folder: str) -> dict[str, Any]:
    """The run.json of a run's folder.

    Raises:
        OutputError: it is not what runs write.
    """
    return documents.read_manifest(folder, posixpath.basename(folder.rstrip("/")))


def read_shard(uri: str) -> Iterator[pa.RecordBatch]:
    """The tf.Examples of a shard as Arrow batches, one list column a feature.

    Raises:
        DamagedRecordError: a record whose checksum does not hold.
    """
    decoder = ExamplesToRecordBatchDecoder()
    with open_shard(uri) as file:
        records = read_records(file)
        while batch := list(islice(records, BATCH_RECORDS)):
            yield decoder.DecodeBatch(batch)


def vectors_of(batch: pa.RecordBatch) -> np.ndarray:
    """The embeddings of a batch whose vectors are of one length: float32 [records, features]."""
    flat = batch.column("image/embedding").flatten().to_numpy(zero_copy_only=False)
    vectors: np.ndarray = flat.reshape(batch.num_rows, -1)
    return vectors


def texts_of(batch: pa.RecordBatch, feature: str) -> list[str]:
    """A text feature of each record of a batch."""
    return [value.decode() for value in batch.column(feature).flatten().to_pylist()]


def read_ledger(uri: str) -> pa.Table:
    return pq.read_table(pa.BufferReader(storage.read_bytes(uri)))


def read_dead_letters(uri: str, limit: int | None = None) -> list[dict[str, Any]]:
    """Raises TooLargeError above `limit` bytes."""
    return [json.loads(line) for line in storage.read_bytes(uri, limit).splitlines()]
