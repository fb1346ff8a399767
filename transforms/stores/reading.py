"""One read of one object, by the ways of each store; and what arrives, compared with what is listed."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import google_crc32c
from fsspec import AbstractFileSystem

from transforms.elements import ImageObject
from transforms.stores import filesystems, storage
from transforms.stores.regular import open_descriptor
from transforms.stores.store_errors import ChangedError, DamagedBodyError, WebError, status_of, too_large

# Checksums of larger bodies are computed in a thread, so that the other fetches go on meanwhile.
LARGE_BYTES = 1 << 20


def bound(row: ImageObject, max_bytes: int) -> ImageObject:
    """The row itself; a `storage.TooLargeError` when it tells of more bytes than are taken."""
    if row.size > max_bytes:
        raise too_large(row.size, max_bytes)
    return row


async def checked(row: ImageObject, data: bytes) -> bytes:
    if len(data) < LARGE_BYTES:
        compare(row, data)
    else:
        await filesystems.in_thread(compare, row, data)
    return data


def compare(row: ImageObject, data: bytes) -> None:
    """Compares what arrived with what is listed: gcsfs gives a cut or flipped body when its length header agrees.

    Raises:
        DamagedBodyError: they differ.
    """
    if row.size not in (-1, len(data)):
        raise DamagedBodyError(f"{len(data):,} bytes arrived, {row.size:,} are listed")
    kind, _, expected = row.checksum.partition(":")
    if kind:
        digest = google_crc32c.Checksum(data).digest() if kind == "crc32c" else hashlib.md5(data).digest()  # noqa: S324
        found = base64.b64encode(digest).decode()
        if found != expected:
            raise DamagedBodyError(f"{kind} {found} arrived, {expected} is listed")


def read_local(source: ImageObject, max_bytes: int) -> tuple[ImageObject, bytes]:
    """The row of what is read, and its bytes: by as few calls of the system as can be, at each of which another thread
    takes the interpreter."""
    descriptor, stat = open_descriptor(storage.path_of(source.uri), source.uri)
    try:
        row = bound(storage.describe_local(source.uri, stat), max_bytes)
        pieces = [os.read(descriptor, row.size + 1)]  # more than that, and it has grown meanwhile
        while pieces[-1] and sum(map(len, pieces)) < row.size:
            pieces.append(os.read(descriptor, row.size))
    finally:
        os.close(descriptor)
    return row, pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _read_gcs(fs: AbstractFileSystem, row: ImageObject, max_bytes: int) -> bytes:
    try:
        if row.size < 0:
            return await _read_gcs_unpacked(fs, row, max_bytes)
        data: bytes = await fs._cat_file(row.uri, generation=row.version or None)
    except FileNotFoundError:
        raise ChangedError(row.uri) from None  # that generation is gone; whether the object is, is asked next
    return data


async def _read_gcs_unpacked(fs: AbstractFileSystem, row: ImageObject, max_bytes: int) -> bytes:
    """Of an object that is unpacked on its way, of whose size the listing tells nothing: gcsfs would read all of it."""
    await fs._set_session()
    url = fs.url(row.uri, generation=row.version or None)
    options = {"params": fs._get_params({}), "headers": fs._get_headers(None), "timeout": fs.requests_timeout}
    data = bytearray()
    async with fs.session.get(url, **options) as response:
        if response.status == HTTPStatus.NOT_FOUND:
            raise ChangedError(row.uri)
        if response.status != HTTPStatus.OK:
            raise WebError.of_answer(response.status, response.headers)
        async for piece in response.content.iter_any():
            data += piece
            if len(data) > max_bytes:
                raise too_large(len(data), max_bytes)
    return bytes(data)


async def _read_s3(fs: AbstractFileSystem, row: ImageObject, _: int) -> bytes:
    return await _get_s3(fs, row)


async def _get_s3(fs: AbstractFileSystem, row: ImageObject, **part: str) -> bytes:
    bucket, key, _ = fs.split_path(row.uri)
    match = {"IfMatch": f'"{row.version}"'} if row.version else {}
    try:
        response = await fs._call_s3("get_object", Bucket=bucket, Key=key, **match, **part, **fs.req_kw)
    except OSError as e:
        if status_of(e) == 412:
            raise ChangedError(row.uri) from None
        raise
    try:
        data: bytes = await response["Body"].read()
    finally:
        response["Body"].close()
    return data


async def read_current(fs: AbstractFileSystem, row: ImageObject, _: int) -> bytes:
    """For stores whose fsspec filesystem cannot ask for a version."""
    data: bytes = await filesystems.call(fs, "cat_file", row.uri)
    return data


READERS: dict[str, Callable[[AbstractFileSystem, ImageObject, int], Awaitable[bytes]]] = {
    "gs": _read_gcs,
    "gcs": _read_gcs,
    "s3": _read_s3,
    "s3a": _read_s3,
}


async def _range_of_gcs(fs: AbstractFileSystem, row: ImageObject, start: int, end: int) -> bytes:
    try:
        data: bytes = await fs._cat_file(row.uri, start=start, end=end, generation=row.version or None)
    except FileNotFoundError:
        raise ChangedError(row.uri) from None
    return data


async def _range_of_s3(fs: AbstractFileSystem, row: ImageObject, start: int, end: int) -> bytes:
    return await _get_s3(fs, row, Range=f"bytes={start}-{end - 1}")


async def _range_of_azure(fs: AbstractFileSystem, row: ImageObject, start: int, end: int) -> bytes:
    """As adlfs asks for it, which cannot ask for a version."""
    from azure.core import MatchConditions
    from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

    container, name, _ = fs.split_path(fs._strip_protocol(row.uri))
    match = {"etag": f'"{row.version}"', "match_condition": MatchConditions.IfNotModified} if row.version else {}
    async with fs.service_client.get_blob_client(container=container, blob=name) as client:
        try:
            stream = await client.download_blob(offset=start, length=end - start, **match, **fs._timeout_kwargs)
            data: bytes = await stream.readall()
        except (ResourceModifiedError, ResourceNotFoundError):
            raise ChangedError(row.uri) from None
    return data


async def read_current_range(fs: AbstractFileSystem, row: ImageObject, start: int, end: int) -> bytes:
    """For stores whose fsspec filesystem cannot ask for a version: which one it was is asked afterwards."""
    data: bytes = await filesystems.call(fs, "cat_file", row.uri, start, end)
    found = storage.describe_remote(row.uri, await filesystems.call(fs, "info", row.uri))
    if (found.version, found.size) != (row.version, row.size):
        raise ChangedError(row.uri)
    return data


RANGE_READERS: dict[str, Callable[[AbstractFileSystem, ImageObject, int, int], Awaitable[bytes]]] = {
    "gs": _range_of_gcs,
    "gcs": _range_of_gcs,
    "s3": _range_of_s3,
    "s3a": _range_of_s3,
    "az": _range_of_azure,
    "abfs": _range_of_azure,
    "abfss": _range_of_azure,
}
