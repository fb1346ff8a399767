"""An index of a tar by hopping from header to header, beside streaming all of it once: seconds, requests, bytes.

The tar holds 2,000 members of about 50 KB; on a store at 20 ms latency (fake-gcs-server behind the proxy of
`benchmarks/fetch.py`), and on the local disk. `make bench-containers` builds the server and runs it; it prints a table.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from fsspec.asyn import get_loop, sync

from benchmarks import fetch
from transforms.elements import ImageObject
from transforms.inputs.containers import tar
from transforms.inputs.containers.member import Asked
from transforms.stores import fetching, filesystems, storage
from transforms.stores.fetching import Policy
from transforms.stores.streaming import open_object

MEMBERS, MEAN = 2000, 50_000


class Counted:
    """The parts of objects that are asked for."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        self._fetch = fetching.fetch_range
        fetching.fetch_range = self.fetch

    async def fetch(self, source: ImageObject, start: int, end: int, policy: Policy) -> bytes:
        self.requests += 1
        self.bytes += end - start
        return await self._fetch(source, start, end, policy)


def archive() -> bytes:
    draw, written = random.Random(1), io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as file:
        for i in range(MEMBERS):
            info = tarfile.TarInfo(f"photos/{i:05}.jpg")
            info.size = draw.randrange(MEAN // 2, MEAN * 3 // 2)
            file.addfile(info, io.BytesIO(draw.randbytes(info.size)))
    return written.getvalue()


def hop(read_block: Callable[[int], bytes]) -> int:
    """The members of an archive by their headers alone."""
    count = offset = 0
    while any(block := read_block(offset)):
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        offset += tarfile.BLOCKSIZE * (1 + -(-info.size // tarfile.BLOCKSIZE))
        count += 1
    return count


def hop_on_store(row: ImageObject) -> int:
    block = tarfile.BLOCKSIZE
    return hop(lambda offset: sync(get_loop(), fetching.fetch_range, row, offset, offset + block, Policy()))


def hop_on_disk(row: ImageObject) -> int:
    with open(row.uri, "rb") as file:

        def read_block(offset: int) -> bytes:
            file.seek(offset)
            return file.read(tarfile.BLOCKSIZE)

        return hop(read_block)


def stream(row: ImageObject) -> int:
    with open_object(row, Policy()) as file:
        return sum(1 for _ in tar.members(file, Asked()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency_ms", type=float, default=20)
    options = parser.parse_args()
    store, proxy = fetch.free_port(), fetch.free_port()
    address = ["-scheme=http", "-host=127.0.0.1", f"-port={store}", f"-public-host=127.0.0.1:{proxy}"]
    server = subprocess.Popen([os.environ["FAKE_GCS_SERVER"], *address, "-backend=memory", "-log-level=error"])
    own = ["--port", str(proxy), "--target", str(store), "--latency_ms", str(options.latency_ms)]
    delaying = subprocess.Popen([sys.executable, fetch.__file__, *own], env={**os.environ, "PYTHONPATH": os.getcwd()})
    counted = Counted()
    try:
        fetch.wait_for(store)
        fetch.wait_for(proxy)
        fetch.filesystem(store).mkdir(fetch.BUCKET)
        data = archive()
        storage.write_bytes(f"gs://{fetch.BUCKET}/x.tar", data)
        filesystems.configure(fetch.store_options(proxy))
        print(f"{len(data) / 1e6:.1f} MB; {'way':<26} {'median s':>9} {'min':>7} {'max':>7} {'requests':>9} {'MB':>7}")
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "x.tar"
            local.write_bytes(data)
            remote, here = storage.describe(f"gs://{fetch.BUCKET}/x.tar"), storage.describe(str(local))
            for name, work, row in (
                ("store, header to header", hop_on_store, remote),
                ("store, streamed once", stream, remote),
                ("disk, header to header", hop_on_disk, here),
                ("disk, streamed once", stream, here),
            ):
                report(name, work, row, options.rounds, counted)
    finally:
        delaying.terminate()
        server.terminate()


def report(name: str, work: Callable[[ImageObject], int], row: ImageObject, rounds: int, counted: Counted) -> None:
    seconds = []
    for _ in range(rounds):
        counted.requests = counted.bytes = 0
        started = time.monotonic()
        if work(row) != MEMBERS:
            raise RuntimeError(f"{name} found other members")
        seconds.append(time.monotonic() - started)
    told = f"{statistics.median(seconds):9.2f} {min(seconds):7.2f} {max(seconds):7.2f}"
    print(f"{name:<35} {told} {counted.requests:9} {counted.bytes / 1e6:7.1f}")


if __name__ == "__main__":
    main()
