"""What an export costs: seconds beside those of copying the same bytes, and of reading them with pyarrow, and memory.

An output is made of random vectors, by the stages that write and publish runs; then each format is exported, the
records copied by cp and by dd, and the Parquet read, in turns; and one is exported again after a second run of 1 %
more. All in processes of their own, from a cold page cache where that may be emptied (root); what writes, until it is
on the disk.
`make bench-exports` prints a table and writes benchmarks/results/exports.json.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
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
READING = "pyarrow reads it"
COPYING = "cp of the records"
PAST_THE_CACHE = "dd past the cache"
DD = 'for file in "$0"/runs/*/*; do dd if="$file" of="$1/${file##*/}" bs=4M iflag=direct oflag=direct status=none; done'
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


def written(command: list[str]) -> list[str]:
    """A command that ends when all that it wrote is on the disk."""
    return ["sh", "-c", 'last=$("$@") && sync && echo "$last"', "sh", *command]


def measure(folder: Path, count: int, rounds: int) -> Iterator[dict[str, Any]]:
    """What each command cost, in turns, so that what else the machine does meets them alike."""
    output = str(folder / "output")
    make_run(output, "one", 1, 0, count)
    program = str(Path(sys.executable).with_name("embed-images"))

    def export(format: str, what: str) -> dict[str, Any]:
        given = [program, "export", output, "--to", str(folder / format), "--format", format]
        return {"what": f"{format}, {what}"} | run_cold(written(given))._asdict()

    def copy(what: str, command: list[str]) -> dict[str, Any]:
        copied = folder / "copied"
        copied.mkdir()
        cost = run_cold(written([*command, output, str(copied)]))
        shutil.rmtree(copied)
        return {"what": what} | cost._asdict()

    def read() -> dict[str, Any]:
        (parquet,) = (path for path in (folder / "parquet").iterdir() if path.is_dir())
        return {"what": READING} | run_cold([sys.executable, "-c", READ, str(parquet)])._asdict()

    for number in range(rounds):
        for format in FORMATS:
            shutil.rmtree(folder / format, ignore_errors=True)
            yield {"round": number} | export(format, "new")
            yield {"round": number} | read()
        yield {"round": number} | copy(COPYING, ["cp", "-rv"])
        yield {"round": number} | copy(PAST_THE_CACHE, ["sh", "-c", f"{DD}; echo done"])
    make_run(output, "two", 2, count, count // 100)
    yield {"round": rounds} | export("parquet", "1% more")


def by_what(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Medians over the rounds; of the ratios as well, each to what pyarrow, or cp, took in the same round."""

    def ratio(result: Mapping[str, Any], name: str, to: str) -> float:
        others = [other for other in results if other["what"] == to]
        beside = [other[name] for other in others if other["round"] == result["round"]]
        return float(result[name] / statistics.median(beside or [other[name] for other in others]))

    rows = []
    for what in dict.fromkeys(result["what"] for result in results):
        found = [result for result in results if result["what"] == what]
        names = ("seconds", "core_seconds")
        costs = {name: statistics.median(result[name] for result in found) for name in names}
        ratios = {
            f"{name}_by_{to}": statistics.median(ratio(result, name, whom) for result in found)
            for name in names
            for to, whom in (("pyarrow", READING), ("cp", COPYING))
        }
        rows.append({"what": what, **costs, **ratios, "peak_mb": max(result["peak_mb"] for result in found)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where they are made, a new one below it (of the cache)")
    options = parser.parse_args()
    around = Path(options.folder) if options.folder else corpora.folder()
    around.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=around))
    results = []
    try:
        for result in measure(folder, options.vectors, options.rounds):
            print(f"{result['what']:<20} {result['seconds']:8.1f} s", file=sys.stderr, flush=True)
            results.append(result)
    finally:
        shutil.rmtree(folder)
    rows = by_what(results)
    for row in rows:
        print(
            f"{row['what']:<20} {row['seconds']:8.1f} s {row['seconds_by_pyarrow']:6.2f} x reading "
            f"{row['seconds_by_cp']:6.2f} x copying {row['core_seconds']:8.1f} core s "
            f"{row['core_seconds_by_pyarrow']:6.2f} x {row['peak_mb']:7.0f} MB"
        )
    RESULTS.write_text(json.dumps({"machine": machine(), "vectors": options.vectors, "results": rows}, indent=2))


if __name__ == "__main__":
    main()
