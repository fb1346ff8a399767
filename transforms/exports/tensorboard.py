"""TensorBoard's Embedding Projector: vectors, what they are of, and pictures of them; beside the files of `npy.py`.

At most `MOST_POINTS`, which a browser moves: of more, those whose uris have the least hashes, the same every night.
The files are those of tensorboard/plugins/projector/projector_config.proto. An image that cannot be fetched and decoded
any more is a grey square, as is one within a container.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from transforms.elements import ImageObject
from transforms.exports import npy
from transforms.exports.format import Format, OpenFile, Part
from transforms.images.decoding import ImageError, decode_image
from transforms.records.arrow import URI
from transforms.records.uris import share_of
from transforms.stores.fetching import FetchError, Policy, fetch_and_wait
from transforms.stores.spooling import Spools

MOST_POINTS = 10_000
PICTURE = 64  # pixels of a side: a hundred rows of them are 6,400, and browsers take 8,192
GREY = 128
FETCHES = 32
PATIENCE = Policy(retries=1, seconds=10.0, whole_seconds=60.0)
MOST_PIXELS = 100_000_000
CONFIG = """\
embeddings {{
  tensor_name: "image/embedding"
  tensor_path: "tensors.bytes"
  tensor_shape: {rows}
  tensor_shape: {feature_dim}
  metadata_path: "metadata.tsv"
  sprite {{
    image_path: "sprite.png"
    single_image_dim: {side}
    single_image_dim: {side}
  }}
}}
"""


def finish(paths: Sequence[str], open_file: OpenFile, spool: Spools) -> Iterator[Part]:
    """`tensors.bytes`, `metadata.tsv`, `sprite.png` and `projector_config.pbtxt`."""
    rows: list[Mapping[str, Any]] = []
    vectors: list[np.ndarray] = []
    most = _share_of_the_last(paths, open_file)
    for path in paths:
        found = _rows(path, open_file)
        chosen = np.flatnonzero([share_of(row[URI]) <= most for row in found])
        rows += (found[place] for place in chosen)
        with open_file(path) as file:
            vectors.append(npy.some(file, chosen))
    tensors, metadata, sprite, config = spool(), spool(), spool(), spool()
    feature_dim = vectors[0].shape[1] if vectors else 0
    for each in vectors:
        tensors.write(each.data)
    metadata.write(_metadata(rows).encode())
    _sprite([row[URI] for row in rows]).save(sprite, "PNG")
    config.write(CONFIG.format(rows=len(rows), feature_dim=feature_dim, side=PICTURE).encode())
    yield "tensors.bytes", tensors
    yield "metadata.tsv", metadata
    yield "sprite.png", sprite
    yield "projector_config.pbtxt", config


def _rows(path: str, open_file: OpenFile) -> list[dict[str, Any]]:
    with open_file(path.removesuffix(".npy") + ".uris.parquet") as file:
        rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


def _share_of_the_last(paths: Sequence[str], open_file: OpenFile) -> float:
    """The largest `share_of` among the points that are taken."""
    shares = np.concatenate([np.zeros(0), *([share_of(row[URI]) for row in _rows(path, open_file)] for path in paths)])
    if len(shares) <= MOST_POINTS:
        return 1.0
    return float(np.partition(shares, MOST_POINTS - 1)[MOST_POINTS - 1])


def _metadata(rows: Sequence[Mapping[str, Any]]) -> str:
    """A line an image. Of several columns the first line names them; tabs and line ends would make others."""
    names = list(rows[0]) if rows else [URI]
    lines = [names, *([row[name] for name in names] for row in rows)]
    return "".join("\t".join(" ".join(_text(value).split()) for value in line) + "\n" for line in lines)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return "" if value is None else value.hex() if isinstance(value, bytes) else str(value)


def _sprite(uris: Sequence[str]) -> Image.Image:
    """Pictures in rows of as many as there are rows, in the order of the points."""
    across = max(1, math.ceil(math.sqrt(len(uris))))
    canvas = Image.new("RGB", (across * PICTURE, across * PICTURE), (GREY, GREY, GREY))
    with ThreadPoolExecutor(FETCHES) as threads:
        for place, picture in enumerate(threads.map(_picture, uris)):
            if picture is not None:
                canvas.paste(Image.fromarray(picture), (place % across * PICTURE, place // across * PICTURE))
    return canvas


def _picture(uri: str) -> np.ndarray | None:
    """uint8 [PICTURE, PICTURE, 3]."""
    try:
        data = fetch_and_wait(ImageObject(uri), PATIENCE).data
        return decode_image(data, (PICTURE, PICTURE), "squash", MOST_PIXELS).pixels
    except (FetchError, ImageError):
        return None


TENSORBOARD = Format("tensorboard", npy.write, finish=finish)
