"""Daft: images by its expressions, the module in a class of which each worker has one, as its guide to UDFs does."""

from __future__ import annotations

import time
from pathlib import Path

import daft
import numpy as np
import peer
import tensorflow as tf
from daft import DataType, Series, col


@daft.cls(max_concurrency=1)
class Embed:
    def __init__(self, folder: str):
        self._vectors_of = peer.load_module(folder)

    @daft.method.batch(return_dtype=DataType.list(DataType.float32()), batch_size=peer.BATCH)
    def __call__(self, images: Series) -> list[np.ndarray]:
        pixels = np.stack([np.asarray(image) for image in images.to_pylist()])
        return list(self._vectors_of(pixels.astype(np.float32) / 255))


def main() -> None:
    options = peer.arguments()
    Path(options.output).mkdir(parents=True)
    started = time.monotonic()
    embed = Embed(options.model)
    image = col("path").download().decode_image(mode="RGB").resize(peer.SIZE, peer.SIZE)
    frame = daft.from_glob_path(f"{options.images}/*.jpg").select(col("path"), embed(image).alias("vector"))
    with tf.io.TFRecordWriter(f"{options.output}/features.tfrecord") as writer:
        for row in frame.iter_rows():
            writer.write(peer.example(row["path"].removeprefix("file://"), np.asarray(row["vector"], np.float32)))
    peer.finish(time.monotonic() - started, ["daft", "tensorflow"])


if __name__ == "__main__":
    main()
