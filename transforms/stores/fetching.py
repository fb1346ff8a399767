"""The bytes of an image object: the version that was listed, whole, through faults of the store.

Fetches are coroutines of fsspec's event loop: hundreds at once cost one thread. One policy stands above all
stores; gcsfs's, s3fs's and botocore's own retries are off for reads, so that a number of tries means that number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import IO, NamedTuple, TypeVar

import tenacity
from fsspec.asyn import get_loop, sync

from transforms.elements import ImageObject
from transforms.stores import filesystems, http, reading, storage
from transforms.stores.secrets import redacted
from transforms.stores.store_errors import (
    ChangedError,
    DamagedBodyError,
    OutgrownError,
    VersionGoneError,
    describe_error,
    error_class,
    is_transient,
    retry_after_seconds,
    too_large,
)

FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 20.0

T = TypeVar("T")


class Policy(NamedTuple):
    """How often and how long one object is tried, and how much of it is taken.

    Attributes:
        retries: tries after the first one.
        seconds: no further try begins later than so long after the first failure.
        whole_seconds: for all tries together, whatever arrives meanwhile.
        max_bytes: of an object.
    """

    retries: int = 6
    seconds: float = 180.0
    whole_seconds: float = 600.0
    max_bytes: int = 128 << 20


class FetchError(Exception):
    """An object that cannot be had; its text names the last error, and the tries if there were several.

    Attributes:
        error: the class for a dead letter.
    """

    def __init__(self, error: str, message: str):
        super().__init__(message)
        self.error = error


def fetch_error(error: Exception, source: ImageObject, tries: int = 1) -> FetchError:
    """What is said of an object by the last error that it was met with, without what its URIs may hold of secrets."""
    gone = isinstance(error, FileNotFoundError)
    said = redacted(describe_error(error), source.uri, source.address)
    reason = "the object is gone, or was never there" if gone else said
    return FetchError(error_class(error), f"{reason} (after {tries} tries)" if tries > 1 else reason)


class Fetched(NamedTuple):
    """Attributes:
    source: the row of what was read, which is another version when the object has changed meanwhile.
    data: its bytes.
    retries: tries that were needed besides the first.
    """

    source: ImageObject
    data: bytes
    retries: int


async def fetch(source: ImageObject, policy: Policy, room: int | None = None) -> Fetched:
    """Reads one object: the version of `source`, or the current one where that is gone or not told.

    A coroutine for fsspec's loop (`fsspec.asyn.get_loop`), which its filesystems are bound to.

    Args:
        room: bytes that the caller has made room for, of an object whose size only its body tells.

    Raises:
        FetchError: it cannot be had; transient failures after the last try.
        OutgrownError: it has more bytes than `room`.
    """
    bounded = partial(_read, max_bytes=policy.max_bytes, room=policy.max_bytes if room is None else room)
    (row, data), tries = await _persist(policy, bounded, source)
    return Fetched(row, data, tries - 1)


def read_local(source: ImageObject, policy: Policy) -> Fetched | None:
    """A local file, tried once, in the thread that asks; None where `fetch` is to try again and say what is wrong."""
    try:
        return Fetched(*_read_local(source, policy.max_bytes), 0)
    except Exception:  # as `_persist_within`
        return None


def _read_local(source: ImageObject, max_bytes: int) -> tuple[ImageObject, bytes]:
    row, data = reading.read_local(reading.bound(source, max_bytes), max_bytes)
    row = _marked(row, source)
    reading.compare(row, data)
    return row, data


async def fetch_range(source: ImageObject, start: int, end: int, policy: Policy) -> bytes:
    """The bytes from `start` to before `end` of the listed version of an object, which has as many.

    A coroutine as `fetch` is. Stores keep no checksums of parts: what arrives is compared by its length alone.

    Args:
        source: of a store, with its version.

    Raises:
        FetchError: it cannot be had; "ContentChanged" when that version is gone.
    """
    data, _ = await _persist(policy, partial(_read_range, start=start, end=end), source)
    return data


def tells_size(uri: str) -> bool:
    """Whether the size of an object can be asked for; web servers tell what is not so."""
    return filesystems.scheme_of(uri) not in storage.WEB_SCHEMES


def fetch_and_wait(source: ImageObject, policy: Policy) -> Fetched:
    """`fetch`, from a thread that runs no event loop."""
    fetched: Fetched = sync(get_loop(), fetch, source, policy)
    return fetched


def download_and_wait(url: str, file: IO[bytes], policy: Policy) -> None:
    """Writes what a web server gives to a local file, from a thread that runs no event loop.

    Raises:
        FetchError: as `fetch` does.
    """

    async def attempt(source: ImageObject) -> None:
        file.seek(0)
        file.truncate()
        await http.download(source.uri, file, policy.max_bytes)

    sync(get_loop(), _persist, policy, attempt, ImageObject(url))


async def describe(source: ImageObject, policy: Policy) -> ImageObject:
    """The row of an object of which only the name is known. Raises as `fetch` does."""
    row, _ = await _persist(policy, _current_row, source)
    return row


def check_size(source: ImageObject, max_bytes: int) -> None:
    """Raises FetchError when the listing tells that an object has more bytes than are taken."""
    if source.size > max_bytes:
        error = too_large(source.size, max_bytes)
        raise FetchError(error_class(error), str(error))


async def _persist(
    policy: Policy, attempt: Callable[[ImageObject], Awaitable[T]], source: ImageObject
) -> tuple[T, int]:
    """The result of the first try that succeeds, and their number."""
    try:
        async with asyncio.timeout(policy.whole_seconds):
            return await _persist_within(policy, attempt, source)
    except TimeoutError:
        raise FetchError("FetchFailed", f"it was given up after {policy.whole_seconds:,.0f} s") from None


async def _persist_within(
    policy: Policy, attempt: Callable[[ImageObject], Awaitable[T]], source: ImageObject
) -> tuple[T, int]:
    try:
        return await attempt(source), 1  # nearly always; tenacity would cost 0.15 ms, a third of a small fetch
    except OutgrownError:
        raise
    except Exception as e:  # stores have error classes of their own, and not all are OSErrors
        first_error = e
    backoff = tenacity.wait_random_exponential(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome and state.outcome.exception()
        asked = retry_after_seconds(error) if error else 0.0
        filesystems.last_retry_after.set("")
        return max(backoff(state), asked)

    async def try_again() -> T:
        if retrying.statistics["attempt_number"] == 1:
            raise first_error
        return await attempt(source)

    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(is_transient),
        wait=wait,
        stop=tenacity.stop_after_attempt(policy.retries + 1) | tenacity.stop_before_delay(policy.seconds),
        reraise=True,
    )
    try:
        result: T = await retrying(try_again)
    except OutgrownError:
        raise
    except Exception as e:
        raise fetch_error(e, source, int(retrying.statistics["attempt_number"])) from e
    return result, int(retrying.statistics["attempt_number"])


async def _read(source: ImageObject, max_bytes: int, room: int) -> tuple[ImageObject, bytes]:
    """One try: the listed version, or, when that one is gone, what is there now."""
    scheme = filesystems.scheme_of(source.uri)
    if scheme in storage.WEB_SCHEMES:
        row, data = await http.read(source, max_bytes, room)
        return _marked(row, source), data
    if scheme == "file":
        return await filesystems.in_thread(_read_local, source, max_bytes)
    reading.bound(source, max_bytes)
    fs = await filesystems.filesystem_for_reads(source.uri)
    read = reading.READERS.get(scheme, reading.read_current)
    row = source if source.version or source.size >= 0 else await _current_row(source)
    try:
        return row, await reading.checked(row, await read(fs, reading.bound(row, max_bytes), max_bytes))
    except ChangedError:
        row = await _current_row(source)
        return row, await reading.checked(row, await read(fs, reading.bound(row, max_bytes), max_bytes))


async def _read_range(source: ImageObject, start: int, end: int) -> bytes:
    """One try."""
    fs = await filesystems.filesystem_for_reads(source.uri)
    read = reading.RANGE_READERS.get(filesystems.scheme_of(source.uri), reading.read_current_range)
    try:
        data = await read(fs, source, start, end)
    except ChangedError:
        if (await _current_row(source)).listed_version:
            raise VersionGoneError from None
        raise
    if len(data) != end - start:
        raise DamagedBodyError(f"{len(data):,} bytes arrived, {end - start:,} were asked for")
    return data


async def _current_row(source: ImageObject) -> ImageObject:
    """The row of what is there now; it says so when another version was listed."""
    if filesystems.is_local(source.uri):
        row = await filesystems.in_thread(storage.describe, source.uri)
    else:
        fs = await filesystems.filesystem_for_reads(source.uri)
        row = storage.describe_remote(source.uri, await filesystems.call(fs, "info", source.uri))
    return _marked(row, source)


def _marked(row: ImageObject, listed: ImageObject) -> ImageObject:
    changed = listed.version not in ("", row.version)
    row = row._replace(listed_version=listed.version) if changed else row
    row = row._replace(columns=listed.columns, reason=listed.reason)
    return row._replace(md5=listed.md5, copies=listed.copies) if listed.copies else row
