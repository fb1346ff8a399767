"""The fsspec filesystem of each store: one instance for a process, with our time-outs."""

from __future__ import annotations

import difflib
import functools
import inspect
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from importlib import import_module
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from transforms.stores import secrets
from transforms.stores.regular import open_regular

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

CONNECT_SECONDS = 15
# Without a byte for so long, a connection is given up. (A limit on the whole request would end large
# objects on slow lines; and no limit, the default of some stores, lets one stalled body hang a run.)
READ_SECONDS = 30
# Calls of stores without coroutines, the local disk above all, that may wait at once; their callers set lower bounds.
BLOCKING_CALLS = 256

# The schemes that are read. All else that fsspec knows is refused: chains (`simplecache::s3://…`), archives, shells.
SCHEMES = frozenset({"file", "gs", "gcs", "s3", "s3a", "az", "abfs", "abfss", "http", "https"})
# Of those that name the same store: the first of them, whose options are the others' too.
FAMILIES = {"gcs": "gs", "s3a": "s3", "abfs": "az", "abfss": "az"}

# Of what filesystems are made with, that which no option can say.
NO_OPTIONS = {"self", "args", "kwargs", "loop", "asynchronous"}
# Which gcsfs takes from among its `kwargs`, for its bucket types.
RETRIES_OF_GCS = {"retry_timeout", "retry_initial", "retry_maximum", "retry_multiplier"}
# Of web servers, which `http` reads.
WEB_OPTIONS = {
    "auth", "client_kwargs", "cookies", "headers", "params", "proxy", "proxy_auth", "proxy_headers", "server_hostname",
    "ssl", "timeout",
}  # fmt: skip

P = ParamSpec("P")
T = TypeVar("T")

# The Retry-After header of the last refusal that the current task met, of stores whose errors do not carry it.
last_retry_after: ContextVar[str] = ContextVar("last_retry_after", default="")

StorageOptions = Mapping[str, Mapping[str, Any]]
_options: dict[str, dict[str, Any]] = {}
_resolved: dict[str, dict[str, Any]] = {}
# fsspec keeps its instances as well, but finding one there costs 0.2 ms, a tenth of a fetch.
_instances: dict[tuple[int, str, bool], AbstractFileSystem] = {}


class SchemeError(ValueError):
    """A URI of a scheme that is not read."""

    def __init__(self, scheme: str):
        super().__init__(f"{scheme}:// is no store that is read here; they are local files, {READ_SCHEMES}")


class OptionError(ValueError):
    """An option that the filesystem of a store does not have; the text is a sentence, and tells no value."""


READ_SCHEMES = ", ".join(f"{scheme}://" for scheme in ("gs", "s3", "az", "http", "https"))


def configure(options: StorageOptions) -> None:
    """Sets the options of stores in this process: by scheme, what its fsspec filesystem is made with.

    Every DoFn that touches a store calls it first, since workers are processes of their own.
    """
    if _options == options:
        return
    _instances.clear()
    _options.clear()
    _resolved.clear()
    _options.update({scheme: dict(values) for scheme, values in options.items()})
    for values in options.values():
        secrets.remember_options(values)


def options_of(scheme: str) -> dict[str, Any]:
    """What `configure` was told of a store, by this name of it or another, with the secrets that it names.

    Raises:
        OptionError: a secret that is not where an option says.
    """
    if scheme not in _resolved:
        names = (scheme, *sorted(name for name in _options if family_of(name) == family_of(scheme)))
        given = next((_options[name] for name in names if name in _options), {})
        try:
            _resolved[scheme] = secrets.resolved(given)
        except ValueError as e:
            raise OptionError(f"{scheme}: {e}") from None
    return dict(_resolved[scheme])


def family_of(scheme: str) -> str:
    """The first of the schemes that name the same store."""
    return FAMILIES.get(scheme, scheme)


def scheme_of(uri: str) -> str:
    """The scheme of `uri`, in lower case; "file" for a local path, and for `file:` in its short form too."""
    scheme, separator, _ = uri.partition("://")
    return scheme.lower() if separator and "/" not in scheme else "file"


def is_local(uri: str) -> bool:
    return scheme_of(uri) == "file"


def filesystem(uri: str, *, retries: bool = True) -> AbstractFileSystem:
    """The fsspec filesystem of `uri`. Listings are never taken from a cache.

    Args:
        retries: whether it tries again by itself. Without, it is for reads only, under a policy of ours.

    Raises:
        ValueError: no such scheme.
        ImportError: the package of that scheme is not installed.
    """
    key = (os.getpid(), scheme_of(uri), retries)
    if key not in _instances:
        _instances[key] = _make(scheme_of(uri), retries)
    return _instances[key]


async def filesystem_for_reads(uri: str) -> AbstractFileSystem:
    """`filesystem` without retries; made in a thread, since credentials may be asked for over the network."""
    key = (os.getpid(), scheme_of(uri), False)
    if key not in _instances:
        await in_thread(filesystem, uri, retries=False)
    return _instances[key]


async def call(fs: AbstractFileSystem, method: str, *arguments: Any) -> Any:
    """A method of `fs`, which must be one for reads: its coroutine, or, where it has none, in a thread."""
    if fs.async_impl:
        return await getattr(fs, f"_{method}")(*arguments)
    return await in_thread(getattr(fs, method), *arguments)


async def in_thread(function: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """The result of a function that may wait."""
    import asyncio  # here, since it is a third of what a command line loads that is asked for its --help

    waiting = functools.partial(function, *arguments, **options)
    return await asyncio.get_running_loop().run_in_executor(_threads(os.getpid()), waiting)


@functools.cache
def _threads(process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(BLOCKING_CALLS, thread_name_prefix="store")


def _make(scheme: str, retries: bool) -> AbstractFileSystem:
    if scheme not in SCHEMES:
        raise SchemeError(scheme)
    make = {"file": _local, "gs": _gcs, "gcs": _gcs, "s3": _s3, "s3a": _s3}.get(scheme)
    options = options_of(scheme)
    return make(scheme, options, retries) if make else _fsspec(scheme, options)


def _fsspec(scheme: str, options: dict[str, Any]) -> AbstractFileSystem:
    import fsspec  # when a store is used: the command line knows their names alone

    check_names(scheme, fsspec.get_filesystem_class(scheme))
    return fsspec.filesystem(scheme, **options)


def check_names(scheme: str, kind: type | None = None) -> None:
    """Refuses options that a filesystem would hand on to what fails, or would drop without a word.

    Raises:
        OptionError: names the first of them, and what was probably meant.
    """
    known = _names_known(scheme, kind)
    for name in options_of(scheme):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
            hint = f"; did you mean {scheme}.{near[0]}?" if near else "; docs/operations.md has those that are"
            raise OptionError(f"{scheme}.{name} is no option of {scheme}://{hint}")


def _names_known(scheme: str, kind: type | None) -> list[str]:
    if scheme in ("http", "https"):
        return sorted(WEB_OPTIONS)
    kinds = [*kind.__mro__] if kind else []
    if family_of(scheme) == "s3":  # s3fs hands what it does not know to the session, such as the profile
        kinds += import_module("aiobotocore.session").AioSession.__mro__
    makers = [vars(each)["__init__"] for each in kinds if "__init__" in vars(each)]
    parameters = [inspect.signature(maker).parameters for maker in makers]
    return sorted({name for names in parameters for name in names} - NO_OPTIONS | RETRIES_OF_GCS)


def _local(scheme: str, options: dict[str, Any], _: bool) -> AbstractFileSystem:
    """Of this process's own, as it opens regular files alone for reading."""
    fs = _fsspec(scheme, {**options, "skip_instance_cache": True})
    open_any = fs._open

    def open_checked(path: str, mode: str = "rb", **how: Any) -> Any:
        return open_regular(path) if mode == "rb" else open_any(path, mode, **how)

    fs._open = open_checked
    return fs


def _gcs(scheme: str, options: dict[str, Any], retries: bool) -> AbstractFileSystem:
    """gcsfs's retries (six tries, about 34 s) are fixed in a decorator: it is taken off, of this instance."""
    if "endpoint_url" in options:
        # Else gcsfs asks the storage control API for the kind of each bucket; stand-ins have none.
        os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    options = {"use_listings_cache": False, "requests_timeout": client_timeout(), **options}
    options.setdefault("token", _token_of_gcs())
    if retries:
        return _fsspec(scheme, options)
    options["session_kwargs"] = {"trace_configs": [_tracing()], **options.get("session_kwargs", {})}
    fs = _fsspec(scheme, {**options, "own_retries": False})  # no option of gcsfs: it tells instances apart
    undecorated: Any = type(fs)._request.__wrapped__
    fs._request = undecorated.__get__(fs)
    return fs


def is_anonymous_by_default(uri: str) -> bool:
    """Whether a store is asked without credentials because none were found."""
    scheme = scheme_of(uri)
    return family_of(scheme) == "gs" and "token" not in options_of(scheme) and _token_of_gcs() == "anon"


@functools.cache
def _token_of_gcs() -> str | None:
    """gcsfs's own search for credentials (None), or "anon" where there are none to be found.

    Without a network its search takes most of 20 s for each filesystem, since it asks for a metadata server twice and
    with tries of its own. `google.auth.default` has asked by then: a machine of Google's is known by its firmware too.
    """
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    if os.path.exists(os.path.expanduser("~/.gcs_tokens")):  # what gcsfs has kept of its token "browser"
        return None
    try:
        google.auth.default()
    except DefaultCredentialsError:
        return "anon"
    return None


def _s3(scheme: str, options: dict[str, Any], retries: bool) -> AbstractFileSystem:
    """Both botocore and s3fs try again."""
    limits: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
    if not retries:
        limits["retries"] = {"total_max_attempts": 1}
    config = {**limits, **options.pop("config_kwargs", {})}
    fs = _fsspec(scheme, {"use_listings_cache": False, **options, "config_kwargs": config})
    if not retries:
        fs.retries = 1
    return fs


def client_timeout() -> Any:
    """aiohttp's, for one request."""
    from aiohttp import ClientTimeout

    return ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)


def _tracing() -> Any:
    """Keeps the Retry-After of refusals, which gcsfs's errors leave out."""
    from aiohttp import ClientSession, TraceConfig, TraceRequestEndParams

    async def ended(session: ClientSession, context: object, request: TraceRequestEndParams) -> None:
        if request.response.status >= 400:
            last_retry_after.set(request.response.headers.get("Retry-After", ""))

    tracing = TraceConfig()
    tracing.on_request_end.append(ended)
    return tracing
