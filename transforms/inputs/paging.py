"""Listings of stores, a page at a time: a prefix of millions of objects is never in one list.

fsspec's `find` gathers all that it finds, and gcsfs's stops without a word after ten million. The
versions, sizes and checksums that a listing tells come with each row.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import chain, islice, pairwise
from typing import Any, NamedTuple

import orjson
from fsspec import AbstractFileSystem
from fsspec.asyn import get_loop, sync

from transforms.elements import ImageObject
from transforms.inputs.ranges import WHOLE, Range, RangePage, ReadPage, read_at_once, spread
from transforms.stores import filesystems, storage

PAGE = 1000  # the most that both stores give at once
FLAT_PAGES = 10  # so many without a folder are the beginning of a flat prefix
# What `describe_remote` reads of an object of gs://; all of it would be twice as many bytes.
FIELDS = "nextPageToken,prefixes,items(name,size,generation,updated,crc32c,md5Hash,contentEncoding)"


class Page(NamedTuple):
    """Attributes:
    objects: rows of the page.
    folders: prefixes below the one that was asked for, `scheme://bucket/…/`; none when recursive.
    """

    objects: list[ImageObject]
    folders: list[str]


class Answer(NamedTuple):
    """A page as a store gives it, without `scheme://bucket/`.

    Attributes:
        objects: names, and what is told of each as `storage.describe_remote` reads it.
        folders: prefixes that end with the delimiter.
        token: asks for the page after this one; "" of the last.
    """

    objects: list[tuple[str, dict[str, Any]]]
    folders: list[str]
    token: str


def pages(prefix: str, recursive: bool) -> Iterator[Page]:
    """The objects whose URI starts with `prefix`; not recursive, the ones with no further `/` in it.

    Args:
        prefix: `scheme://bucket/…`; it need not end where a name does, but for stores other than
            gs:// and s3://, where it is a folder.
    """
    fs = filesystems.filesystem(prefix)
    ask = _ASKERS.get(filesystems.scheme_of(prefix))
    if ask is None:
        yield _all_at_once(fs, prefix, recursive)
        return
    bucket, token = _bucket_of(prefix), ""
    while True:
        answer: Answer = sync(get_loop(), ask, fs, prefix, "" if recursive else "/", WHOLE, token)
        yield Page(_rows(bucket, answer.objects), [bucket + folder for folder in answer.folders])
        token = answer.token
        if not token:
            return


def many_pages(prefix: str, within: Range = WHOLE) -> Iterator[Page]:
    """As `pages`, recursive, with many pages read at the same time where a store lists from any name on; in no order.

    The first two thousand objects come in the order of their names. (A listing that stops at slashes is read page by
    page: where folders stand among the objects of a page is not told, so that nothing says where the next one begins.)

    Args:
        within: one of the ranges of `split_pages`.
    """
    read = _range_reader(prefix)
    if read is None:
        yield from pages(prefix, recursive=True)
        return
    if within != WHOLE:
        yield from _pages_of_range(read, prefix, within)
        return

    first = sync(get_loop(), read, WHOLE)
    yield Page(first.objects, [])
    if not first.more:
        return
    second = sync(get_loop(), read, Range(first.last))
    if not (first.is_ordered and second.is_ordered):
        # The store lists from no name on, or in no order: images may come twice, none is missed.
        yield from pages(prefix, recursive=True)
        return
    yield Page(second.objects, [])
    if second.more:
        yield from _pages_of_range(read, prefix, Range(second.last))


def split_pages(prefix: str, wanted: int) -> Iterator[Page | Range]:
    """As `pages`, not recursive; where many have no folders, as `many_pages` instead, with ranges for what is left.

    Each of the ranges can be listed by itself, by `many_pages`; they and the pages do not overlap, and are the whole.

    Args:
        wanted: as of `ranges.spread`.
    """
    read, listing = _range_reader(prefix), pages(prefix, recursive=False)
    head = list(islice(listing, FLAT_PAGES))
    if read is None or len(head) < FLAT_PAGES or any(page.folders for page in head):
        yield from chain(head, listing)
        return
    # From the start again, with all that is below: that pages have no folder says nothing sure of those after them.
    first = sync(get_loop(), read, WHOLE)
    second = sync(get_loop(), read, Range(first.last))
    if not (first.is_ordered and second.is_ordered):
        yield WHOLE  # a store that lists from no name on, or in no order
        return
    yield Page(first.objects, [])
    for found in spread(read, Range(first.last), wanted):
        yield found if isinstance(found, Range) else _in_order(found, prefix)


def _pages_of_range(read: ReadPage, prefix: str, within: Range) -> Iterator[Page]:
    return (_in_order(page, prefix) for page in read_at_once(read, within))


def _range_reader(prefix: str) -> ReadPage | None:
    """What reads pages of ranges of a prefix; None of a store that cannot be asked so."""
    ask = _ASKERS.get(filesystems.scheme_of(prefix))
    return partial(_page_of_range, ask, filesystems.filesystem(prefix), prefix) if ask else None


def _in_order(page: RangePage, prefix: str) -> Page:
    if not page.is_ordered:
        raise OSError(f"{prefix}: the store lists names out of their order")
    return Page(page.objects, [])


def is_folder(uri: str) -> bool:
    """Whether something lies below a URI of a store; a bucket is a folder, if there is nothing in it either."""
    fs = filesystems.filesystem(uri)
    key = _split(uri)[2]
    if filesystems.scheme_of(uri) not in _ASKERS or not key:
        return bool(fs.isdir(uri))
    # By itself: gcsfs takes a name for an object when there is one, and s3fs for a folder.
    return any(page.objects or page.folders for page in pages(f"{uri}/", recursive=False))


def is_object(uri: str) -> bool:
    try:
        return bool(filesystems.filesystem(uri).info(uri)["type"] == "file")
    except FileNotFoundError:
        return False


async def _ask_gcs(fs: AbstractFileSystem, prefix: str, delimiter: str, wanted: Range, token: str) -> Answer:
    """By startOffset, which is within what is listed, and endOffset, which is not.

    https://cloud.google.com/storage/docs/json_api/v1/objects/list
    """
    _, bucket, key = _split(prefix)
    options = {
        "prefix": key,
        "delimiter": delimiter,
        "startOffset": wanted.after,
        "endOffset": f"{wanted.until}\u0001" if wanted.until else "",
        "pageToken": token,
    }
    _, content = await fs._call("GET", "b/{}/o", bucket, maxResults=PAGE, fields=FIELDS, **_given(options))
    page = orjson.loads(content)
    objects = [(item["name"], item) for item in page.get("items", ())]
    return Answer(objects, page.get("prefixes", []), page.get("nextPageToken", ""))


async def _ask_s3(fs: AbstractFileSystem, prefix: str, delimiter: str, wanted: Range, token: str) -> Answer:
    """By StartAfter; a page may reach beyond the range.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
    """
    _, bucket, key = _split(prefix)
    options = {"Delimiter": delimiter, "StartAfter": wanted.after, "ContinuationToken": token}
    page = await fs._call_s3("list_objects_v2", Bucket=bucket, Prefix=key, MaxKeys=PAGE, **_given(options), **fs.req_kw)
    objects = [(item["Key"], {**item, "size": item["Size"]}) for item in page.get("Contents", ())]
    folders = [item["Prefix"] for item in page.get("CommonPrefixes", ())]
    return Answer(objects, folders, page["NextContinuationToken"] if page.get("IsTruncated") else "")


async def _page_of_range(ask: Ask, fs: AbstractFileSystem, prefix: str, wanted: Range) -> RangePage:
    """One page of a range; a store may give empty ones, and others after them."""
    token = ""
    while True:
        answer = await ask(fs, prefix, "", wanted, token)
        token = answer.token
        names = [name for name, _ in answer.objects]
        first, last = (names[0], names[-1]) if names else ("", "")
        page = RangePage(
            _rows(_bucket_of(prefix), [each for each in answer.objects if wanted.holds(each[0])]),
            first,
            last,
            more=bool(token) and not wanted.is_behind(last),
            is_ordered=all(a < b for a, b in pairwise(names)) and not (names and first < wanted.after),
        )
        if not token or last > wanted.after or not page.is_ordered:
            return page


def _rows(bucket: str, objects: list[tuple[str, dict[str, Any]]]) -> list[ImageObject]:
    """Of objects of a store, but for stand-ins for empty folders, whose names end with a slash."""
    return [storage.describe_remote(bucket + name, info) for name, info in objects if not name.endswith("/")]


def _all_at_once(fs: AbstractFileSystem, prefix: str, recursive: bool) -> Page:
    """For stores that fsspec cannot list by pages."""
    scheme = filesystems.scheme_of(prefix)
    found = list(fs.find(prefix, detail=True).values()) if recursive else fs.ls(prefix, detail=True)

    def uri(info: dict[str, Any]) -> str:
        name = str(info["name"])
        return name if "://" in name else f"{scheme}://{name.lstrip('/')}"

    return Page(
        [storage.describe_remote(uri(info), info) for info in found if info["type"] == "file"],
        [uri(info).rstrip("/") + "/" for info in found if info["type"] == "directory"],
    )


def _split(uri: str) -> tuple[str, str, str]:
    """(scheme, bucket, key) of a URI, literally."""
    scheme, _, path = uri.partition("://")
    bucket, _, key = path.partition("/")
    return scheme, bucket, key


def _bucket_of(uri: str) -> str:
    """`scheme://bucket/`."""
    scheme, bucket, _ = _split(uri)
    return f"{scheme}://{bucket}/"


def _given(options: dict[str, str]) -> dict[str, str]:
    """Those that are not empty."""
    return {name: value for name, value in options.items() if value}


# Asks a store for a page, as a coroutine of fsspec's loop: of a prefix, with a delimiter, of a range, after a page.
Ask = Callable[[AbstractFileSystem, str, str, Range, str], Awaitable[Answer]]
_ASKERS: dict[str, Ask] = {"gs": _ask_gcs, "gcs": _ask_gcs, "s3": _ask_s3, "s3a": _ask_s3}
