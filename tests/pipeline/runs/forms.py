"""One corpus in several forms: loose files with a manifest, and containers, written by others' writers."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

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
        rows.append({"uri": f"loose/{each.name}.jpg", "cls": each.label, "caption": each.caption})
    (folder / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [str(folder / "loose"), str(folder / "labels.jsonl")]


def tar(photos: Sequence[Photo], folder: Path, name: str = "shard.tar") -> list[str]:
    """As WebDataset writes samples; its name tells it whether to pack them."""
    import webdataset

    with webdataset.TarWriter(str(folder / name), mtime=1_600_000_000) as writer:
        for each in photos:
            sample = {"__key__": each.name, "jpg": each.data, "cls": each.label, "json": {"caption": each.caption}}
            writer.write(sample)
    return [str(folder / name)]


def tgz(photos: Sequence[Photo], folder: Path) -> list[str]:
    return tar(photos, folder, "shard.tar.gz")


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
    import datasets

    path = folder / "train-00000-of-00001.parquet"
    rows = {
        "image": [{"bytes": each.data, "path": f"{each.name}.jpg"} for each in photos],
        "cls": [each.label for each in photos],
        "caption": [each.caption for each in photos],
    }
    kinds = {"image": datasets.Image(), "cls": datasets.Value("int64"), "caption": datasets.Value("string")}
    datasets.Dataset.from_dict(rows, features=datasets.Features(kinds)).to_parquet(str(path), batch_size=5)
    return [str(path)]


Make = Callable[[Sequence[Photo], Path], list[str]]
FORMS: Mapping[str, Make] = {"tar": tar, "tgz": tgz, "tfrecord": tfrecord, "parquet": parquet, "zip": zipped}
LABELLED = [form for form in FORMS if form != "zip"]  # which says nothing of its images but their folders
