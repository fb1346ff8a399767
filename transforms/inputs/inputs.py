"""What inputs mean: globs, folders and manifests, and the image objects in them.

Beam is not imported here, so that a launcher can look before it starts anything.
"""

from __future__ import annotations

import csv
import glob
import json
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, NamedTuple

from fsspec.utils import glob_translate

from transforms.elements import ImageObject
from transforms.images.decoding import extensions
from transforms.inputs import paging, walking
from transforms.stores import filesystems, storage
from transforms.stores.store_errors import describe_error, is_forbidden

MANIFEST_EXTENSIONS = (".txt", ".csv", ".jsonl", ".parquet")
# Prefixes that a listing of a store is split into, to be listed at once, and how deep it looks for them.
WANTED_PARTS = 32
SPLIT_LEVELS = 3


class ListingError(Exception):
    """An input that cannot be listed; its text is one sentence for a person."""


Skipped = Callable[[ImageObject], object]


def ignore(_: ImageObject) -> None:
    """What is done by default with a file that is left out: nothing."""


class Part(NamedTuple):
    """A part of an input that one worker lists.

    Attributes:
        text: the input.
        prefix: of a store, below which everything is listed; "" stands for the whole input.
    """

    text: str
    prefix: str = ""


def split_input(text: str, all_files: bool = False, skipped: Skipped = ignore) -> Iterator[Part | ImageObject]:
    """Cuts a folder or glob of a store into prefixes that can be listed at once.

    Images that lie beside the prefixes come as themselves. Other inputs are one part.

    Raises:
        ListingError: as `list_input`.
    """
    uri = storage.normalize(text)
    with _sentences(text):
        found = None if filesystems.is_local(uri) else _store_listing(uri, all_files)
        if found is None or not found.recursive:
            yield Part(text)
            return
        frontier = [found.prefix]
        for _ in range(SPLIT_LEVELS):
            below: list[str] = []
            for prefix in frontier:
                for page in paging.pages(prefix, recursive=False):
                    yield from found.kept(page.objects, skipped)
                    below += page.folders
            frontier = below
            if len(frontier) >= WANTED_PARTS:
                break
        for prefix in frontier:
            yield Part(text, prefix)


def list_input(
    text: str,
    all_files: bool = False,
    uri_column: str = "uri",
    skipped: Skipped = ignore,
    prefix: str = "",
) -> Iterator[ImageObject]:
    """Lists one input, or one part of it.

    A name that exists is taken literally, whatever characters it has: a folder recursively (files with
    an extension that is decoded here, or `all_files`), a manifest by its rows, any other file as itself.
    A name that does not exist is a glob: `*` and `?` within a folder, `**` through folders; it takes
    every file that it matches. Links to files are followed; of links to folders, each real folder is
    visited once, so loops end.

    Args:
        skipped: called with each file of a folder that is left out for its extension.
        prefix: of a `Part`.

    Raises:
        ListingError: nothing of that name, or a manifest that cannot be read.
    """
    uri = storage.normalize(text)
    with _sentences(text):
        if filesystems.is_local(uri):
            yield from _list_local(uri, all_files, uri_column, skipped)
            return
        found = _store_listing(uri, all_files)
        if found is not None:
            for page in paging.pages(prefix or found.prefix, found.recursive):
                yield from found.kept(page.objects, skipped)
        elif uri.lower().endswith(MANIFEST_EXTENSIONS):
            yield from _read_manifest(uri, uri_column)
        else:
            yield storage.describe(uri)


def coverage(text: str, all_files: bool = False) -> Callable[[str], bool]:
    """Tells of a uri whether `list_input` would give it if it existed.

    A manifest covers nothing: that it does not name an image does not say that it is gone.

    Raises:
        ListingError: as `list_input`.
    """
    uri = storage.normalize(text)
    with _sentences(text):
        if filesystems.is_local(uri):
            if os.path.isdir(uri):
                keep, below = _keeper(all_files), uri.rstrip("/") + "/"
                return lambda name: name.startswith(below) and keep(name)
            if glob.has_magic(uri) and not os.path.lexists(uri):
                matches = _matcher(uri)
                return lambda name: matches(name) is not None
        elif (found := _store_listing(uri, all_files)) is not None:
            return lambda name: name.startswith(found.prefix) and found.keep(name)
        return lambda name: False


class _StoreListing(NamedTuple):
    """What to list of a store, and what of it to keep.

    Attributes:
        recursive: through all folders below the prefix.
        keep: tells by its URI whether an object belongs to the input.
        is_glob: what is not kept was not asked for; of a folder, it is left out.
    """

    prefix: str
    recursive: bool
    keep: Callable[[str], bool]
    is_glob: bool

    def kept(self, objects: Iterable[ImageObject], skipped: Skipped) -> Iterator[ImageObject]:
        for image in objects:
            if self.keep(image.uri):
                yield image
            elif not self.is_glob:
                skipped(image)


def _store_listing(uri: str, all_files: bool) -> _StoreListing | None:
    """The listing that a URI of a store asks for; None for a single object."""
    if filesystems.filesystem(uri).isdir(uri):
        return _StoreListing(uri.rstrip("/") + "/", True, _keeper(all_files), False)
    if not glob.has_magic(uri) or storage.exists(uri):
        return None
    matches = _matcher(uri)
    recursive = "**" in uri or glob.has_magic(posixpath.dirname(uri))
    plain = re.split(r"[*?[]", uri, maxsplit=1)[0]
    if filesystems.scheme_of(uri) not in ("gs", "gcs", "s3", "s3a"):
        plain = plain.rpartition("/")[0] + "/"
    return _StoreListing(plain, recursive, lambda name: matches(name) is not None, True)


def _list_local(uri: str, all_files: bool, uri_column: str, skipped: Skipped) -> Iterator[ImageObject]:
    if os.path.isdir(uri):
        keep = _keeper(all_files)
        for image in walking.walk_folder(uri):
            if keep(image.uri):
                yield image
            else:
                skipped(image)
    elif glob.has_magic(uri) and not os.path.lexists(uri):
        matches = _matcher(uri)
        steps = uri.split("/")
        plain = next(i for i, step in enumerate(steps) if glob.has_magic(step))
        root = "/".join(steps[:plain]) or "/"
        if os.path.isdir(root):
            yield from walking.match_folder(root, steps[plain:], matches)
    elif uri.lower().endswith(MANIFEST_EXTENSIONS):
        yield from _read_manifest(uri, uri_column)
    else:
        yield storage.describe(uri)


def _keeper(all_files: bool) -> Callable[[str], bool]:
    """Tells of a file of a folder whether it is an image, by its extension."""
    if all_files:
        return lambda uri: True
    kept = extensions()
    return lambda uri: posixpath.splitext(uri)[1].lower() in kept


def _matcher(pattern: str) -> Callable[[str], re.Match[str] | None]:
    try:
        return re.compile(glob_translate(pattern)).match
    except ValueError as e:
        raise ListingError(f"{pattern}: {e}") from None


@contextmanager
def _sentences(text: str) -> Iterator[None]:
    """Turns what goes wrong while an input is listed into a sentence."""
    try:
        yield
    except ListingError:
        raise
    except FileNotFoundError:
        raise ListingError(f"{text}: no such file or folder, and no glob (which has *, ? or [)") from None
    except Exception as e:  # stores have error classes of their own
        remote = not filesystems.is_local(storage.normalize(text))
        hint = "; give credentials that may list it, see docs/operations.md" if remote and is_forbidden(e) else ""
        raise ListingError(f"{text}: cannot be listed: {describe_error(e)}{hint}") from e


def _read_manifest(uri: str, column: str) -> Iterator[ImageObject]:
    """The images that a manifest names; relative paths start from the manifest's folder."""
    folder = uri.rpartition("/")[0] or "/"
    try:
        with filesystems.filesystem(uri).open(uri, "rb") as file:
            for row, name in enumerate(_manifest_names(file, uri, column), start=1):
                if not isinstance(name, str) or not name:
                    raise ListingError(f"{uri}: row {row} has no text in its column {column!r}")
                name.encode()  # a ValueError where it is no text that can be written
                relative = filesystems.is_local(name) and not name.startswith((storage.LOCAL_SCHEME, "/"))
                yield ImageObject(storage.normalize(storage.join(folder, name) if relative else name))
    except FileNotFoundError:
        raise ListingError(f"{uri}: no such manifest") from None
    except (ValueError, KeyError, csv.Error) as e:
        raise ListingError(f"{uri}: not a manifest that can be read: {type(e).__name__}: {e}") from None


def _manifest_names(file: IO[bytes], uri: str, column: str) -> Iterable[Any]:
    """The values of the uri column, row by row; of a .txt, its lines that are not empty."""
    extension = posixpath.splitext(uri)[1].lower()
    if extension == ".parquet":
        import pyarrow.parquet as pq

        parquet = pq.ParquetFile(file)
        _check_column(column, parquet.schema_arrow.names, uri)
        for batch in parquet.iter_batches(columns=[column]):
            yield from batch.column(0).to_pylist()
        return
    lines = (line.decode("utf-8-sig" if i == 0 else "utf-8") for i, line in enumerate(file))
    if extension == ".csv":
        reader = csv.DictReader(lines)
        _check_column(column, reader.fieldnames or [], uri)
        yield from (row[column] for row in reader)
    elif extension == ".jsonl":
        for line in lines:
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ListingError(f"{uri}: a line holds {type(row).__name__}, not an object")
                _check_column(column, row, uri)
                yield row[column]
    else:
        yield from (line.rstrip("\r\n") for line in lines if line.strip())


def _check_column(column: str, columns: Iterable[str], uri: str) -> None:
    if column not in columns:
        raise ListingError(f"{uri}: no column {column!r} among {', '.join(columns)}; --uri_column names it")
