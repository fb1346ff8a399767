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
from typing import IO, Any

from fsspec.utils import glob_translate

from transforms import storage
from transforms.decoding import extensions
from transforms.elements import ImageObject
from transforms.fetching import describe_error, is_forbidden

MANIFEST_EXTENSIONS = (".txt", ".csv", ".jsonl", ".parquet")


class ListingError(Exception):
    """An input that cannot be listed; its text is one sentence for a person."""


def list_input(
    text: str,
    all_files: bool = False,
    uri_column: str = "uri",
    skipped: Callable[[ImageObject], object] = lambda image: None,
) -> Iterator[ImageObject]:
    """Lists one input.

    A name that exists is taken literally, whatever characters it has: a folder recursively (files with
    an extension that is decoded here, or `all_files`), a manifest by its rows, any other file as itself.
    A name that does not exist is a glob: `*` and `?` within a folder, `**` through folders; it takes
    every file that it matches. Links to files are followed; of links to folders, each real folder is
    visited once, so loops end.

    Args:
        skipped: called with each file of a folder that is left out for its extension.

    Raises:
        ListingError: nothing of that name, or a manifest that cannot be read.
    """
    uri = storage.normalize(text)
    try:
        yield from _list(uri, all_files, uri_column, skipped)
    except FileNotFoundError:
        raise ListingError(f"{text}: no such file or folder, and no glob (which has *, ? or [)") from None
    except ListingError:
        raise
    except Exception as e:  # stores have error classes of their own
        hint = "; give credentials that may list it, see docs/operations.md" if is_forbidden(e) else ""
        raise ListingError(f"{text}: cannot be listed: {describe_error(e)}{hint}") from e


def _list(
    uri: str, all_files: bool, uri_column: str, skipped: Callable[[ImageObject], object]
) -> Iterator[ImageObject]:
    if _is_folder(uri):
        kept = None if all_files else extensions()
        for image in _walk(uri):
            if kept is None or posixpath.splitext(image.uri)[1].lower() in kept:
                yield image
            else:
                skipped(image)
    elif glob.has_magic(uri) and not storage.exists(uri):
        yield from _matches(uri)
    elif uri.lower().endswith(MANIFEST_EXTENSIONS):
        yield from _read_manifest(uri, uri_column)
    else:
        yield storage.describe(uri)


def _is_folder(uri: str) -> bool:
    return os.path.isdir(uri) if storage.is_local(uri) else bool(storage.filesystem(uri).isdir(uri))


def _matches(pattern: str) -> Iterator[ImageObject]:
    """The files that a glob matches, entering only folders that it can match."""
    try:
        matches = re.compile(glob_translate(pattern)).match
    except ValueError as e:
        raise ListingError(f"{pattern}: {e}") from None
    steps = pattern.split("/")
    plain = next(i for i, step in enumerate(steps) if glob.has_magic(step))
    root = "/".join(steps[:plain]) or "/"
    if not _is_folder(root):
        return
    if storage.is_local(root):
        yield from _match_local(root, steps[plain:], matches)
        return
    depth = None if "**" in pattern else len(steps) - plain
    for image in _walk(root, depth):
        if matches(image.uri):
            yield image


def _match_local(folder: str, steps: list[str], matches: Callable[[str], object]) -> Iterator[ImageObject]:
    """Follows a pattern folder by folder up to its `**`, below which everything is looked at."""
    if steps[0] == "**":
        yield from (image for image in _walk_local(folder, set()) if matches(image.uri))
        return
    step = re.compile(glob_translate(steps[0])).match
    for entry in _entries(folder):
        if not step(entry.name):
            continue
        if len(steps) == 1:
            yield from _file(entry)
        elif _is_dir(entry):
            yield from _match_local(entry.path, steps[1:], matches)


def _walk(root: str, depth: int | None = None) -> Iterator[ImageObject]:
    """Every file below a folder, in the order of names; in a store `depth` levels deep at most."""
    if storage.is_local(root):
        yield from _walk_local(root, set())
        return
    fs = storage.filesystem(root)
    scheme = storage.scheme_of(root)
    for path, info in sorted(fs.find(root, maxdepth=depth, detail=True).items()):
        yield storage.describe_remote(path if "://" in path else f"{scheme}://{path}", info)


def _walk_local(folder: str, visited: set[tuple[int, int]]) -> Iterator[ImageObject]:
    entries = _entries(folder)
    stat = os.stat(folder)
    if (stat.st_dev, stat.st_ino) in visited:
        return
    visited.add((stat.st_dev, stat.st_ino))
    for entry in entries:
        if _is_dir(entry):
            yield from _walk_local(entry.path, visited)
        else:
            yield from _file(entry)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        return sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as e:
        raise ListingError(f"{folder}: cannot be listed: {e.strerror}") from None


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _file(entry: os.DirEntry[str]) -> Iterator[ImageObject]:
    """The row of a file; of a link to nothing, or a file that went away meanwhile, its bare name.

    The fetch will say what is wrong with it. Devices and pipes are no files and not listed.
    """
    try:
        if entry.is_file():
            yield storage.describe_local(_as_text(entry.path), entry.stat())
        elif entry.is_symlink() and not os.path.exists(entry.path):
            yield ImageObject(_as_text(entry.path))
    except OSError:
        yield ImageObject(_as_text(entry.path))


def _as_text(path: str) -> str:
    """A name that is no UTF-8 with its odd bytes spelled out: records and ledgers hold text.

    Such a file cannot be found again by that spelling and so ends as a dead letter that names it.
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _read_manifest(uri: str, column: str) -> Iterator[ImageObject]:
    """The images that a manifest names; relative paths start from the manifest's folder."""
    folder = uri.rpartition("/")[0] or "/"
    try:
        with storage.filesystem(uri).open(uri, "rb") as file:
            for row, name in enumerate(_manifest_names(file, uri, column), start=1):
                if not isinstance(name, str) or not name:
                    raise ListingError(f"{uri}: row {row} has no text in its column {column!r}")
                name.encode()  # a ValueError where it is no text that can be written
                relative = storage.is_local(name) and not name.startswith((storage.LOCAL_SCHEME, "/"))
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
