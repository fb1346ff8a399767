"""A reverse proxy before a store that fails as stores do, as often as it is told."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aiohttp import ClientSession, web
from yarl import URL

LIMIT = 64 << 20
# What a request may meet: statuses, a connection that is reset, a body cut at half with a header that
# promises all of it, one cut without a word, one with a flipped bit, one that stalls.
FAULTS = ("429", "500", "503", "reset", "half", "short", "flipped", "stall")


class FaultProxy:
    """Forwards to a store at `target`; `decide(path)` names the fault of each read of an object, or "".

    Attributes:
        port: where it listens.
        met: how often each fault was met; "" counts reads without one.
        times: when each read arrived, by time.monotonic().
        latency: seconds by which every answer is late.
        retry_after: the header of refusals; "" for none.
    """

    def __init__(self, target: int, decide: Callable[[str], str], latency: float, retry_after: str):
        self._target = target
        self._decide = decide
        self.latency = latency
        self.retry_after = retry_after
        self.times: list[float] = []
        self.met: Counter[str] = Counter()
        self.port = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        path = request.raw_path
        # Reads of images only: /bucket/images/… of S3, /download/…/o/images%2F… of Google's store.
        read = request.method == "GET" and ("/images/" in path or "images%2F" in path) and "prefix=" not in path
        fault = self._decide(path) if read else ""
        if read:
            self.met[fault] += 1
            self.times.append(time.monotonic())
        await asyncio.sleep(self.latency)
        if fault.isdigit():
            headers = {"Retry-After": self.retry_after} if self.retry_after else {}
            return web.Response(status=int(fault), text="try later", headers=headers)
        if fault == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        status, headers, body = await self._forward(request)
        if fault == "stall":
            response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(body))})
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            await asyncio.sleep(60)
        elif fault == "half":
            response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(body))})
            await response.prepare(request)
            await response.write(body[: len(body) // 2])
            assert request.transport is not None
            request.transport.close()
        if fault == "short":
            body = body[: len(body) // 2]
        if fault == "flipped":
            body = body[:-9] + bytes([body[-9] ^ 1]) + body[-8:]
        return web.Response(status=status, headers=headers, body=body)

    async def _forward(self, request: web.Request) -> tuple[int, dict[str, str], bytes]:
        url = URL(f"http://127.0.0.1:{self._target}{request.raw_path}", encoded=True)
        skipped = ("host", "transfer-encoding", "content-length", "accept-encoding")
        headers = {key: value for key, value in request.headers.items() if key.lower() not in skipped}
        async with (
            ClientSession(auto_decompress=False, skip_auto_headers=("Content-Type",)) as session,
            session.request(request.method, url, headers=headers, data=await request.read()) as response,
        ):
            # The length of a body is set anew; an answer to HEAD has one and no body.
            dropped = ["transfer-encoding", "date", "server", *(["content-length"] if request.method != "HEAD" else [])]
            kept = {k: v for k, v in response.headers.items() if k.lower() not in dropped}
            kept = {k: v.replace(f":{self._target}/", f":{self.port}/") for k, v in kept.items()}
            return response.status, kept, await response.read()


@contextmanager
def fault_proxy(
    target: int, decide: Callable[[str], str], *, latency: float = 0, retry_after: str = ""
) -> Iterator[FaultProxy]:
    """Runs a proxy in a thread of its own."""
    proxy = FaultProxy(target, decide, latency, retry_after)
    loop, ready = asyncio.new_event_loop(), threading.Event()
    runner: list[web.AppRunner] = []

    async def start() -> None:
        app = web.Application(client_max_size=LIMIT)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        runner.append(web.AppRunner(app, shutdown_timeout=0.1, access_log=None))
        await runner[0].setup()
        site = web.TCPSite(runner[0], "127.0.0.1", 0, backlog=512)
        await site.start()
        proxy.port = runner[0].addresses[0][1]
        ready.set()

    def serve() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner[0].cleanup())
        loop.close()

    thread = threading.Thread(target=serve, name="fault-proxy")
    thread.start()
    assert ready.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)


def now_and_then(share: float, faults: tuple[str, ...], seed: int = 7) -> Callable[[str], str]:
    """One of `faults` for a share of the reads, drawn from a seed."""
    drawn = random.Random(seed)
    return lambda path: drawn.choice(faults) if drawn.random() < share else ""


def first_times(times: int, fault: str) -> Callable[[str], str]:
    """`fault` for the first reads of each path."""
    seen: Counter[str] = Counter()

    def decide(path: str) -> str:
        key = path.partition("?")[0]
        seen[key] += 1
        return fault if seen[key] <= times else ""

    return decide
