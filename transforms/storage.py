"""Objects and folders behind one door: local paths and fsspec's stores.

Local files are named by their absolute path, objects by `scheme://…`. Names are taken literally:
`#`, `?`, `[`, `%`, spaces and `::` mean nothing here. Of fsspec, only methods are used that take one
name and do not expand it.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import shutil
import uuid
from collections.abc import Mapping
from datetime import datetime
from stat import S_ISREG
from typing import Any

import fsspec
from fsspec import AbstractFileSystem

from transforms.elements import ImageObject

LOCAL_SCHEME = "file://"
CONNECT_SECONDS = 15
# Without a byte for so long, a connection is given up. (A limit on the whole request would end large
# objects on slow lines; and no limit, the default of some stores, lets one stalled body hang a run.)
READ_SECONDS = 30
# Larger files are uploaded in such parts (resumable, multipart), of which one that fails is sent again alone.
UPLOAD_CHUNK_BYTES = 8 << 20

StorageOptions = Mapping[str, Mapping[str, Any]]
_options: dict[str, dict[str, Any]] = {}
# fsspec keeps its instances as well, but finding one there costs 0.2 ms, a tenth of a fetch.
_filesystems: dict[tuple[int, str, int | None], AbstractFileSystem] = {}


class NotAFileError(OSError):
    """A local name that is no regular file."""


def configure(options: StorageOptions) -> None:
    """Sets the options of stores in this process: by scheme, what its fsspec filesystem is made with.

    Every DoFn that touches a store calls it first, since workers are processes of their own.
    """
    if _options == options:
        return
    _filesystems.clear()
    _options.clear()
    _options.update({scheme: dict(values) for scheme, values in options.items()})


def scheme_of(uri: str) -> str:
    """The scheme of `uri`, "file" for a local path."""
    scheme, separator, _ = uri.partition("://")
    return scheme if separator and "/" not in scheme else "file"


def is_local(uri: str) -> bool:
    return scheme_of(uri) == "file"


def normalize(uri: str) -> str:
    """One spelling for each object: local paths absolute and without `file://`, no trailing slash."""
    if is_local(uri):
        path = os.path.abspath(os.path.expanduser(uri.removeprefix(LOCAL_SCHEME)))
        return "/" + path.lstrip("/")  # POSIX lets two slashes stand
    return uri.rstrip("/")


def filesystem(uri: str, max_attempts: int | None = None) -> AbstractFileSystem:
    """The fsspec filesystem of `uri`, one instance for a process and its options.

    Listings are never taken from a cache, and a store that says nothing is given up.

    Args:
        max_attempts: of botocore for one request of S3; makes an instance of its own for any store.

    Raises:
        ValueError: no such scheme.
        ImportError: the package of that scheme is not installed.
    """
    scheme = scheme_of(uri)
    key = (os.getpid(), scheme, max_attempts)
    if key not in _filesystems:
        _filesystems[key] = _make_filesystem(scheme, max_attempts)
    return _filesystems[key]


def _make_filesystem(scheme: str, max_attempts: int | None) -> AbstractFileSystem:
    options = dict(_options.get(scheme, {}))
    if scheme in ("gs", "gcs"):
        if "endpoint_url" in options:
            # Else gcsfs asks the storage control API for the kind of each bucket; stand-ins have none.
            os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        options = {"use_listings_cache": False, "requests_timeout": _client_timeout(), **options}
        if max_attempts is not None:
            options["max_attempts"] = max_attempts  # no option of gcsfs: it tells the instances apart
    elif scheme in ("http", "https"):
        options = {"use_listings_cache": False, "client_kwargs": {"timeout": _client_timeout()}, **options}
    elif scheme in ("s3", "s3a"):
        limits: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS, "read_timeout": READ_SECONDS}
        if max_attempts is not None:
            limits["retries"] = {"total_max_attempts": max_attempts}
        options = {
            "use_listings_cache": False,
            **options,
            "config_kwargs": {**limits, **options.get("config_kwargs", {})},
        }
    return fsspec.filesystem(scheme, **options)


def _client_timeout() -> Any:
    from aiohttp import ClientTimeout

    return ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS)


def join(folder: str, *names: str) -> str:
    return posixpath.join(folder, *names)


def describe(uri: str, fs: AbstractFileSystem | None = None) -> ImageObject:
    """The listing row of one object, asked of its store, through `fs` where one is given.

    Raises:
        OSError: no such object, no permission, …; stores raise errors of their own as well.
    """
    if is_local(uri):
        return describe_local(uri, os.stat(uri))
    return describe_remote(uri, (fs or filesystem(uri)).info(uri))


def describe_local(path: str, stat: os.stat_result) -> ImageObject:
    """A local file's version is its size and its modification time in nanoseconds.

    Raises:
        NotAFileError: a folder, or a device or pipe, which might never end.
    """
    if not S_ISREG(stat.st_mode):
        raise NotAFileError(f"{path} is a folder, a device or a pipe, not a file")
    return ImageObject(path, stat.st_size, f"{stat.st_size}-{stat.st_mtime_ns}", stat.st_mtime)


def describe_remote(uri: str, info: dict[str, Any]) -> ImageObject:
    """The version is the generation on Google Cloud Storage, the ETag elsewhere."""
    version = info.get("generation") or info.get("ETag") or info.get("etag") or ""
    updated = info.get("updated") or info.get("LastModified") or info.get("last_modified")
    if isinstance(updated, str):
        updated = datetime.fromisoformat(updated)
    # A store that unpacks an object on its way out sends bytes of another size than it lists.
    unpacked = info.get("contentEncoding") == "gzip"
    checksum = "" if unpacked else f"crc32c:{info['crc32c']}" if info.get("crc32c") else ""
    if not checksum and not unpacked and info.get("md5Hash"):
        checksum = f"md5:{info['md5Hash']}"
    return ImageObject(
        uri,
        -1 if unpacked or info.get("size") is None else int(info["size"]),
        str(version).strip('"'),
        None if updated is None else float(updated.timestamp()),
        checksum,
    )


def read_bytes(uri: str) -> bytes:
    data: bytes = filesystem(uri).cat_file(uri)
    return data


def write_bytes(uri: str, data: bytes, *, exclusive: bool = False) -> None:
    """Writes an object that appears whole or not at all.

    Raises:
        FileExistsError: it was there, and `exclusive`; the store decides, so that only one can win.
    """
    if not is_local(uri):
        filesystem(uri).pipe_file(uri, data, **({"mode": "create"} if exclusive else {}))
        return
    os.makedirs(os.path.dirname(uri), exist_ok=True)
    partial = f"{uri}.{uuid.uuid4().hex[:8]}.partial"
    with open(partial, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    if not exclusive:
        os.replace(partial, uri)
        return
    try:
        os.link(partial, uri)
    finally:
        os.remove(partial)


def upload(local_path: str, uri: str) -> None:
    """Moves a finished local file to `uri`."""
    if is_local(uri):
        os.makedirs(os.path.dirname(uri), exist_ok=True)
        shutil.move(local_path, uri)  # a rename, where both are on one disk
        with open(uri, "rb") as file:
            os.fsync(file.fileno())
        return
    in_chunks = {"chunksize": UPLOAD_CHUNK_BYTES} if scheme_of(uri) in ("gs", "gcs", "s3", "s3a") else {}
    filesystem(uri).put_file(local_path, uri, **in_chunks)
    os.remove(local_path)


def move(source: str, target: str) -> None:
    """Renames an object, in a store by a copy on its side; done already (a retry) is no error."""
    if is_local(source):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.exists(source) or not os.path.exists(target):
            os.replace(source, target)
        return
    fs = filesystem(source)
    if fs.exists(source) or not fs.exists(target):
        fs.cp_file(source, target)
        fs.rm_file(source)


def exists(uri: str) -> bool:
    return bool(filesystem(uri).exists(uri))


def remove_folder(uri: str) -> None:
    """Removes a folder and all that is in it, and its local parents if empty; a missing one is no error."""
    if is_local(uri):
        shutil.rmtree(uri, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.removedirs(os.path.dirname(uri))
        return
    fs = filesystem(uri)
    for path in fs.find(uri):
        with contextlib.suppress(FileNotFoundError):
            fs.rm_file(path)
