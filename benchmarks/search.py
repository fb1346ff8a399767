"""Searching exports, beside reading the same bytes: NumPy's np.load and a matrix product, pyarrow's read and one.

Vectors at random, as float32, in files as `embed-images export` writes them. Each way is a process of its own:
cold, its files dropped from the system's cache where that can be asked for, and warm, once more in the same process.
`make bench-search` prints a table and writes benchmarks/results/search.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measuring import machine, run_command
from pipeline import search_output
from transforms.exports.format import Part, rows_at_once
from transforms.exports.formats import FORMATS
from transforms.records import arrow, exports, layout
from transforms.stores.spooling import Spools, finished

RESULTS = Path(__file__).parent / "results" / "search.json"
SHARD_ROWS = 38_000
K = 10
TIME = "2026-01-01T00:00:00Z"
# What a run and an export say alike, where nothing is embedded.
MADE: Mapping[str, Any] = {
    "schema_version": 1,
    "generation": {"model": "0" * 64},
    "preprocessing": {},
    "columns": [],
    "started": TIME,
    "finished": TIME,
}


def save_run(output: Path, features: int) -> dict[str, Any]:
    """A published run without shards, for exports that are made without one; gives its manifest."""
    counts = dict.fromkeys(
        ["listed", "unchanged", "failed_before", "outside", "over_limit", "embedded", "failed", "duplicates"], 0
    )
    model = {"handle": "none", "digest": "0" * 64, "engine": "litert", "precision": "f32", "feature_dim": features}
    files: dict[str, list[Any]] = {name: [] for name in ("shards", "dead_letters", "deleted", "ledgers")}
    manifest = {**MADE, **files, "run_id": "made", "attempt": "0" * 32, "as_of": TIME, "identity": {}, "model": model,
                "counts": {**counts, "failed_by_error": {}, "deleted": 0}, "compression": "none"}  # fmt: skip
    folder = output / "runs/made"
    folder.mkdir(parents=True)
    (folder / layout.MANIFEST).write_text(json.dumps(manifest))
    (folder / layout.SUCCESS).touch()
    return manifest


def save_export(
    to: Path,
    format: str,
    shards: Iterable[tuple[int, Iterable[pa.RecordBatch]]],
    schema: pa.Schema,
    runs: Sequence[Mapping[str, Any]],
) -> Path:
    """An export as `embed-images export` writes it, a file of each shard; gives its folder.

    Args:
        shards: of each how many rows it has, and these.
        schema: of the batches, `arrow.schema_of`.
        runs: manifests of those that are exported, the newest last.
    """
    folder = to / f"{runs[-1]['run_id']}-00000000"
    folder.mkdir(parents=True)
    entries: list[dict[str, Any]] = []

    def save(parts: Iterable[Part], stem: str, records: int) -> None:
        for name, part in parts:
            file, size, crc32c = finished(part)
            file.seek(0)
            with open(folder / f"{stem}{name}", "wb") as copy:
                while data := file.read(1 << 24):
                    copy.write(data)
            entries.append({"path": f"{stem}{name}", "records": records, "bytes": size, "crc32c": crc32c})

    @contextmanager
    def opened(path: str) -> Iterator[IO[bytes]]:
        with open(folder / path, "rb") as file:
            yield file

    for number, (rows, batches) in enumerate(shards):
        with Spools() as spools:
            save(FORMATS[format].write(batches, schema, rows, spools), f"{exports.STEM}{number:024x}", rows)
    if finish := FORMATS[format].finish:
        paths = [entry["path"] for entry in entries if exports.holds_vectors(entry["path"])]
        with Spools() as spools:
            save(finish(paths, opened, spools), "", 0)
    signed = [f"{run['run_id']} {run['attempt']}" for run in runs]
    known = {name: runs[-1][name] for name in ("schema_version", "generation", "preprocessing", "model", "columns")}
    manifest = {**known, "export": folder.name, "format": format, "runs": [run["run_id"] for run in runs],
                "identity": {"of": {"runs": signed}, "base": ""}, "complete": True, "files": entries}  # fmt: skip
    (folder / exports.MANIFEST).write_text(json.dumps(manifest))
    (folder / layout.SUCCESS).touch()
    (to / exports.CURRENT).write_text(folder.name)
    return folder


def shards(count: int, features: int) -> Iterator[tuple[int, Iterator[pa.RecordBatch]]]:
    """Vectors at random, the same for the same arguments."""
    random = np.random.default_rng(0)
    schema = arrow.schema_of(features, [])

    def batches(first: int, end: int) -> Iterator[pa.RecordBatch]:
        for start in range(first, end, rows_at_once(features)):
            size = min(rows_at_once(features), end - start)
            values = pa.array(random.standard_normal(size * features, np.float32))
            vectors = pa.FixedSizeListArray.from_arrays(values, features).cast(schema.field(arrow.EMBEDDING).type)
            uris = pa.array([uri_of(start + i) for i in range(size)])
            yield pa.RecordBatch.from_arrays([uris, pa.array(["1"] * size), vectors], schema=schema)

    for first in range(0, count, SHARD_ROWS):
        end = min(first + SHARD_ROWS, count)
        yield end - first, batches(first, end)


def uri_of(row: int) -> str:
    return f"/data/images/{row:012}.jpg"


def by_numpy(folder: Path, query: np.ndarray) -> None:
    for path in folder.glob("*/*.npy"):
        np.load(path) @ query


def by_numpy_mapped(folder: Path, query: np.ndarray) -> None:
    for path in folder.glob("*/*.npy"):
        np.load(path, mmap_mode="r") @ query


def by_pyarrow(folder: Path, query: np.ndarray) -> None:
    for path in folder.glob("*/*.parquet"):
        table = pq.read_table(path, columns=[arrow.EMBEDDING], memory_map=True)
        for batch in table.to_batches():
            arrow.embeddings_of(batch) @ query


def ours(folder: Path, query: np.ndarray) -> None:
    found = search_output(str(folder.parent / "output"), uri=uri_of(0), k=K, export=str(folder))
    if len(found) != K:
        raise RuntimeError(f"{len(found)} were found")


WAYS: Mapping[str, tuple[str, Callable[[Path, np.ndarray], None]]] = {
    "np.load, matmul": ("npy", by_numpy),
    "np.load mapped, matmul": ("npy", by_numpy_mapped),
    "search --export, npy": ("npy", ours),
    "pyarrow, matmul": ("parquet", by_pyarrow),
    "search --export, parquet": ("parquet", ours),
}
PEERS = {"search --export, npy": "np.load, matmul", "search --export, parquet": "pyarrow, matmul"}


def drop(folder: Path) -> None:
    """Has the system forget what it keeps of files, where it can be told so."""
    for path in folder.rglob("*"):
        if path.is_file() and hasattr(os, "posix_fadvise"):
            with open(path, "rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def one_way(name: str, folder: Path, features: int) -> None:
    """Prints the seconds, cold and warm."""
    format, work = WAYS[name]
    query = np.random.default_rng(1).standard_normal(features, np.float32)
    drop(folder / format)
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        work(folder / format, query)
        seconds.append(time.perf_counter() - started)
    print(json.dumps(seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=50_000)
    parser.add_argument("--features", type=int, default=1664)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where they are made, a new one below it (of temporary files)")
    parser.add_argument("--way", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        one_way(options.way[0], Path(options.way[1]), options.features)
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        folder = Path(scratch)
        run = save_run(folder / "output", options.features)
        for format in ("npy", "parquet"):
            schema = arrow.schema_of(options.features, [])
            save_export(folder / format, format, shards(options.vectors, options.features), schema, [run])
        report(measured(folder, options.features, options.rounds), options.vectors, options.features)


def measured(folder: Path, features: int, rounds: int) -> dict[str, dict[str, float]]:
    """By way, medians of seconds and of the ratios to its peer's in the same round, and the most memory."""
    command = partial(_command, folder, features)
    costs = [{name: run_command(command(name), os.environ, Path.cwd()) for name in WAYS} for _ in range(rounds)]
    seconds = [{name: json.loads(each[name].last_line) for name in WAYS} for each in costs]
    found = {}
    for name in WAYS:
        found[name] = {"peak_mb": max(each[name].peak_mb for each in costs)}
        for place, heat in enumerate(("cold", "warm")):
            found[name][heat] = statistics.median(each[name][place] for each in seconds)
            ratios = [each[name][place] / each[PEERS.get(name, name)][place] for each in seconds]
            found[name][f"{heat}_ratio"] = statistics.median(ratios)
    return found


def _command(folder: Path, features: int, name: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.search", "--features", str(features), "--way", name, str(folder)]


def report(found: Mapping[str, Mapping[str, float]], vectors: int, features: int) -> None:
    print(f"{vectors:,} vectors of {features:,} values, {vectors * features * 4 / 1e9:.2f} GB")
    print(f"{'':<26}{'cold s':>8}{'ratio':>7}{'warm s':>8}{'ratio':>7}{'peak MB':>9}")
    for name, each in found.items():
        ratios = [f"{each[f'{heat}_ratio']:.2f}" for heat in ("cold", "warm")]
        print(f"{name:<26}{each['cold']:>8.2f}{ratios[0]:>7}{each['warm']:>8.2f}{ratios[1]:>7}{each['peak_mb']:>9.0f}")
    RESULTS.parent.mkdir(exist_ok=True)
    content = {"vectors": vectors, "features": features, "machine": machine(), "ways": found}
    RESULTS.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
