"""Images in containers beside the same ones loose: on a local disk, and in a store at 20 ms a request.

2,000 photos of 62 KB as files, and in containers of 1,000 each. Each way is a process of its own, in turns. "Read"
reads the bytes and does nothing else with them; "decoded" is a run up to the model: listed, selected, read, decoded and
resized, by the real transforms. `make bench-fetch` prints a table and writes benchmarks/results/members.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import corpora
from benchmarks.fetch import BUCKET, counted, fetch_all, filesystem, store, store_options
from benchmarks.measuring import machine
from pipeline.graph import UNITS_HERE
from pipeline.model.cache import cached
from pipeline.options.beam import LOCAL_RUNNER
from transforms.deciding import Selection
from transforms.history import SELECTED
from transforms.inputs.containers.member import Asked
from transforms.inputs.containers.reading import read_container
from transforms.inputs.inputs import list_input
from transforms.listing import LISTED, ListImages
from transforms.loading import LoadImages
from transforms.records.examples import bytes_feature, example
from transforms.records.tfrecord import frame
from transforms.selecting import SelectImages
from transforms.stores import filesystems
from transforms.stores.fetching import Policy
from transforms.stores.filesystems import StorageOptions

COUNT, TOGETHER = 2000, 1000
SIDES = (224, 224)
RESULTS = Path(__file__).parent / "results" / "members.json"


def tfrecord(images: list[Path], file: Path) -> None:
    with open(file, "wb") as records:
        for image in images:
            records.write(frame(example(bytes_feature("image/encoded", image.read_bytes()))))


def parquet(images: list[Path], file: Path) -> None:
    """As Hugging Face keeps images, 100 in a group of rows."""
    rows = [{"image": {"bytes": image.read_bytes(), "path": image.name}} for image in images]
    pq.write_table(pa.Table.from_pylist(rows), file, row_group_size=100)


def zipped(images: list[Path], file: Path) -> None:
    with zipfile.ZipFile(file, "w") as archive:
        for image in images:
            archive.write(image, image.name)


WRITERS: Mapping[str, Callable[[list[Path], Path], None]] = {
    "tar": corpora.tar,
    "tfrecord": tfrecord,
    "parquet": parquet,
    "zip": zipped,
}
FORMS = ("loose", *WRITERS)


def containers(form: str, count: int) -> Path:
    """A folder of the corpus in containers."""
    images = sorted(corpora.corpus("small", count).iterdir())

    def build(folder: Path) -> None:
        folder.mkdir(parents=True)
        for first in range(0, count, TOGETHER):
            WRITERS[form](images[first : first + TOGETHER], folder / f"{first // TOGETHER:03}.{form}")

    return cached(f"benchmarks/{form}-{count}", build)


def folder_of(form: str, count: int) -> Path:
    return corpora.corpus("small", count) if form == "loose" else containers(form, count)


def read(text: str, options: StorageOptions) -> int:
    """Bytes of all images of an input; containers one after the other, as one worker reads them."""
    filesystems.configure(options)
    rows = list(list_input(text))
    if text.endswith("/"):
        return fetch_all(rows)
    asked = Asked()
    return sum(
        len(image.content)
        for row in rows
        for image in read_container(row, asked, Policy(), lambda *_: "")
        if isinstance(image.content, bytes)
    )


def decoded(text: str, options: StorageOptions) -> int:
    """Bytes of the pixels of all images of an input."""
    with tempfile.NamedTemporaryFile() as total:
        path = Path(total.name)
        with beam.Pipeline(runner=LOCAL_RUNNER) as graph:
            rows = {"listed": (graph | beam.Create([text]) | ListImages(storage_options=options))[LISTED]}
            selected = (rows | SelectImages(Selection([text]), UNITS_HERE, options))[SELECTED]
            loaded, _ = selected | LoadImages(SIDES, storage_options=options)
            sizes = loaded | beam.Map(lambda batch: sum(pixels.nbytes for _, pixels in batch))
            _ = sizes | beam.CombineGlobally(sum) | beam.Map(lambda size: path.write_text(str(size)))
        return int(path.read_text())


WORK: Mapping[str, Callable[[str, StorageOptions], int]] = {"read": read, "decoded": decoded}


def work_one(work: str, text: str, options: StorageOptions) -> None:
    """Prints what was worked on, and its seconds and core seconds, without the imports; as JSON."""
    import gcsfs  # noqa: F401 -- so that its import is not counted

    started, before = time.monotonic(), time.process_time()
    size = WORK[work](text, options)
    print(json.dumps([size, time.monotonic() - started, time.process_time() - before]))


def measure(work: str, form: str, place: str, proxy: int, count: int) -> dict[str, Any]:
    """Of one way, in a process of its own."""
    folder = f"gs://{BUCKET}/{form}" if place == "store" else str(folder_of(form, count))
    text = f"{folder}/" if form == "loose" else f"{folder}/*.{form}"
    options = store_options(proxy) if place == "store" else {}
    command = [sys.executable, "-m", "benchmarks.members", "--one", work, text, json.dumps(options)]
    counted(proxy)
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    if output.returncode:
        raise RuntimeError(f"{work}, {form}, {place} failed:\n{output.stderr[-2000:]}")
    size, seconds, core_seconds = json.loads(output.stdout)
    images = sum(file.stat().st_size for file in corpora.corpus("small", count).iterdir())
    if size != (images if work == "read" else count * 3 * SIDES[0] * SIDES[1]):
        raise RuntimeError(f"{work}, {form}, {place}: {size:,} bytes are not those of {count:,} images")
    requests, answered = counted(proxy)
    return {"seconds": seconds, "core_seconds": core_seconds, "requests": requests, "bytes": answered}


def upload(port: int, form: str, count: int) -> None:
    filesystem(port).put(f"{folder_of(form, count)}/", f"{BUCKET}/{form}/", recursive=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=COUNT)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency_ms", type=float, default=20)
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        work, text, stores = options.one
        work_one(work, text, json.loads(stores))
        return
    ways = [(place, work, form) for place in ("disk", "store") for work in WORK for form in options.forms]
    results: dict[tuple[str, str, str], list[dict[str, Any]]] = {way: [] for way in ways}
    with store(options.latency_ms) as (direct, proxy):
        for form in options.forms:
            upload(direct, form, options.images)
        for _ in range(options.rounds):
            for place, work, form in ways:
                results[place, work, form].append(measure(work, form, place, proxy, options.images))
    report(results, options)


def report(results: Mapping[tuple[str, str, str], list[dict[str, Any]]], options: argparse.Namespace) -> None:
    """A row a way; `by loose` is how much faster it is than loose files were in the same round, the median of these."""
    names = ("images/s", "least", "most", "by loose", "core-ms", "requests", "MB")
    print(f"{'':<5} {'':<8} {'':<9}", *(f"{name:>9}" for name in names))
    for (place, work, form), rounds in results.items():
        rates = [options.images / each["seconds"] for each in rounds]
        loose = results.get((place, work, FORMS[0]), rounds)
        ratio = statistics.median(one["seconds"] / own["seconds"] for one, own in zip(loose, rounds, strict=True))
        core = statistics.median(each["core_seconds"] for each in rounds) / options.images * 1000
        print(
            f"{place:<5} {work:<8} {form:<9} {statistics.median(rates):9.0f} {min(rates):9.0f} {max(rates):9.0f}",
            f"{ratio:9.2f} {core:9.3f} {rounds[-1]['requests']:9,} {rounds[-1]['bytes'] / 1e6:9.0f}",
        )
    RESULTS.parent.mkdir(exist_ok=True)
    ways = [
        {"place": place, "work": work, "form": form, "rounds": rounds}
        for (place, work, form), rounds in results.items()
    ]
    content = {"machine": machine(), "images": options.images, "latency_ms": options.latency_ms, "ways": ways}
    RESULTS.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
