"""tf.data: files read, decoded and resized in parallel ahead of the module, as TensorFlow's guide to it does."""

from __future__ import annotations

import time
from pathlib import Path

import peer
import tensorflow as tf


def main() -> None:
    options = peer.arguments()
    Path(options.output).mkdir(parents=True)
    started = time.monotonic()
    vectors_of = peer.load_module(options.model)

    def load(path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3)
        # Antialiased, as Pillow resizes: without, vectors of large images are others.
        return path, tf.image.resize(image, (peer.SIZE, peer.SIZE), antialias=True) / 255

    batches = (
        tf.data.Dataset.list_files(f"{options.images}/*.jpg", shuffle=False)
        .map(load, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(peer.BATCH)
        .prefetch(tf.data.AUTOTUNE)
    )
    with tf.io.TFRecordWriter(f"{options.output}/features.tfrecord") as writer:
        for paths, images in batches:
            for path, vector in zip(paths.numpy(), vectors_of(images), strict=True):
                writer.write(peer.example(path.decode(), vector))
    peer.finish(time.monotonic() - started, ["tensorflow"])


if __name__ == "__main__":
    main()
