"""Objects behind web servers: one GET an object, and its answer named for what it is.

Read with aiohttp itself, since fsspec's filesystem takes every refusal for a missing file and reads bodies of any size.
"""

from __future__ import annotations

import asyncio
import atexit
import email.utils
import os
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from http import HTTPStatus
from typing import IO, TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from fsspec.asyn import get_loop, sync

from transforms.elements import ImageObject
from transforms.stores import filesystems, storage
from transforms.stores.addresses import InternalAddressError, outside_only, resolves_inside
from transforms.stores.store_errors import OutgrownError, WebError, too_large

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import ClientResponse, ClientSession
    from yarl import URL

REDIRECTS = 10
REDIRECT_STATUS = frozenset({301, 302, 303, 307, 308})
# So much of a body must come within `READ_SECONDS`: a server that lets it trickle is given up like one that stalls.
LEAST_BYTES = 30 << 10
UNPACKED_BYTES = 1 << 16  # of a Content-Encoding, at once
ANSWERED = frozenset({HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION})
# What a request line can hold; all of it is sent as it is written, so that signatures hold.
SENT_AS_WRITTEN = "".join(map(chr, range(0x21, 0x7F)))
# Of the storage options, those that aiohttp takes with a request, and those that it takes with a session.
REQUEST_OPTIONS = frozenset({"ssl", "proxy", "timeout", "server_hostname"})
SESSION_OPTIONS = frozenset({"trust_env"})
# What another server that a redirect leads to is not told.
PRIVATE_OPTIONS = frozenset({"headers", "auth", "cookies", "params", "proxy_auth", "proxy_headers"})


async def read(source: ImageObject, max_bytes: int, room: int) -> tuple[ImageObject, bytes]:
    """The row and the bytes of what a URL gives now. No HEAD is asked: the body alone tells its length.

    A coroutine for fsspec's loop.

    Args:
        max_bytes: no more is taken, as it arrives and as it is when a Content-Encoding is unpacked.
        room: bytes that the caller has made room for.

    Raises:
        WebError: the server refuses, or cannot be reached.
        storage.TooLargeError, OutgrownError: there are more bytes than `max_bytes`, or than `room`.
    """
    with _sentences(source.uri):
        async with _get(source.address or source.uri) as response:
            data = b"".join([piece async for piece in _unpacked(response, max_bytes, room)])
            headers = response.headers
    info = {"size": len(data), "ETag": headers.get("ETag"), "updated": _date(headers.get("Last-Modified", ""))}
    return storage.describe_remote(source.uri, info), data


async def download(url: str, file: IO[bytes], max_bytes: int) -> None:
    """Writes what a URL gives to `file`, in its Content-Encoding. Raises as `read` does."""
    with _sentences(url):
        async with _get(url) as response:
            async for piece in _pieces(response, max_bytes, max_bytes):
                await filesystems.in_thread(file.write, piece)


@asynccontextmanager
async def _get(url: str) -> AsyncIterator[ClientResponse]:
    """The answer that redirects lead to. They stay on the web, and lead no one to a machine's own addresses."""
    clients = await _clients()
    first = target = as_sent(url)
    session = clients.anywhere
    for _ in range(REDIRECTS + 1):
        known = target.host == first.host and (target.scheme == first.scheme or target.scheme == "https")
        async with session.get(target, allow_redirects=False, **_request_options(target.scheme, known)) as response:
            location = response.headers.get("Location", "")
            if response.status in ANSWERED:
                yield response
                return
            if response.status not in REDIRECT_STATUS or not location:
                raise WebError.of_answer(response.status, response.headers)
        target = target.join(as_sent(location))
        if target.scheme not in storage.WEB_SCHEMES:
            raise WebError(f"it is redirected to {target.scheme}:, which is not followed")
        if session is clients.anywhere and not await resolves_inside(first.host or ""):
            session = clients.outside
    raise WebError(f"it is redirected more than {REDIRECTS} times")


def _request_options(scheme: str, known: bool) -> dict[str, Any]:
    """The storage options of one request; secrets among them are for the server that was asked for alone."""
    options = filesystems.options_of(scheme)
    options |= options.pop("client_kwargs", {})
    kept = {name: options[name] for name in REQUEST_OPTIONS if name in options}
    if known:
        kept |= {name: options[name] for name in PRIVATE_OPTIONS if name in options}
    # Images are packed as they are.
    headers = {"Accept-Encoding": "identity", **kept.get("headers", {})}
    return {"timeout": filesystems.client_timeout(), **kept, "headers": headers}


def as_sent(url: str) -> URL:
    """A URL as it is written; spaces, controls and other alphabets, which no request can hold, percent-encoded."""
    from yarl import URL

    try:
        scheme, separator, rest = url.partition("://")
        authority = rest.partition("/")[0]
        if not authority.isascii():
            rest = URL(url).raw_authority + rest[len(authority) :]
        sent = URL(quote(f"{scheme}{separator}{rest}", safe=SENT_AS_WRITTEN), encoded=True)
        _ = sent.port  # a ValueError where it is none
        return sent
    except ValueError as e:
        raise WebError(f"no URL that can be asked: {e}") from None


async def _pieces(response: ClientResponse, max_bytes: int, room: int) -> AsyncIterator[bytes]:
    """A body as it arrives, within bounds of size and time."""
    told = response.content_length or 0  # what it sends is counted as well
    _check(told, max_bytes, room, told)
    arrived = since = 0
    left = float(filesystems.READ_SECONDS)
    clock = asyncio.get_running_loop().time
    while True:
        started = clock()
        async with asyncio.timeout(left):  # around the wait alone: not around what is done with a piece
            piece = await response.content.readany()
        if not piece:
            return
        arrived += len(piece)
        since += len(piece)
        left -= clock() - started
        if since >= LEAST_BYTES:
            since, left = 0, float(filesystems.READ_SECONDS)
        _check(arrived, max_bytes, room, max_bytes)
        yield piece


async def _unpacked(response: ClientResponse, max_bytes: int, room: int) -> AsyncIterator[bytes]:
    """The pieces of a body without its Content-Encoding, never more of them than `max_bytes`."""
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        async for piece in _pieces(response, max_bytes, room):
            yield piece
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise WebError(f"its Content-Encoding, {encoding[:20]}, is not read here")
    size, unpacker = 0, zlib.decompressobj(wbits=47)  # either header, zlib's or gzip's
    async for piece in _pieces(response, max_bytes, room):
        while piece:
            if unpacker.eof:  # gzip may have several members
                unpacker = zlib.decompressobj(wbits=47)
            unpacked = unpacker.decompress(piece, UNPACKED_BYTES)
            piece = unpacker.unconsumed_tail or unpacker.unused_data
            size += len(unpacked)
            _check(size, max_bytes, room, max_bytes)
            yield unpacked
    if not unpacker.eof:
        raise WebError("its Content-Encoding ends before its end", transient=True)


def _check(size: int, max_bytes: int, room: int, wanted: int) -> None:
    if size > max_bytes:
        raise too_large(size, max_bytes)
    if size > room:
        raise OutgrownError(wanted)


@contextmanager
def _sentences(url: str) -> Iterator[None]:
    """Turns aiohttp's errors into ones that say what happened, and whether another try may end better."""
    import aiohttp

    host = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as e:
        raise WebError(f"the certificate of {host} is not trusted: {e.certificate_error}") from e
    except aiohttp.ClientConnectorDNSError as e:
        raise WebError(f"no address is known of {e.host}: {e.os_error.strerror}", transient=True) from e
    except aiohttp.ClientConnectorSSLError as e:
        raise WebError(f"no TLS with {host}: {e.os_error}") from e
    except aiohttp.ClientConnectorError as e:
        if isinstance(e.os_error, InternalAddressError):
            raise WebError(str(e.os_error)) from e
        reason = os.strerror(e.os_error.errno) if e.os_error.errno else str(e.os_error)
        raise WebError(f"no connection to {e.host}:{e.port}: {reason}", transient=True) from e
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as e:
        raise WebError(f"no URL that can be asked: {' '.join(str(e).split())}") from e
    except TimeoutError as e:
        raise WebError(f"{host} was waited for {filesystems.READ_SECONDS} s in vain", transient=True) from e
    except aiohttp.ClientPayloadError as e:
        raise WebError("the body was cut short", transient=True) from e
    except zlib.error as e:
        raise WebError(f"its Content-Encoding is damaged: {e}", transient=True) from e
    except (aiohttp.ClientError, ConnectionError) as e:
        raise WebError(f"the connection to {host} broke: {type(e).__name__}", transient=True) from e


def _date(text: str) -> datetime | None:
    with suppress(ValueError, TypeError):
        date = email.utils.parsedate_to_datetime(text)
        return date if date.tzinfo else date.replace(tzinfo=UTC)
    return None


class _Clients(NamedTuple):
    """Sessions of a process; `outside` connects to no address of the machine itself or of its link."""

    anywhere: ClientSession
    outside: ClientSession
    made_with: dict[str, Any]

    async def close(self) -> None:
        await self.anywhere.close()
        await self.outside.close()


_made: dict[int, _Clients] = {}


async def _clients() -> _Clients:
    """Made once, on fsspec's loop; anew when the storage options have changed."""
    from aiohttp import ClientSession, DummyCookieJar, TCPConnector

    options = {
        name: value
        for scheme in storage.WEB_SCHEMES
        for name, value in filesystems.options_of(scheme).get("client_kwargs", {}).items()
        if name in SESSION_OPTIONS
    }
    clients = _made.get(os.getpid())
    if clients is not None and clients.made_with == options:
        return clients

    def session(**bounds: Any) -> ClientSession:
        # How many fetch at once is decided elsewhere. What is packed is unpacked here, within bounds.
        connector = TCPConnector(limit=0, **bounds)
        return ClientSession(connector=connector, cookie_jar=DummyCookieJar(), auto_decompress=False, **options)

    _made[os.getpid()] = _Clients(session(), session(socket_factory=outside_only), options)
    if clients is not None:
        await clients.close()
    return _made[os.getpid()]


@atexit.register
def _close() -> None:
    """Else aiohttp says at the end of a process that sessions were not closed."""
    if clients := _made.pop(os.getpid(), None):
        with suppress(Exception):
            sync(get_loop(), clients.close, timeout=1)
