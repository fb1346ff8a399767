"""The first answer of a store: whether it can be reached, knows who asks, and has the bucket.

It is asked for the name of one object, so that what is wrong is said once, at the beginning and with the URI, in place
of what the store's library makes of it somewhere later. All else that may go wrong is left to the work itself.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from transforms.stores import filesystems, storage
from transforms.stores.store_errors import code_of, describe_error, is_forbidden, status_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

# No name, no address, no connection: tried again for so long, since a network may just be coming up.
PERSISTS_SECONDS = 10.0
WAIT_SECONDS = 1.0
REFUSED_SECONDS = 0.5  # by a machine that is there, and where nothing listens
# And all together, the search for credentials and a server that takes connections and is silent included.
ANSWER_SECONDS = 30.0
CREDENTIALS = "see docs/operations.md, 'Credentials and options'"
# Classes of errors that libraries raise before they ask anybody.
NO_CREDENTIALS = (
    "NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ProfileNotFound",
    "CredentialUnavailableError",
)  # fmt: skip
LONGEST = 300  # characters of what a library says, which may be a page
# What stores say with a 403 or a 400 of who asks, where one of whom they know but who may not is AccessDenied.
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
UNKNOWN_TO_THE_STORE = frozenset(
    {"AuthenticationFailed", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch"}
)


class StoreError(Exception):
    """A store that cannot be worked with; the text is a sentence that names the URI."""


def check_store(uri: str, *, lists: bool = True) -> bool:
    """Asks the store of a URI for one name below it, and tells whether there is any.

    Args:
        uri: of a store; local paths and web servers have none.
        lists: whether listings are needed. Without, a store that allows none has answered.

    Raises:
        StoreError: it does not answer, there are no credentials, or it does not take them, or has no such bucket.
        OptionError: one of its options is none.
    """
    scheme = filesystems.scheme_of(uri)
    if scheme == "file" or scheme in storage.WEB_SCHEMES:
        return True
    if not bucket_of(uri):
        raise StoreError(f"{uri}: it names no bucket; that stands right behind {scheme}://")
    try:
        return _within(ANSWER_SECONDS, lambda: _persist(uri))
    except filesystems.OptionError:
        raise
    except TimeoutError:
        raise StoreError(f"{uri}: {_place(uri)} does not answer within {ANSWER_SECONDS:.0f} s{_hint(uri)}") from None
    except Exception as e:  # stores have error classes of their own
        if not lists and _is_refusal(e):
            return True
        if sentence := _sentence(uri, e):
            raise StoreError(f"{uri}: {sentence}") from e
        if _is_silence(e):
            raise StoreError(f"{uri}: {_place(uri)} does not answer ({_said(e)}){_hint(uri)}") from e
        if status_of(e) is not None:
            return True  # it is there; what is wrong with it may be over soon
        raise StoreError(f"{uri}: {_said(e)}; {CREDENTIALS}") from e


def bucket_of(uri: str) -> str:
    """The bucket, or container, of a URI of a store; "" where it has none."""
    return uri.partition("://")[2].partition("/")[0]


def _sentence(uri: str, error: Exception) -> str:
    """What is wrong with credentials or bucket; "" when it is something else."""
    scheme, said = filesystems.scheme_of(uri), _said(error)
    public = "; --storage_option s3.anon=true reads what all may" if filesystems.family_of(scheme) == "s3" else ""
    if _lacks_credentials(error):
        return (
            f"no credentials for {scheme}:// are found ({said}); give some by --storage_option{public}, {CREDENTIALS}"
        )
    if filesystems.is_anonymous_by_default(uri) and status_of(error) in (401, 403):
        return f"no credentials for {scheme}:// are found, and the store wants some ({said}); {CREDENTIALS}"
    if status_of(error) == 401 or code_of(error) in UNKNOWN_TO_THE_STORE:
        return f"the store does not take the credentials ({said}); {CREDENTIALS}"
    if is_forbidden(error):
        return f"these credentials may not list it ({said}); give ones that may, see docs/operations.md"
    if isinstance(error, FileNotFoundError) or status_of(error) == 404:
        kind = "container" if filesystems.family_of(scheme) == "az" else "bucket"
        return f"there is no {kind} {bucket_of(uri)!r} in {_place(uri)}"
    return ""


def _said(error: Exception) -> str:
    said = describe_error(error)
    return said if len(said) <= LONGEST else f"{said[:LONGEST]} …"


def _lacks_credentials(error: Exception) -> bool:
    """azure.identity calls it so when none of its many ways has led to any."""
    name = type(error).__name__
    return name in NO_CREDENTIALS or (name == "ClientAuthenticationError" and status_of(error) is None)


def _is_refusal(error: Exception) -> bool:
    """Of one who is known and may not list."""
    return is_forbidden(error) and status_of(error) != 401 and code_of(error) not in UNKNOWN_TO_THE_STORE


def _is_silence(error: Exception) -> bool:
    """Whether nobody has answered at all."""
    package = type(error).__module__.partition(".")[0]
    of_the_network = package in ("aiohttp", "aiobotocore", "botocore", "azure", "requests") or "Transport" in str(
        type(error)
    )
    return status_of(error) is None and (of_the_network or isinstance(error, ConnectionError | TimeoutError))


def _is_refused(error: BaseException | None) -> bool:
    """Whether an error, or what led to it, is a connection that was refused."""
    while error is not None:
        if getattr(error, "errno", None) == errno.ECONNREFUSED:
            return True
        error = error.__cause__ or error.__context__
    return False


def _place(uri: str) -> str:
    """Where a store is asked, as far as its options tell."""
    scheme = filesystems.scheme_of(uri)
    return str(filesystems.options_of(scheme).get("endpoint_url") or f"{scheme}://")


def _hint(uri: str) -> str:
    scheme = filesystems.scheme_of(uri)
    given = filesystems.options_of(scheme).get("endpoint_url")
    return f"; is {scheme}.endpoint_url right, and the server running?" if given else "; is there a network?"


def _persist(uri: str) -> bool:
    """Asks until somebody answers, or for `PERSISTS_SECONDS`."""
    from fsspec.asyn import get_loop, sync  # when a store is used: the command line knows their names alone

    began = time.monotonic()
    while True:
        try:
            fs = filesystems.filesystem(uri, retries=False)
            ask = _ASKERS[filesystems.family_of(filesystems.scheme_of(uri))]
            found: bool = sync(get_loop(), ask, fs, bucket_of(uri), _prefix(uri))
            return found
        except Exception as e:
            seconds = REFUSED_SECONDS if _is_refused(e) else PERSISTS_SECONDS
            if _lacks_credentials(e) or not _is_silence(e) or time.monotonic() > began + seconds:
                raise
        time.sleep(WAIT_SECONDS)


def _prefix(uri: str) -> str:
    """Of what lies below a URI; "" of a bucket."""
    key = uri.partition("://")[2].partition("/")[2].rstrip("/")
    return f"{key}/" if key else ""


def _within(seconds: float, work: Callable[[], bool]) -> bool:
    """The result of what may wait for a network in ways that know no bounds.

    Raises:
        TimeoutError: it is still at it; its thread is left behind and holds up nothing.
    """
    results: list[bool] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as e:
            errors.append(e)

    thread = threading.Thread(target=run, daemon=True, name="first answer")
    thread.start()
    thread.join(seconds)
    if errors:
        raise errors[0]
    if not results:
        raise TimeoutError
    return results[0]


async def _ask_gcs(fs: AbstractFileSystem, bucket: str, prefix: str) -> bool:
    asked = {"prefix": prefix} if prefix else {}
    page = await fs._call("GET", "b/{}/o", bucket, json_out=True, maxResults=1, fields="items(name)", **asked)
    return bool(page.get("items"))


async def _ask_s3(fs: AbstractFileSystem, bucket: str, prefix: str) -> bool:
    page = await fs._call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1, **fs.req_kw)
    return bool(page.get("Contents"))


async def _ask_azure(fs: AbstractFileSystem, bucket: str, prefix: str) -> bool:
    async with fs.service_client.get_container_client(bucket) as client:
        async for _ in client.list_blobs(name_starts_with=prefix or None, results_per_page=1, retry_total=0):
            return True
    return False


Ask = Callable[["AbstractFileSystem", str, str], Awaitable[bool]]
_ASKERS: dict[str, Ask] = {"gs": _ask_gcs, "s3": _ask_s3, "az": _ask_azure}
