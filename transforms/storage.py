"""Objects and folders behind one door: local paths and fsspec's stores.

Local files are named by their absolute path, objects by `scheme://…`. Names are taken literally:
`#`, `?`, `[`, `%`, spaces and `::` mean nothing here.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import uuid
from datetime import datetime
from stat import S_ISREG
from typing import Any

import fsspec
from fsspec import AbstractFileSystem

from transforms.elements import ImageObject

LOCAL_SCHEME = "file://"


class NotAFileError(OSError):
    """A local name that is no regular file."""


def scheme_of(uri: str) -> str:
    """The scheme of `uri`, "file" for a local path."""
    scheme, separator, _ = uri.partition("://")
    return scheme if separator and "/" not in scheme else "file"


def is_local(uri: str) -> bool:
    return scheme_of(uri) == "file"


def normalize(uri: str) -> str:
    """One spelling for each object: local paths absolute and without `file://`, no trailing slash."""
    if is_local(uri):
        return os.path.abspath(os.path.expanduser(uri.removeprefix(LOCAL_SCHEME)))
    return uri.rstrip("/")


def filesystem(uri: str) -> AbstractFileSystem:
    """The fsspec filesystem of `uri`; fsspec keeps one instance a process.

    Raises:
        ValueError: no such scheme.
        ImportError: the package of that scheme is not installed.
    """
    return fsspec.filesystem(scheme_of(uri))


def join(folder: str, *names: str) -> str:
    return posixpath.join(folder, *names)


def describe(uri: str) -> ImageObject:
    """The listing row of one object, asked of its store.

    Raises:
        OSError: no such object, no permission, …; stores raise errors of their own as well.
    """
    if is_local(uri):
        return describe_local(uri, os.stat(uri))
    return describe_remote(uri, filesystem(uri).info(uri))


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
    return ImageObject(
        uri,
        -1 if info.get("size") is None else int(info["size"]),
        str(version).strip('"'),
        None if updated is None else float(updated.timestamp()),
    )


def read_bytes(uri: str) -> bytes:
    data: bytes = filesystem(uri).cat_file(uri)
    return data


def write_bytes(uri: str, data: bytes) -> None:
    """Writes an object that appears whole or not at all."""
    fs = filesystem(uri)
    if not is_local(uri):
        fs.pipe_file(uri, data)
        return
    os.makedirs(os.path.dirname(uri), exist_ok=True)
    partial = f"{uri}.{uuid.uuid4().hex[:8]}.partial"
    with open(partial, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, uri)


def upload(local_path: str, uri: str) -> None:
    """Moves a finished local file to `uri`."""
    if is_local(uri):
        os.makedirs(os.path.dirname(uri), exist_ok=True)
    filesystem(uri).put_file(local_path, uri)
    os.remove(local_path)


def move(source: str, target: str) -> None:
    """Renames an object; done already (a retried bundle) is no error."""
    fs = filesystem(source)
    if is_local(source):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.exists(source) or not os.path.exists(target):
            os.replace(source, target)
        return
    if fs.exists(source) or not fs.exists(target):
        fs.mv(source, target)


def exists(uri: str) -> bool:
    return bool(filesystem(uri).exists(uri))


def remove_folder(uri: str) -> None:
    """Removes a folder and all that is in it; a missing one is no error."""
    fs = filesystem(uri)
    with contextlib.suppress(FileNotFoundError):
        fs.rm(uri, recursive=True)
