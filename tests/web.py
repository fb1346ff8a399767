"""A web server on loopback whose answers are functions, by path."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """Attributes:
    url: `scheme://host:port`.
    requests: that arrived, in their order.
    sent: bytes that `endless` bodies have sent.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[web.Request] = []
        self.sent = 0

    def asked(self, path: str) -> int:
        """How often a path was asked for, as it was written."""
        return sum(request.raw_path == path for request in self.requests)


@contextmanager
def serving(answers: Mapping[str, Answer], tls: ssl.SSLContext | None = None) -> Iterator[Site]:
    """Runs a server in a thread of its own; paths without an answer are missing."""
    site, loop, ready = Site(), asyncio.new_event_loop(), threading.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        site.requests.append(request)
        answer = answers.get(request.path)
        return await answer(request) if answer else web.Response(status=404)

    app = web.Application()
    app.router.add_route("*", r"/{path:[\s\S]*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=512, ssl_context=tls).start()
        site.url = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}"
        ready.set()

    def serve() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.run_until_complete(asyncio.sleep(0.02))  # in which the last connections close
        loop.close()

    thread = threading.Thread(target=serve, name="site")
    thread.start()
    assert ready.wait(10)
    try:
        yield site
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)


def body(data: bytes, **headers: str) -> Answer:
    """The same bytes for every request; headers by their names with `_` for `-`."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=data, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


def status(number: int, times: int, data: bytes = b"", **headers: str) -> Answer:
    """Refuses the first requests, then gives `data`."""
    left = [times]

    async def answer(_: web.Request) -> web.Response:
        left[0] -= 1
        if left[0] < 0:
            return web.Response(body=data)
        return web.Response(status=number, headers={name.replace("_", "-"): value for name, value in headers.items()})

    return answer


def redirect(location: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": location})

    return answer


def pieces(data: list[bytes], seconds: float = 0.0) -> Answer:
    """A body of no told length, piece by piece, with a wait before each."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in data:
            await asyncio.sleep(seconds)
            await response.write(piece)
        return response

    return answer
