"""Ray Data: read_images, an actor that holds the module, write_tfrecords, as its guide to batch inference does.

Tars are read by its read_webdataset.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import peer
import pyarrow as pa
import ray


class Embed:
    """Decoding has a core of its own only as long as it lasts, so the module may use all of them."""

    def __init__(self, folder: str):
        self._vectors_of = peer.load_module(folder)

    def __call__(self, batch: dict[str, Any]) -> pa.Table:
        vectors = self._vectors_of(batch["image"].astype("float32") / 255)
        # Lists, since write_tfrecords makes bytes of what Ray has as tensors.
        return pa.table({"image/uri": batch["path"], "image/embedding": list(vectors)})


def decoded(sample: dict[str, Any]) -> dict[str, Any]:
    """In the task that reads, not in the actor."""
    return {"image": peer.pixels_of(sample["jpg"]), "path": f"{sample['__key__']}.jpg"}


def images_in(folder: str) -> ray.data.Dataset:
    """Rows of `image`, uint8 [224, 224, 3], and `path`."""
    if any(Path(folder).glob("*.tar")):
        return ray.data.read_webdataset(folder, decoder=decoded)
    return ray.data.read_images(folder, size=(peer.SIZE, peer.SIZE), mode="RGB", include_paths=True)


def main() -> None:
    options = peer.arguments()
    started = time.monotonic()
    ray.init(include_dashboard=False, logging_level="error")
    ray.data.DataContext.get_current().enable_progress_bars = False
    (
        images_in(options.images)
        .map_batches(Embed, fn_constructor_args=(options.model,), batch_size=peer.BATCH, num_cpus=1, concurrency=1)
        .write_tfrecords(options.output)
    )
    ray.shutdown()
    peer.finish(time.monotonic() - started, ["ray", "tensorflow"])


if __name__ == "__main__":
    main()
