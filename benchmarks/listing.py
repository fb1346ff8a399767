"""Listing a flat prefix of 200,000 objects at 50 ms a page: in ranges of names, beside page by page.

A process of its own answers as Cloud Storage's list API does, 1,000 objects a page, each page some time after it was
asked for; and, for `scaling`, which embeds them as well, each object as the same small image. `make bench-listing`
prints a table.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import hashlib
import json
import re
import statistics
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from functools import partial

import google_crc32c
from aiohttp import web

from benchmarks import tiny
from benchmarks.fetch import free_port, store_options, wait_for
from transforms.collecting import frozen
from transforms.inputs import paging
from transforms.stores import filesystems

BUCKET = "bucket"
PATTERNS = {
    "numbers": "flat/img-{:09}.jpg",
    "hashes": "flat/{:08x}.jpg",
    "dates": "flat/IMG_20260101_{:06}.JPG",
}


CONTENT = tiny.jpeg()
# As the client asks for it by `fields`.
ITEM = {
    "size": str(len(CONTENT)),
    "generation": "1795613105236388",
    "updated": "2026-11-25T12:30:00.000Z",
    "md5Hash": base64.b64encode(hashlib.md5(CONTENT, usedforsecurity=False).digest()).decode(),
    "crc32c": base64.b64encode(google_crc32c.Checksum(CONTENT).digest()).decode(),
}


def names_of(pattern: str, count: int) -> list[str]:
    """Of hashes, evenly spread ones; else one after the other."""
    spread = 2654435761 if ":08x" in pattern else 1
    return sorted(PATTERNS.get(pattern, pattern).format(number * spread % 2**32) for number in range(count))


def serve(port: int, pattern: str, count: int, seconds: float) -> None:
    """https://cloud.google.com/storage/docs/json_api/v1/objects/list, of what the client asks for."""
    names = names_of(PATTERNS[pattern], count)
    items = [json.dumps({"name": name, **ITEM}) for name in names]

    async def listed(request: web.Request) -> web.Response:
        began = time.monotonic()
        asked = request.query
        if set(re.findall(r"\w+", asked["fields"])) - {"items", "prefixes", "nextPageToken", "contentEncoding"} != (
            {"name", *ITEM}
        ):
            raise web.HTTPBadRequest(text="other fields than this server has")
        start = bisect_left(names, asked.get("pageToken") or asked.get("startOffset", ""))
        end = bisect_left(names, asked["endOffset"]) if "endOffset" in asked else len(names)
        page = min(start + int(asked["maxResults"]), max(end, start))
        token = f'"nextPageToken": {json.dumps(names[page])}, ' if page < end else ""
        text = f'{{"kind": "storage#objects", {token}"items": [{", ".join(items[start:page])}]}}'
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
        return web.Response(text=text, content_type="application/json")

    async def read(_: web.Request) -> web.Response:
        await asyncio.sleep(seconds)
        return web.Response(body=CONTENT, content_type="image/jpeg")

    app = web.Application()
    app.router.add_get("/storage/v1/b/bucket/o", listed)
    app.router.add_get("/download/storage/v1/b/bucket/o/{name:.+}", read)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


WAYS: dict[str, Callable[[str], Iterator[paging.Page]]] = {
    "page by page": partial(paging.pages, recursive=True),
    "in ranges": paging.many_pages,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency_ms", type=float, default=50)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--pattern", choices=PATTERNS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.port:
        serve(options.port, options.pattern, options.objects, options.latency_ms / 1000)
        return
    print(f"{'names':<10} {'way':<14} {'median s':>9} {'min':>7} {'max':>7} {'ratio':>7}")
    for pattern in PATTERNS:
        port = free_port()
        own = ["--port", str(port), "--pattern", pattern, "--objects", str(options.objects)]
        command = [sys.executable, "-m", "benchmarks.listing", *own, "--latency_ms", str(options.latency_ms)]
        server = subprocess.Popen(command)
        try:
            wait_for(port)
            filesystems.configure(store_options(port))
            seconds: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(options.rounds):
                for way, listing in WAYS.items():
                    with frozen():  # as a run is
                        began = time.monotonic()
                        found = sum(len(page.objects) for page in listing(f"gs://{BUCKET}/flat/"))
                        seconds[way].append(time.monotonic() - began)
                    if found != options.objects:
                        raise RuntimeError(f"{way} listed {found:,} of {options.objects:,} objects")
        finally:
            server.terminate()
            server.wait()
        first = statistics.median(seconds["page by page"])
        for way, times in seconds.items():
            median = statistics.median(times)
            print(f"{pattern:<10} {way:<14} {median:9.2f} {min(times):7.2f} {max(times):7.2f} {first / median:6.1f}x")


if __name__ == "__main__":
    main()
