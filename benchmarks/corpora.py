"""The benchmarks' images: crops of real photos, made once from a seed and kept in the cache.

`small` is what a web crawl looks like, `large` what cameras make, where decoding is most of the work; `tars` holds the
small ones again.
"""

from __future__ import annotations

import argparse
import os
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from pipeline.demo.corpus import load_photo
from pipeline.model.cache import cache_folder, cached

SIZES = {"small": (500, 375), "large": (4000, 3000)}  # width, height
COUNTS = {"small": 2000, "large": 200}
TARS = 8  # of the small images
QUALITY = 90
SEED = 20
GRAIN = 5.0  # standard deviation, of 255: a blown up picture has none, and its JPEG would be too small and too fast
# Of `pipeline.demo.corpus.PHOTOS` those that look like photographs, not like pages or drawings.
PHOTOGRAPHS = (
    "astronaut.png", "brick.png", "camera.png", "cell.png", "chelsea.png", "clock_motion.png", "coffee.png",
    "coins.png", "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png",
    "retina.jpg", "rocket.jpg",
)  # fmt: skip


def corpus(name: str, count: int = 0) -> Path:
    """The folder of a corpus, made when it is not in the cache.

    Args:
        name: a key of `SIZES`.
        count: images; 0 stands for `COUNTS[name]`. Fewer are the first ones of more.
    """
    count = count or COUNTS[name]

    def build(folder: Path) -> None:
        folder.mkdir(parents=True)
        photos = [load_photo(photo) for photo in PHOTOGRAPHS]
        for index in range(count):
            random = np.random.default_rng([SEED, index])
            picture(photos, SIZES[name], random).save(folder / f"{index:06}.jpg", quality=QUALITY)

    return cached(f"benchmarks/{name}-{count}", build)


def tars(count: int = 0) -> Path:
    """A folder of `TARS` tars that hold the corpus `small`, in order; made when it is not in the cache."""
    images = sorted(corpus("small", count).iterdir())
    together = -(-len(images) // TARS)

    def build(folder: Path) -> None:
        folder.mkdir(parents=True)
        for first in range(0, len(images), together):
            tar(images[first : first + together], folder / f"{first // together:02}.tar")

    return cached(f"benchmarks/tars-{len(images)}", build)


def tar(images: list[Path], file: Path) -> None:
    with tarfile.open(file, "w") as archive:
        for image in images:
            archive.add(image, image.name)


def names_in(folder: Path) -> set[str]:
    """The file names of the images of a folder, and of those in its tars."""
    names: set[str] = set()
    for file in folder.iterdir():
        if file.suffix == ".tar":
            with tarfile.open(file) as archive:
                names.update(archive.getnames())
        else:
            names.add(file.name)
    return names


def first_of(folder: Path, count: int) -> Path:
    """A folder of links to the first files of a corpus."""

    def build(part: Path) -> None:
        part.mkdir(parents=True)
        for file in sorted(folder.iterdir())[:count]:
            os.link(file, part / file.name)

    return cached(f"benchmarks/{folder.name}-first-{count}", build)


def picture(photos: list[Image.Image], size: tuple[int, int], random: np.random.Generator) -> Image.Image:
    """A part of one of the photos, of `size`'s aspect ratio, resized to it; mirrored or not, darker or lighter."""
    photo = photos[random.integers(len(photos))]
    share = random.uniform(0.5, 1.0) * min(photo.width / size[0], photo.height / size[1])
    width, height = size[0] * share, size[1] * share
    left, top = random.uniform(0, photo.width - width), random.uniform(0, photo.height - height)
    box = (left, top, left + width, top + height)
    part = photo.resize(size, Image.Resampling.BICUBIC, box=box)
    if random.random() < 0.5:
        part = ImageOps.mirror(part)
    part = ImageEnhance.Brightness(part).enhance(random.uniform(0.7, 1.3))
    grain = random.standard_normal((size[1], size[0], 1), np.float32) * GRAIN
    return Image.fromarray(np.clip(np.asarray(part) + grain, 0, 255).astype(np.uint8))


def folder() -> Path:
    """Where the benchmarks keep what they need and write what they throw away."""
    return cache_folder() / "benchmarks"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpora", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--count", type=int, default=0, help="images of each; 2,000 small and 200 large ones if absent")
    options = parser.parse_args()
    for name in options.corpora:
        made = corpus(name, options.count)
        sizes = [file.stat().st_size for file in made.iterdir()]
        print(f"{made}: {len(sizes):,} images, {sum(sizes) / len(sizes) / 1e3:,.0f} KB each")


if __name__ == "__main__":
    main()
