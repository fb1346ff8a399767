"""One read of one object, by the ways of each store; and what arrives, compared with what is listed."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import google_crc32c
from fsspec import AbstractFileSystem

from transforms.elements import ImageObject
from transforms.stores import filesystems, storage
from transforms.stores.regular import open_regular
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
        _compare(row, data)
    else:
        await filesystems.in_thread(_compare, row, data)
    return data


def _compare(row: ImageObject, data: bytes) -> None:
    """gcsfs returns a cut or flipped body without a word when its length header agrees."""
    if row.size not in (-1, len(data)):
        raise DamagedBodyError(f"{len(data):,} bytes arrived, {row.size:,} are listed")
    kind, _, expected = row.checksum.partition(":")
    if kind:
        digest = google_crc32c.Checksum(data).digest() if kind == "crc32c" else hashlib.md5(data).digest()  # noqa: S324
        found = base64.b64encode(digest).decode()
        if found != expected:
            raise DamagedBodyError(f"{kind} {found} arrived, {expected} is listed")


def read_local(source: ImageObject, max_bytes: int) -> tuple[ImageObject, bytes]:
    row = bound(storage.describe(source.uri), max_bytes)
    with open_regular(storage.path_of(source.uri)) as file:
        return row, file.read(row.size + 1)  # more than that, and it has grown meanwhile


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
    bucket, key, _ = fs.split_path(row.uri)
    match = {"IfMatch": f'"{row.version}"'} if row.version else {}
    try:
        response = await fs._call_s3("get_object", Bucket=bucket, Key=key, **match, **fs.req_kw)
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
