"""PySpark: the binaryFile source and predict_batch_udf, whose function is made once in each Python worker."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import peer
from pyspark.ml.functions import predict_batch_udf
from pyspark.sql import SparkSession
from pyspark.sql.types import ArrayType, FloatType


def make_predict(folder: str) -> Callable[[np.ndarray], np.ndarray]:
    vectors_of = peer.load_module(folder, threads=1)  # there is a worker a core
    return lambda contents: vectors_of(np.stack([peer.decode(data) for data in contents]))


def write(output: str, rows: Iterator[Any]) -> None:
    """One shard a partition; Spark has no TFRecord sink of its own."""
    import tensorflow as tf
    from pyspark import TaskContext

    with tf.io.TFRecordWriter(f"{output}/features-{TaskContext.get().partitionId():05}.tfrecord") as writer:
        for row in rows:
            writer.write(peer.example(row.path.removeprefix("file:"), row.vector))


def main() -> None:
    options = peer.arguments()
    Path(options.output).mkdir(parents=True)
    os.environ["PYSPARK_PYTHON"] = sys.executable
    started = time.monotonic()
    cores = os.cpu_count() or 1
    session = (
        SparkSession.builder.master(f"local[{cores}]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    model, output = options.model, options.output
    embed = predict_batch_udf(lambda: make_predict(model), return_type=ArrayType(FloatType()), batch_size=peer.BATCH)
    images = session.read.format("binaryFile").load(options.images)
    images.select("path", embed("content").alias("vector")).foreachPartition(lambda rows: write(output, rows))
    session.stop()
    peer.finish(time.monotonic() - started, ["pyspark", "tensorflow"])


if __name__ == "__main__":
    main()
