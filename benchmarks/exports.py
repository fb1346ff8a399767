"""What an export costs: seconds beside those of reading the same bytes with pyarrow, and memory.

An output is made of random vectors, by the stages that write and publish runs; then each format is exported; and one of
them again after a second run of 1 % more. All in processes of their own, from a cold page cache where that may be
emptied (root). `make bench-exports` prints a table and writes benchmarks/results/exports.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np

from benchmarks import corpora
from benchmarks.measuring import Cost, machine, run_command
from transforms import PublishRun, WriteShards
from transforms.elements import EncodedBatch, ImageInfo, ImageObject
from transforms.encoding import encode_examples
from transforms.history import EMBED, SELECTED
from transforms.records import layout

FEATURES = 1664
BATCH = 500
FORMATS = ("parquet", "npy")
READ = """\
import sys, glob, pyarrow.parquet as pq
for path in glob.glob(sys.argv[1] + "/*.parquet"):
    for batch in pq.ParquetFile(path).iter_batches(1024): pass
print("read")
"""
RESULTS = Path(__file__).parent / "results" / "exports.json"


def make_run(output: str, run_id: str, number: int, first: int, count: int) -> None:
    """Publishes a run of random vectors, in shards of 256 MiB."""
    attempt = f"{number:032x}"
    model = {"handle": "random", "digest": "0" * 64, "engine": "litert", "precision": "f32", "feature_dim": FEATURES}
    at = f"2026-01-{number:02}T00:00:00.000000Z"
    head = {
        "schema_version": 1, "run_id": run_id, "started": at, "as_of": at, "identity": {}, "generation": {},
        "model": model, "preprocessing": {}, "compression": "none", "columns": [],
    }  # fmt: skip
    staging = layout.staging_folder(output, run_id, attempt)
    Path(staging).mkdir(parents=True)
    Path(layout.attempt_file(output, run_id, attempt)).write_text('{"identity": {}, "generation": {}}')
    with beam.Pipeline(runner="FnApiRunner") as graph:
        starts = graph | beam.Create(range(first, first + count, BATCH))
        staged = starts | beam.Map(made, first + count) | WriteShards(staging, 256 << 20)
        decisions = graph | "Decisions" >> beam.Create([(EMBED, count), (SELECTED, count)])
        _ = {"staged": staged, "decisions": decisions} | PublishRun(output, run_id, "none", 0.0, head, attempt)


def made(first: int, end: int) -> EncodedBatch:
    random = np.random.default_rng(first)
    numbers = range(first, min(first + BATCH, end))
    vectors = random.normal(size=(len(numbers), FEATURES)).astype(np.float32)
    infos = [ImageInfo(ImageObject(f"gs://bucket/{i:09}.jpg", 1, "1"), "JPEG", "0" * 64, 500, 375) for i in numbers]
    return EncodedBatch([info.source for info in infos], encode_examples(infos, vectors))


def run_cold(command: list[str]) -> Cost:
    with contextlib.suppress(OSError):
        os.sync()
        Path("/proc/sys/vm/drop_caches").write_text("3")
    return run_command(command, os.environ, Path.cwd())


def measure(folder: Path, count: int) -> Iterator[dict[str, Any]]:
    output = str(folder / "output")
    make_run(output, "one", 1, 0, count)
    program = str(Path(sys.executable).with_name("embed-images"))
    for format in FORMATS:
        to = str(folder / format)
        yield {"what": f"{format}, new"} | run_cold(
            [program, "export", output, "--to", to, "--format", format]
        )._asdict()
    (export,) = (path for path in (folder / "parquet").iterdir() if path.is_dir())
    yield {"what": "pyarrow reads it"} | run_cold([sys.executable, "-c", READ, str(export)])._asdict()
    make_run(output, "two", 2, count, count // 100)
    again = [program, "export", output, "--to", str(folder / "parquet"), "--format", "parquet"]
    yield {"what": "parquet, 1% more"} | run_cold(again)._asdict()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=100_000)
    options = parser.parse_args()
    corpora.folder().mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=corpora.folder()))
    try:
        results = list(measure(folder, options.vectors))
    finally:
        shutil.rmtree(folder)
    (floor,) = (result["seconds"] for result in results if result["what"].startswith("pyarrow"))
    for result in results:
        result["by_pyarrow"] = result["seconds"] / floor
        result.pop("last_line")
        print(
            f"{result['what']:<20} {result['seconds']:8.1f} s {result['by_pyarrow']:6.2f} x reading "
            f"{result['core_seconds']:8.1f} core s {result['peak_mb']:7.0f} MB"
        )
    RESULTS.write_text(json.dumps({"machine": machine(), "vectors": options.vectors, "results": results}, indent=2))


if __name__ == "__main__":
    main()
