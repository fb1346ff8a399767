"""Listings of stores, a page at a time: a prefix of millions of objects is never in one list.

fsspec's `find` gathers all that it finds, and gcsfs's stops without a word after ten million. The
versions, sizes and checksums that a listing tells come with each row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem

from transforms.elements import ImageObject
from transforms.stores import filesystems, storage


class Page(NamedTuple):
    """Attributes:
    objects: rows of the page.
    folders: prefixes below the one that was asked for, `scheme://bucket/…/`; none when recursive.
    """

    objects: list[ImageObject]
    folders: list[str]


def pages(prefix: str, recursive: bool) -> Iterator[Page]:
    """The objects whose URI starts with `prefix`; not recursive, the ones with no further `/` in it.

    Args:
        prefix: `scheme://bucket/…`; it need not end where a name does, but for stores other than
            gs:// and s3://, where it is a folder.
    """
    fs = filesystems.filesystem(prefix)
    read: Callable[[AbstractFileSystem, str, bool], Iterator[Page]] = _PAGERS.get(
        filesystems.scheme_of(prefix), _all_at_once
    )
    yield from read(fs, prefix, recursive)


def is_folder(uri: str) -> bool:
    """Whether something lies below a URI of a store; a bucket is a folder, if there is nothing in it either."""
    fs = filesystems.filesystem(uri)
    key = _split(uri)[2]
    if filesystems.scheme_of(uri) not in _PAGERS or not key:
        return bool(fs.isdir(uri))
    # By itself: gcsfs takes a name for an object when there is one, and s3fs for a folder.
    return any(page.objects or page.folders for page in pages(f"{uri}/", recursive=False))


def is_object(uri: str) -> bool:
    try:
        return bool(filesystems.filesystem(uri).info(uri)["type"] == "file")
    except FileNotFoundError:
        return False


def _pages_of_gcs(fs: AbstractFileSystem, prefix: str, recursive: bool) -> Iterator[Page]:
    """https://cloud.google.com/storage/docs/json_api/v1/objects/list"""
    scheme, bucket, key = _split(prefix)
    token = None
    while True:
        options = {"prefix": key or None, "delimiter": None if recursive else "/", "pageToken": token}
        page: dict[str, Any] = fs.call("GET", "b/{}/o", bucket, json_out=True, maxResults=1000, **options)
        yield Page(
            [
                storage.describe_remote(f"{scheme}://{bucket}/{item['name']}", item)
                for item in page.get("items", ())
                if not item["name"].endswith("/")  # a stand-in for an empty folder
            ],
            [f"{scheme}://{bucket}/{name}" for name in page.get("prefixes", ())],
        )
        token = page.get("nextPageToken")
        if not token:
            return


def _pages_of_s3(fs: AbstractFileSystem, prefix: str, recursive: bool) -> Iterator[Page]:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html"""
    scheme, bucket, key = _split(prefix)
    more: dict[str, Any] = {} if recursive else {"Delimiter": "/"}
    while True:
        page: dict[str, Any] = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=key, **more, **fs.req_kw)
        yield Page(
            [
                storage.describe_remote(f"{scheme}://{bucket}/{item['Key']}", {**item, "size": item["Size"]})
                for item in page.get("Contents", ())
                if not item["Key"].endswith("/")
            ],
            [f"{scheme}://{bucket}/{item['Prefix']}" for item in page.get("CommonPrefixes", ())],
        )
        if not page.get("IsTruncated"):
            return
        more["ContinuationToken"] = page["NextContinuationToken"]


def _all_at_once(fs: AbstractFileSystem, prefix: str, recursive: bool) -> Iterator[Page]:
    """For stores that fsspec cannot list by pages."""
    scheme = filesystems.scheme_of(prefix)
    found = list(fs.find(prefix, detail=True).values()) if recursive else fs.ls(prefix, detail=True)

    def uri(info: dict[str, Any]) -> str:
        name = str(info["name"])
        return name if "://" in name else f"{scheme}://{name.lstrip('/')}"

    yield Page(
        [storage.describe_remote(uri(info), info) for info in found if info["type"] == "file"],
        [uri(info).rstrip("/") + "/" for info in found if info["type"] == "directory"],
    )


def _split(uri: str) -> tuple[str, str, str]:
    """(scheme, bucket, key) of a URI, literally."""
    scheme, _, path = uri.partition("://")
    bucket, _, key = path.partition("/")
    return scheme, bucket, key


_PAGERS: dict[str, Callable[[AbstractFileSystem, str, bool], Iterator[Page]]] = {
    "gs": _pages_of_gcs,
    "gcs": _pages_of_gcs,
    "s3": _pages_of_s3,
    "s3a": _pages_of_s3,
}
