"""Fetching 2,000 objects of 45 KB at 20 ms latency: this pipeline's loading beside what Beam offers.

Each way runs in a process of its own, interleaved, over one fake-gcs-server behind one proxy that holds
every answer back for the latency. `make bench-fetch` builds the server and runs it; it prints a table and
writes benchmarks/results/fetch.json.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import fsspec

from transforms.elements import ImageObject
from transforms.inputs.inputs import list_input
from transforms.loading import LoadImages
from transforms.stores import filesystems
from transforms.stores.fetching import Policy, fetch

Work = Callable[[], int]  # what is timed; the bytes that it read

BUCKET = "bench"
SIZE = 45_000
COUNTED = b"COUNTED\n"  # to the proxy, in place of a request
RESULTS = Path(__file__).parent / "results" / "fetch.json"


def ours(port: int, names: list[str]) -> Work:
    """The fetching of LoadImages, of rows that were listed before: its policy, versions and checksums compared."""
    rows = listed(port)
    return lambda: fetch_all(rows)


def ours_and_listing(port: int, names: list[str]) -> Work:
    return lambda: fetch_all(listed(port))


def listed(port: int) -> list[ImageObject]:
    filesystems.configure(store_options(port))
    return list(list_input(f"gs://{BUCKET}/images"))


def fetch_all(rows: list[ImageObject]) -> int:
    limit = LoadImages.fetch_concurrency

    async def run() -> int:
        slots = asyncio.Semaphore(limit)

        async def one(row: ImageObject) -> int:
            async with slots:
                return len((await fetch(row, Policy())).data)

        return sum(await asyncio.gather(*map(one, rows)))

    total: int = fsspec.asyn.sync(fsspec.asyn.get_loop(), run)
    return total


def bare_concurrent_cat(port: int, names: list[str]) -> Work:
    """gcsfs alone: fs.cat of all names, of which it has 128 under way at once."""
    fs = filesystem(port)
    return lambda: sum(map(len, fs.cat([f"{BUCKET}/{name}" for name in names]).values()))


def one_by_one(port: int, names: list[str]) -> Work:
    fs = filesystem(port)
    return lambda: sum(len(fs.cat_file(f"{BUCKET}/{name}")) for name in names)


def beam_16_threads(port: int, names: list[str]) -> Work:
    """16 threads of Beam's FileSystems.open."""
    from apache_beam.io.filesystems import FileSystems

    def read(name: str) -> int:
        with FileSystems.open(f"gs://{BUCKET}/{name}") as file:
            return len(file.read())

    def work() -> int:
        with ThreadPoolExecutor(16) as pool:
            return sum(pool.map(read, names))

    return work


def beam_read_matches(port: int, names: list[str]) -> Work:
    """Beam's fileio as its documentation shows it, on the local runner; it matches within its time."""
    import apache_beam as beam
    from apache_beam.io import fileio

    def work() -> int:
        with tempfile.NamedTemporaryFile() as total:
            path = Path(total.name)
            with beam.Pipeline(runner="FnApiRunner") as pipeline:
                read = (
                    pipeline
                    | fileio.MatchFiles(f"gs://{BUCKET}/images/*.jpg")
                    | fileio.ReadMatches()
                    | beam.Map(lambda file: len(file.read()))
                )
                _ = read | beam.CombineGlobally(sum) | beam.Map(lambda value: path.write_text(str(value)))
            return int(path.read_text())

    return work


WAYS: dict[str, Callable[[int, list[str]], Work]] = {
    "ours": ours,
    "ours, listing included": ours_and_listing,
    "gcsfs cat, all at once": bare_concurrent_cat,
    "gcsfs cat_file, one by one": one_by_one,
    "Beam FileSystems, 16 threads": beam_16_threads,
    "Beam ReadMatches": beam_read_matches,
}


def store_options(port: int) -> dict[str, dict[str, str]]:
    return {"gs": {"token": "anon", "project": "test", "endpoint_url": f"http://127.0.0.1:{port}"}}


def filesystem(port: int) -> fsspec.AbstractFileSystem:
    filesystems.configure(store_options(port))
    return filesystems.filesystem("gs://")


async def delay(port: int, target: int, seconds: float) -> None:
    """A proxy of bytes that passes each answer on after `seconds`; `counted` asks it for what passed."""
    requests, size = 0, 0

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", target, limit=1 << 20)
        asked = 0.0

        async def up() -> None:
            nonlocal asked, requests, size
            while data := await reader.read(1 << 16):
                if data == COUNTED:
                    writer.write(f"{requests} {size}\n".encode())
                    requests, size = 0, 0
                    break
                asked = time.monotonic()
                requests += data.startswith(b"GET ")
                upstream_writer.write(data)
            upstream_writer.close()

        async def down() -> None:
            nonlocal size
            while data := await upstream_reader.read(1 << 20):
                size += len(data)
                await asyncio.sleep(max(0.0, asked + seconds - time.monotonic()))
                writer.write(data)
            writer.close()

        await asyncio.gather(up(), down(), return_exceptions=True)  # resets of clients that end are no news

    server = await asyncio.start_server(connection, "127.0.0.1", port, backlog=512)
    async with server:
        await server.serve_forever()


def counted(port: int) -> tuple[int, int]:
    """Requests that the proxy has passed on since it was last asked, and bytes of their answers."""
    with socket.create_connection(("127.0.0.1", port)) as asking:
        asking.sendall(COUNTED)
        requests, size = asking.makefile().readline().split()
    return int(requests), int(size)


@contextmanager
def store(latency_ms: float) -> Iterator[tuple[int, int]]:
    """A store with an empty bucket: the ports of its server, and of the proxy before it."""
    direct, proxy = free_port(), free_port()
    address = ["-scheme=http", "-host=127.0.0.1", f"-port={direct}", f"-public-host=127.0.0.1:{proxy}"]
    server = subprocess.Popen([os.environ["FAKE_GCS_SERVER"], *address, "-backend=memory", "-log-level=error"])
    own = ["--port", str(proxy), "--target", str(direct), "--latency_ms", str(latency_ms)]
    delaying = subprocess.Popen([sys.executable, "-m", "benchmarks.fetch", *own])
    try:
        wait_for(direct)
        wait_for(proxy)
        filesystem(direct).mkdir(BUCKET)
        yield direct, proxy
    finally:
        delaying.terminate()
        server.terminate()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def wait_for(port: int) -> None:
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"nothing listens at {port}")


def measure(way: str, port: int, count: int) -> float:
    """Seconds of one way in a process of its own, without its imports."""
    environment = {**os.environ, "STORAGE_EMULATOR_HOST": f"http://127.0.0.1:{port}", "GOOGLE_CLOUD_PROJECT": "test"}
    command = [sys.executable, "-m", "benchmarks.fetch", "--way", way, "--port", str(port), "--objects", str(count)]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if output.returncode:
        raise RuntimeError(f"{way} failed:\n{output.stderr[-2000:]}")
    *_, total, seconds = output.stdout.split()
    if int(total) != count * SIZE:
        raise RuntimeError(f"{way} read {total} bytes of {count * SIZE}")
    return float(seconds)


def names_of(count: int) -> list[str]:
    return [f"images/{i:05}.jpg" for i in range(count)]


def run_way(way: str, port: int, count: int) -> None:
    import apache_beam  # noqa: F401 -- so that its import is not counted
    import gcsfs  # noqa: F401 -- likewise

    work = WAYS[way](port, names_of(count))
    started = time.monotonic()
    print(work(), time.monotonic() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--latency_ms", type=float, default=20)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--target", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        run_way(options.way, options.port, options.objects)
        return
    if options.target:
        asyncio.run(delay(options.port, options.target, options.latency_ms / 1000))
        return

    with store(options.latency_ms) as (direct, proxy):
        data = os.urandom(SIZE)
        filesystem(direct).pipe({f"{BUCKET}/{name}": data for name in names_of(options.objects)})
        seconds: dict[str, list[float]] = {way: [] for way in options.ways}
        for _ in range(options.rounds):
            for way in options.ways:
                seconds[way].append(measure(way, proxy, options.objects))
    report(seconds, options)


def report(seconds: dict[str, list[float]], options: argparse.Namespace) -> None:
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    print(f"{'way':<30} {'median s':>9} {'min':>7} {'max':>7} {'objects/s':>10} {'ours is':>8}")
    for way, times in seconds.items():
        rate, ratio = options.objects / medians[way], medians[way] / medians["ours"]
        print(f"{way:<30} {medians[way]:9.2f} {min(times):7.2f} {max(times):7.2f} {rate:10.0f} {ratio:7.1f}x")
    RESULTS.parent.mkdir(exist_ok=True)
    packages = ("apache-beam", "gcsfs", "fsspec", "aiohttp")
    content = {
        "objects": options.objects,
        "bytes": SIZE,
        "latency_ms": options.latency_ms,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in packages},
        "seconds": seconds,
    }
    RESULTS.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
