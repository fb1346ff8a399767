"""Objects and folders behind one door: local paths and fsspec's stores.

Local files are named by their absolute path (see `uri_of`), objects by `scheme://…`. Names are taken literally:
`#`, `?`, `[`, `%`, spaces and `::` mean nothing here. Of fsspec, only methods are used that take one
name and do not expand it.
"""

from __future__ import annotations

import base64
import contextlib
import os
import posixpath
import re
import shutil
import uuid
from binascii import a2b_base64, b2a_hex
from datetime import datetime
from typing import IO, Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

from transforms.elements import ImageObject
from transforms.stores.filesystems import filesystem, is_local, scheme_of
from transforms.stores.regular import NotAFileError as NotAFileError
from transforms.stores.regular import check_regular, open_regular
from transforms.stores.spooling import give_name, naming

LOCAL_SCHEME = "file://"
FILE_URI = re.compile("file:/", re.IGNORECASE)
WEB_SCHEMES = ("http", "https")
# Larger files are uploaded in such parts (resumable, multipart), of which one that fails is sent again alone.
UPLOAD_CHUNK_BYTES = 8 << 20
COPY_BYTES = 1 << 20


class TooLargeError(OSError):
    """An object that is larger than what was asked for can be."""


class ForeignFileError(ValueError):
    """A `file:` URI that names a file of another machine."""

    def __init__(self, host: str):
        super().__init__(f"file://{host}/… names a file of another machine; one of this machine is file:///…")


def normalize(uri: str) -> str:
    """One spelling for each object: local paths absolute and without `file://`, no trailing slash.

    Web servers tell a trailing slash from none, so theirs are left as they are.

    Raises:
        ForeignFileError: a `file:` URI of another machine.
    """
    scheme = scheme_of(uri)
    if scheme == "file":
        path = path_of(uri) if FILE_URI.match(uri) else os.path.expanduser(uri)
        return uri_of("/" + os.path.abspath(path).lstrip("/"))  # POSIX lets two slashes stand
    rest = uri.partition("://")[2]
    return f"{scheme}://{rest if scheme in WEB_SCHEMES else rest.rstrip('/')}"


def uri_of(path: str) -> str:
    """The text that names a local file: its path, or, where that is no UTF-8, its `file:` URI.

    Records and ledgers hold text; the escapes of a URI (RFC 8089) stand for bytes, whatever alphabet they are of.
    """
    try:
        path.encode()
    except UnicodeEncodeError:  # Python holds odd bytes as lone surrogates
        return LOCAL_SCHEME + quote_from_bytes(os.fsencode(path))
    return path


def path_of(uri: str) -> str:
    """The local path that a text names: `uri_of` undone; of any `file:` URI, its path with the escapes resolved.

    `#` and `?` are taken for a part of the name, as everywhere here.

    Raises:
        ForeignFileError: of another machine.
    """
    if not FILE_URI.match(uri):
        return uri
    rest = uri[len("file:") :]
    if rest.startswith("//"):
        host, _, path = rest[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            raise ForeignFileError(host)
        rest = "/" + path
    return os.fsdecode(unquote_to_bytes(os.fsencode(rest)))


def join(folder: str, *names: str) -> str:
    return posixpath.join(folder, *names)


def describe(uri: str) -> ImageObject:
    """The listing row of one object, asked of its store.

    Raises:
        OSError: no such object, no permission, …; stores raise errors of their own as well.
    """
    if is_local(uri):
        return describe_local(uri, os.stat(path_of(uri)))
    return describe_remote(uri, filesystem(uri).info(uri))


def describe_local(uri: str, stat: os.stat_result) -> ImageObject:
    """A local file's version is its size and its modification time in nanoseconds.

    Raises:
        NotAFileError: a folder, or a device or pipe, which might never end.
    """
    check_regular(uri, stat)
    return ImageObject(uri, stat.st_size, f"{stat.st_size}-{stat.st_mtime_ns}", stat.st_mtime)


def describe_remote(uri: str, info: dict[str, Any]) -> ImageObject:
    """The version is the generation on Google Cloud Storage, the ETag elsewhere.

    A listing of a billion does this a billion times: it is written to be fast.
    """
    get = info.get
    version = str(get("generation") or get("ETag") or get("etag") or "").strip('"')
    updated, size = get("updated") or get("LastModified") or get("last_modified"), get("size")
    if isinstance(updated, str):
        updated = datetime.fromisoformat(updated)
    seconds = None if updated is None else updated.timestamp()
    # A store that unpacks an object on its way out sends bytes of another size than it lists.
    if get("contentEncoding") == "gzip":
        return ImageObject(uri, -1, version, seconds)
    md5 = get("md5Hash") or _azures_md5(info)
    checksum = f"md5:{md5}" if md5 else ""
    if crc32c := get("crc32c"):
        checksum = f"crc32c:{crc32c}"
    md5 = b2a_hex(a2b_base64(md5)).decode() if md5 else _md5_of_etag(uri, info)
    return ImageObject(uri, -1 if size is None else int(size), version, seconds, checksum, "", md5)


def _md5_of_etag(uri: str, info: dict[str, Any]) -> str:
    """In hexadecimal: the ETag of S3 is one, but for objects of several parts."""
    etag = str(info.get("ETag") or "").strip('"').lower()
    return etag if scheme_of(uri) in ("s3", "s3a") and re.fullmatch(r"[0-9a-f]{32}", etag) else ""


def _azures_md5(info: dict[str, Any]) -> str:
    """In base64; "" where it is not listed."""
    md5 = (info.get("content_settings") or {}).get("content_md5")
    return base64.b64encode(md5).decode() if md5 else ""


def read_bytes(uri: str, limit: int | None = None) -> bytes:
    """The bytes of an object.

    Raises:
        TooLargeError: there are more than `limit`.
        NotAFileError: a local name of no regular file.
    """
    if not is_local(uri):
        if limit is not None:
            _check_size(describe(uri).size, limit)
        data: bytes = filesystem(uri).cat_file(uri)
        return data
    with open_regular(path_of(uri)) as file:
        if limit is None:
            return file.read()
        size = os.fstat(file.fileno()).st_size
        _check_size(size, limit)
        data = file.read(size + 1)
    if len(data) > size:  # as of files in /proc, some of which do not end
        raise TooLargeError(f"more than the {size:,} bytes that it tells of")
    return data


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise TooLargeError(f"{size:,} bytes, more than {limit:,}")


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


def upload(file: IO[bytes], uri: str) -> None:
    """Copies a finished file to `uri`, where it appears whole or not at all; after a failure it may be called again.

    Args:
        file: open for reading, at any place; it needs no name, see `transforms.stores.spooling`. A spool that lies on
            the disk where it is to be is not copied: it becomes that file.
    """
    file.flush()
    file.seek(0)
    if not is_local(uri):
        in_chunks = {"chunksize": UPLOAD_CHUNK_BYTES} if scheme_of(uri) in ("gs", "gcs", "s3", "s3a") else {}
        # Only what stores do with a path sends parts again, compares checksums and takes back what was not finished.
        # This one opens the same file, with a name or without, on Linux and macOS.
        filesystem(uri).put_file(f"/dev/fd/{file.fileno()}", uri, **in_chunks)
        return
    os.makedirs(os.path.dirname(uri), exist_ok=True)
    with naming(uri):
        if give_name(file, uri):
            return
    partial = f"{uri}.{uuid.uuid4().hex[:8]}.partial"
    try:
        with naming(partial), open(partial, "wb") as copy:
            shutil.copyfileobj(file, copy, COPY_BYTES)
            copy.flush()
            os.fsync(copy.fileno())
        os.replace(partial, uri)
    except OSError:  # of a full disk, where the rest would be missed
        with contextlib.suppress(OSError):
            os.remove(partial)
        raise


def move(source: str, target: str) -> None:
    """Renames an object, in a store by a copy on its side; done already (a retry) is no error.

    Raises:
        FileExistsError: a local file of the target's name, which no earlier try can have left.
    """
    if is_local(source):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        there = os.path.lexists(target)
        if os.path.exists(source) and there:
            raise FileExistsError(f"{target} is there already, and {source} as well")
        if not there:
            os.rename(source, target)
        return
    fs = filesystem(source)
    if fs.exists(source) or not fs.exists(target):
        fs.cp_file(source, target)
        fs.rm_file(source)


def copy(source: str, target: str) -> None:
    """Has an object stand under another name as well; one of that name is replaced. A local file is the same one then.

    In a store it is copied on its side. What stands there is never changed in place, so one file is as good as two.
    """
    if not is_local(source) or not is_local(target):
        if is_local(source) or is_local(target) or scheme_of(source) != scheme_of(target):
            raise ValueError(f"{source} and {target} are in different stores")
        filesystem(source).cp_file(source, target)
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    partial = f"{target}.{uuid.uuid4().hex[:8]}.partial"
    try:
        os.link(source, partial)
    except OSError:  # a file system without links, or another one
        shutil.copyfile(source, partial)
    os.replace(partial, target)
    with contextlib.suppress(FileNotFoundError):  # of two names of one file, the first one stays
        os.remove(partial)


def exists(uri: str) -> bool:
    """Whether there is an object, or a folder, of that name.

    Raises:
        OSError: that cannot be told; stores raise errors of their own as well.
    """
    if not is_local(uri):
        return bool(filesystem(uri).exists(uri))
    try:
        os.stat(path_of(uri))
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True
