"""One corpus in several forms: loose files with a manifest, and containers, written by others' writers."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.conftest import photo

COUNT = 24
BROKEN = 7  # whose bytes are no picture
FOLDERS = ("cats", "dogs")


class Photo(NamedTuple):
    """One image of the corpus and what is said of it. `name` is its path without an extension."""

    name: str
    data: bytes
    label: int
    caption: str


def corpus(count: int = COUNT) -> list[Photo]:
    found = []
    for i in range(count):
        encoded = io.BytesIO()
        photo(50 + i, 40 + i % 5, i).save(encoded, "JPEG", quality=90)
        data = b"\xff\xd8 no picture" if i == BROKEN else encoded.getvalue()
        found.append(Photo(f"{FOLDERS[i % 2]}/{i:03}", data, i % 3, f"Bild {i}: „schön“"))
    return found


def loose(photos: Sequence[Photo], folder: Path) -> list[str]:
    """Files in folders, and a manifest of their labels: the inputs of a run."""
    rows = []
    for each in photos:
        path = folder / "loose" / f"{each.name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(each.data)
        rows.append({"uri": str(path), "cls": each.label, "caption": each.caption})
    (folder / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [str(folder / "loose"), str(folder / "labels.jsonl")]


def tar(photos: Sequence[Photo], folder: Path, mode: str = "w", name: str = "shard.tar") -> list[str]:
    """As WebDataset keeps samples."""
    with tarfile.open(folder / name, mode) as archive:
        for each in photos:
            for suffix, data in (
                ("jpg", each.data),
                ("cls", str(each.label).encode()),
                ("json", json.dumps({"caption": each.caption}).encode()),
            ):
                info = tarfile.TarInfo(f"{each.name}.{suffix}")
                info.size, info.mtime = len(data), 1_600_000_000
                archive.addfile(info, io.BytesIO(data))
    return [str(folder / name)]


def tgz(photos: Sequence[Photo], folder: Path) -> list[str]:
    return tar(photos, folder, "w:gz", "shard.tar.gz")


def tfrecord(photos: Sequence[Photo], folder: Path) -> list[str]:
    """As TensorFlow keeps examples."""
    import tensorflow as tf

    path = folder / "train.tfrecord-00000-of-00001"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for each in photos:
            values = {
                "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[each.data])),
                "cls": tf.train.Feature(int64_list=tf.train.Int64List(value=[each.label])),
                "caption": tf.train.Feature(bytes_list=tf.train.BytesList(value=[each.caption.encode()])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString())
    return [str(path)]


def zipped(photos: Sequence[Photo], folder: Path) -> list[str]:
    """Files in an archive, of which nothing else is said."""
    with zipfile.ZipFile(folder / "photos.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for each in photos:
            archive.writestr(f"{each.name}.jpg", each.data)
    return [str(folder / "photos.zip")]


def parquet(photos: Sequence[Photo], folder: Path) -> list[str]:
    """As Hugging Face keeps images: structs of bytes and path, in small groups of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [
        {"image": {"bytes": each.data, "path": f"{each.name}.jpg"}, "cls": each.label, "caption": each.caption}
        for each in photos
    ]
    pq.write_table(pa.Table.from_pylist(rows), folder / "train-00000-of-00001.parquet", row_group_size=5)
    return [str(folder / "train-00000-of-00001.parquet")]


Make = Callable[[Sequence[Photo], Path], list[str]]
FORMS: Mapping[str, Make] = {"tar": tar, "tgz": tgz, "tfrecord": tfrecord}
COLUMNS: Mapping[str, dict[str, Any]] = {"zip": {}}  # the options of a form that has none
