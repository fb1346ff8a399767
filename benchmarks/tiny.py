"""The corpora of `scaling`: images of 8x8 pixels, as loose files, beside a manifest, and in tars; kept in the cache."""

from __future__ import annotations

import csv
import io
import os
import random
import re
import tarfile
from pathlib import Path
from pydoc_data.topics import topics

from PIL import Image

from pipeline.demo.corpus import encode
from pipeline.model.cache import cached

SIDE = 8
TOGETHER = 1_000  # images of a folder, and of a tar
CAPTION_BYTES = 200
LABELS = 1_000
COLUMNS = "label,caption"


def jpeg() -> bytes:
    return encode(Image.new("RGB", (SIDE, SIDE), "teal"), "JPEG")


def loose(count: int) -> Path:
    """A folder of folders of JPEGs, links to one file a folder."""
    data = jpeg()

    def build(root: Path) -> None:
        for index in range(count):
            folder = root / f"{index // TOGETHER:04}"
            image = folder / f"{index:07}.jpg"
            if index % TOGETHER == 0:
                folder.mkdir(parents=True)
                first = image
                image.write_bytes(data)
            else:
                os.link(first, image)

    return cached(f"benchmarks/tiny-{count}", build)


def captions(count: int, seed: int = 0) -> Path:
    """A CSV manifest of the loose images, a label and a caption each, of English words as often as texts have them."""
    images = loose(count)
    words = re.findall(r"[a-z]+", " ".join(topics.values()))

    def build(root: Path) -> None:
        root.mkdir(parents=True)
        chosen = random.Random(seed)
        with open(root / "captions.csv", "w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["uri", "label", "caption"])
            for index in range(count):
                caption = " ".join(chosen.choices(words, k=CAPTION_BYTES // 3))[:CAPTION_BYTES]
                uri = images / f"{index // TOGETHER:04}" / f"{index:07}.jpg"
                rows.writerow([uri, chosen.randrange(LABELS), caption])

    return cached(f"benchmarks/captions-{count}-{seed}", build) / "captions.csv"


def tars(count: int) -> Path:
    """A folder of tars."""
    data = jpeg()

    def build(root: Path) -> None:
        root.mkdir(parents=True)
        for first in range(0, count, TOGETHER):
            with tarfile.open(root / f"{first // TOGETHER:05}.tar", "w") as archive:
                for index in range(first, min(first + TOGETHER, count)):
                    member = tarfile.TarInfo(f"{index:07}.jpg")
                    member.size = len(data)
                    archive.addfile(member, io.BytesIO(data))

    return cached(f"benchmarks/tars-{count}", build)
