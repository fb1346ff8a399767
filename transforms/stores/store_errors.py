"""What a store's error means: each library has classes of its own, and not all of them are OSErrors."""

from __future__ import annotations

import email.utils
import errno
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from transforms.stores import filesystems, storage
from transforms.stores.secrets import redacted

TRANSIENT_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})
MISSING_STATUS = frozenset({404, 410})
TRANSIENT_ERRNO = frozenset(
    {errno.EBUSY, errno.EIO, errno.ECONNRESET, errno.EPIPE, errno.ETIMEDOUT}  # s3fs's for 503, 500, …
    | {getattr(errno, "EREMOTEIO", errno.EIO)}
)
# Of their errors without a status: connections that broke, bodies that were cut, tokens not renewed just now.
NETWORK_PACKAGES = frozenset({"aiohttp", "aiobotocore", "azure", "botocore", "requests"})


class DamagedBodyError(Exception):
    """What arrived is not what the store lists: another size, or another checksum."""


class ChangedError(Exception):
    """The version that was listed is not there any more."""


class VersionGoneError(Exception):
    """As `ChangedError`, of an object of which parts were read already: another version is of no use."""

    def __init__(self) -> None:
        super().__init__("it has changed since it was listed")


def too_large(size: int, max_bytes: int) -> storage.TooLargeError:
    """Of an object of `size` bytes, as listed or as far as it was read: a sentence that names the option."""
    return storage.TooLargeError(f"{size:,} bytes at least; --max_object_bytes allows {max_bytes:,}")


class OutgrownError(Exception):
    """An object of more bytes than room was made for; with more room it can be read.

    Attributes:
        wanted: room for all that its server tells, or, where it does not, for all that is taken.
    """

    def __init__(self, wanted: int):
        super().__init__(f"room for {wanted:,} bytes is wanted")
        self.wanted = wanted


class WebError(Exception):
    """What a web server answers instead of an object, or why there is no answer; its text is a sentence.

    Attributes:
        status: of the answer; None where there is none.
        headers: of the answer.
        transient: another try may end better.
    """

    def __init__(
        self, text: str, *, status: int | None = None, headers: Mapping[str, str] | None = None, transient: bool = False
    ):
        super().__init__(text)
        self.status = status
        self.headers = headers or {}
        self.transient = transient

    @classmethod
    def of_answer(cls, status: int, headers: Mapping[str, str]) -> WebError:
        phrases = {known.value: known.phrase for known in HTTPStatus}
        text = f"the server answers {status} {phrases.get(status, '')}".rstrip()
        return cls(text, status=status, headers=headers, transient=status in TRANSIENT_STATUS or status >= 500)


def error_class(error: BaseException) -> str:
    """The class of a dead letter."""
    if isinstance(error, FileNotFoundError) or status_of(error) in MISSING_STATUS:
        return "NotFound"
    if isinstance(error, storage.TooLargeError):
        return "ObjectTooLarge"
    if isinstance(error, storage.NotAFileError):
        return "NotAFile"
    if isinstance(error, VersionGoneError):
        return "ContentChanged"
    if is_forbidden(error):
        return "PermissionDenied"
    # botocore and gcsfs have checksum errors of their own, for the stores' headers.
    damaged = isinstance(error, DamagedBodyError) or "Checksum" in type(error).__name__
    return "DamagedBody" if damaged else "FetchFailed"


def is_transient(error: BaseException) -> bool:
    """Whether another try may end better."""
    if isinstance(error, FileNotFoundError | PermissionError | storage.NotAFileError | storage.TooLargeError):
        return False
    if isinstance(error, WebError):
        return error.transient
    if isinstance(error, DamagedBodyError | ChangedError | TimeoutError | ConnectionError):
        return True
    status = status_of(error)
    if status is not None:
        return status in TRANSIENT_STATUS
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in TRANSIENT_ERRNO
    return type(error).__module__.partition(".")[0] in NETWORK_PACKAGES


def is_forbidden(error: BaseException) -> bool:
    """gcsfs tells a 403 by the text of a plain OSError, and a 401 by its code."""
    if isinstance(error, PermissionError):
        return True
    return status_of(error) in (401, 403) or (type(error) is OSError and str(error).startswith("Forbidden"))


def status_of(error: BaseException) -> int | None:
    """The HTTP status that a store's error carries.

    gcsfs's `code`, aiohttp's `status`, Azure's `status_code`, botocore's response.
    """
    for value in (
        getattr(error, "code", None),
        getattr(error, "status", None),
        getattr(error, "status_code", None),
        _boto_metadata(error).get("HTTPStatusCode"),
    ):
        if isinstance(value, int):
            return value
    return None


def code_of(error: BaseException) -> str:
    """What a store calls an error, such as AccessDenied: Azure's `error_code`, botocore's response; "" of others."""
    if isinstance(code := getattr(error, "error_code", None), str):
        return code
    for cause in (error, error.__cause__):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", ""))
    return ""


def retry_after_seconds(error: BaseException) -> float:
    """What the store asked to wait for, by its header (RFC 9110, 10.2.3: seconds, or a date); 0 for nothing.

    gcsfs's errors carry no headers: of its answers, `filesystems` keeps the header of the last one.
    """
    headers = getattr(error, "headers", None) or _boto_metadata(error).get("HTTPHeaders") or {}
    value = headers.get("Retry-After") or headers.get("retry-after") or filesystems.last_retry_after.get()
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):  # no date, or one without a zone
        return 0.0


def describe_error(error: BaseException) -> str:
    """One line for a person: many errors of connections have an empty text, and our own are sentences."""
    text = redacted(" ".join(str(error).split()))
    if isinstance(error, SENTENCES):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


SENTENCES = (
    DamagedBodyError,
    VersionGoneError,
    WebError,
    filesystems.OptionError,
    filesystems.SchemeError,
    storage.ForeignFileError,
    storage.NotAFileError,
    storage.TooLargeError,
)


def _boto_metadata(error: BaseException) -> dict[str, Any]:
    """Of botocore's error, or of the one that s3fs made an OSError of."""
    for cause in (error, error.__cause__):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            return dict(response.get("ResponseMetadata", {}))
    return {}
