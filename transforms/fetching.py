"""The bytes of an image object: the version that was listed, whole, through faults of the store.

One policy stands above all stores. gcsfs's own (six tries, about 34 s, fixed in a decorator), s3fs's
and botocore's are taken out of the way of reads, so that a number of tries means that number.
"""

from __future__ import annotations

import base64
import errno
import hashlib
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import google_crc32c
import tenacity
from fsspec import AbstractFileSystem
from fsspec.asyn import sync

from transforms import storage
from transforms.elements import ImageObject

TRANSIENT_STATUS = frozenset({408, 429, 500, 502, 503, 504})
TRANSIENT_ERRNO = frozenset(
    {errno.EBUSY, errno.EIO, errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT}  # s3fs's for 503, 500, …
    | {getattr(errno, "EREMOTEIO", errno.EIO)}
)
FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 20.0

T = TypeVar("T")


class Policy(NamedTuple):
    """How often and how long one object is tried.

    Attributes:
        retries: tries after the first one.
        seconds: after so long no further try is begun.
    """

    retries: int = 6
    seconds: float = 180.0


class DamagedBodyError(Exception):
    """What arrived is not what the store lists: another size, or another checksum."""


class ChangedError(Exception):
    """The version that was listed is not there any more."""


class FetchError(Exception):
    """An object that cannot be had; its text names the last error, and the tries if there were several.

    Attributes:
        error: the class for a dead letter.
    """

    def __init__(self, error: str, message: str):
        super().__init__(message)
        self.error = error


class Fetched(NamedTuple):
    """Attributes:
    source: the row of what was read, which is another version when the object has changed meanwhile.
    data: its bytes.
    retries: tries that were needed besides the first.
    """

    source: ImageObject
    data: bytes
    retries: int


def fetch(source: ImageObject, policy: Policy) -> Fetched:
    """Reads one object: the version of `source`, or the current one where that is gone or not told.

    Raises:
        FetchError: it cannot be had; transient failures after the last try.
    """
    (row, data), tries = _persist(lambda: _read(source), policy)
    return Fetched(row, data, tries - 1)


def describe(source: ImageObject, policy: Policy) -> ImageObject:
    """The row of an object of which only the name is known. Raises as `fetch` does."""
    row, _ = _persist(lambda: _renewed(source, _filesystem_without_retries(source.uri)), policy)
    return row


def _persist(attempt: Callable[[], T], policy: Policy) -> tuple[T, int]:
    """The result of the first try that succeeds, and their number."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(is_transient),
        wait=tenacity.wait_random_exponential(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS),
        stop=tenacity.stop_after_attempt(policy.retries + 1) | tenacity.stop_after_delay(policy.seconds),
        reraise=True,
    )
    try:
        result = retrying(attempt)
    except Exception as e:  # stores have error classes of their own, and not all are OSErrors
        tries = int(retrying.statistics["attempt_number"])
        suffix = f" (after {tries} tries)" if tries > 1 else ""
        error = error_class(e)
        reason = "the object is gone, or was never there" if error == "NotFound" else describe_error(e)
        raise FetchError(error, f"{reason}{suffix}") from e
    return result, int(retrying.statistics["attempt_number"])


def error_class(error: BaseException) -> str:
    """The class of a dead letter."""
    if isinstance(error, FileNotFoundError):
        return "NotFound"
    if isinstance(error, storage.NotAFileError):
        return "NotAFile"
    if is_forbidden(error):
        return "PermissionDenied"
    # botocore and gcsfs have checksum errors of their own, for the stores' headers.
    damaged = isinstance(error, DamagedBodyError) or "Checksum" in type(error).__name__
    return "DamagedBody" if damaged else "FetchFailed"


def is_transient(error: BaseException) -> bool:
    """Whether another try may end better."""
    if isinstance(error, FileNotFoundError | PermissionError | storage.NotAFileError):
        return False
    if isinstance(error, DamagedBodyError | ChangedError | TimeoutError | ConnectionError):
        return True
    status = status_of(error)
    if status is not None:
        return status in TRANSIENT_STATUS
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in TRANSIENT_ERRNO
    # Connections that broke, bodies that were cut, tokens that could not be renewed just now.
    return type(error).__module__.partition(".")[0] in ("aiohttp", "botocore", "aiobotocore", "requests")


def is_forbidden(error: BaseException) -> bool:
    """gcsfs tells a 403 by the text of a plain OSError, and a 401 by its code."""
    if isinstance(error, PermissionError):
        return True
    return status_of(error) in (401, 403) or (type(error) is OSError and str(error).startswith("Forbidden"))


def status_of(error: BaseException) -> int | None:
    """The HTTP status that a store's error carries: gcsfs's `code`, aiohttp's `status`, botocore's response."""
    for value in (
        getattr(error, "code", None),
        getattr(error, "status", None),
        _boto_status(error) or _boto_status(error.__cause__),
    ):
        if isinstance(value, int):
            return value
    return None


def _boto_status(error: BaseException | None) -> int | None:
    response = getattr(error, "response", None)
    if not isinstance(response, dict):
        return None
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return status if isinstance(status, int) else None


def describe_error(error: BaseException) -> str:
    """One line for a person: many errors of connections have an empty text."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _read(source: ImageObject) -> tuple[ImageObject, bytes]:
    """One try: the listed version, or, when that one is gone, what is there now."""
    fs = _filesystem_without_retries(source.uri)
    if not source.version or storage.is_local(source.uri):
        row = _renewed(source, fs)
        return row, _checked(row, fs.cat_file(row.uri))
    read = _READERS.get(storage.scheme_of(source.uri), _read_current)
    try:
        return source, _checked(source, read(fs, source))
    except ChangedError:
        row = _renewed(source, fs)
        return row, _checked(row, read(fs, row))


def _renewed(source: ImageObject, fs: AbstractFileSystem) -> ImageObject:
    """The row of what is there now; it says so when another version was listed."""
    row = storage.describe(source.uri, fs)
    return row if source.version in ("", row.version) else row._replace(listed_version=source.version)


def _checked(row: ImageObject, data: bytes) -> bytes:
    """gcsfs returns a cut or flipped body without a word when its length header agrees."""
    if row.size not in (-1, len(data)):
        raise DamagedBodyError(f"{len(data):,} bytes arrived, {row.size:,} are listed")
    kind, _, expected = row.checksum.partition(":")
    if kind:
        digest = google_crc32c.Checksum(data).digest() if kind == "crc32c" else hashlib.md5(data).digest()  # noqa: S324
        found = base64.b64encode(digest).decode()
        if found != expected:
            raise DamagedBodyError(f"{kind} {found} arrived, {expected} is listed")
    return data


def _read_gcs(fs: AbstractFileSystem, row: ImageObject) -> bytes:
    try:
        data: bytes = fs.cat_file(row.uri, generation=row.version or None)
    except FileNotFoundError:
        raise ChangedError(row.uri) from None  # that generation is gone; whether the object is, is asked next
    return data


def _read_s3(fs: AbstractFileSystem, row: ImageObject) -> bytes:
    bucket, key, _ = fs.split_path(row.uri)
    match = {"IfMatch": f'"{row.version}"'} if row.version else {}

    async def get() -> bytes:
        response = await fs._call_s3("get_object", Bucket=bucket, Key=key, **match, **fs.req_kw)
        try:
            data: bytes = await response["Body"].read()
        finally:
            response["Body"].close()
        return data

    try:
        data: bytes = sync(fs.loop, get)
    except OSError as e:
        if status_of(e) == 412:
            raise ChangedError(row.uri) from None
        raise
    return data


def _read_current(fs: AbstractFileSystem, row: ImageObject) -> bytes:
    """For stores whose fsspec filesystem cannot ask for a version."""
    data: bytes = fs.cat_file(row.uri)
    return data


_READERS: dict[str, Callable[[AbstractFileSystem, ImageObject], bytes]] = {
    "gs": _read_gcs,
    "gcs": _read_gcs,
    "s3": _read_s3,
    "s3a": _read_s3,
}


def _filesystem_without_retries(uri: str) -> AbstractFileSystem:
    """An instance for reads only, whose own retries are off."""
    scheme = storage.scheme_of(uri)
    if scheme in ("gs", "gcs"):
        fs = storage.filesystem(uri, max_attempts=1)
        undecorated: Any = type(fs)._request.__wrapped__
        fs._request = undecorated.__get__(fs)
        return fs
    if scheme in ("s3", "s3a"):
        fs = storage.filesystem(uri, max_attempts=1)
        fs.retries = 1
        return fs
    return storage.filesystem(uri)
