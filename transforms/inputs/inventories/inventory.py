"""Inventories, the listings that stores write of themselves: recognized, and the images that their data files list."""

from __future__ import annotations

import json
import os
import posixpath
from collections.abc import Iterator
from typing import Any

from transforms.elements import ImageObject
from transforms.inputs.bounds import ManifestError
from transforms.inputs.facts import with_facts
from transforms.inputs.inventories.data_files import rows
from transforms.inputs.inventories.elements import DataFile
from transforms.inputs.inventories.gcs import GCS
from transforms.inputs.inventories.s3 import S3
from transforms.inputs.kinds import NOT_CURRENT
from transforms.inputs.leaving_out import kind_left_out
from transforms.inputs.manifests import LONGEST_NAME
from transforms.inputs.rules import ListingError, Rules, Skipped
from transforms.stores import filesystems, storage
from transforms.stores.streaming import open_current

STORES = {"s3": S3, "gs": GCS}
# A manifest of ten thousand data files, which list some billions of objects, has 2 MB.
LARGEST_MANIFEST = 64 << 20
HEAD = 64 << 10  # within which it has one of its marks at least, in whatever order its entries are


def data_files_of(uri: str) -> list[DataFile] | None:
    """The data files of an inventory, by its manifest; None of what is none, by its name or its content.

    Raises:
        ListingError: it is one, and cannot be read for sure.
        OSError: there is nothing of that name; stores raise errors of their own as well.
    """
    if posixpath.splitext(storage.path_of(uri))[1].lower() != ".json":
        return None
    if filesystems.scheme_of(uri) in storage.WEB_SCHEMES:
        return None
    if filesystems.is_local(uri) and not os.path.isfile(storage.path_of(uri)):
        return None
    try:
        content = _object_in(uri)
        store = next((each for each in STORES.values() if all(mark in content for mark in each.marks)), None)
        if store is None:
            return None
        # Most listings are of no inventory: pydantic would be a third of what they load of ours.
        from transforms.inputs.inventories import shapes

        return store.data_files(uri, shapes.parsed(content, store.shape))
    except ManifestError as e:
        raise ListingError(f"{uri}: {e}") from None


def images_of(data_file: DataFile, rules: Rules, skipped: Skipped) -> Iterator[ImageObject]:
    """The images among the objects that a data file lists; as of a folder, they are known by their extensions.

    Args:
        skipped: called with the other objects, and with what is no current version.

    Raises:
        ListingError: as `rows` does.
    """
    store = STORES[data_file.store]
    unit = "line" if data_file.format == "csv" else "row"
    for number, values in rows(data_file, store.fields, store.needed):
        try:
            entry = store.entry(values, data_file)
            if len(entry.name) > LONGEST_NAME:
                raise ManifestError(f"it has a name of {len(entry.name):,} characters")
            uri = f"{data_file.store}://{entry.bucket}/{entry.name}"
            if not entry.is_current:
                skipped(uri, NOT_CURRENT)
            elif entry.name.endswith("/"):  # a stand-in for an empty folder
                continue
            elif kind := kind_left_out(entry.name, rules.all_files):
                skipped(uri, kind)
            else:
                yield with_facts(ImageObject(uri), entry.facts, store.facts)
        except (ManifestError, UnicodeError) as e:
            where = f"{data_file.manifest}: its data file {data_file.name}: {unit} {number}"
            raise ListingError(f"{where}: {e}") from None


def _object_in(uri: str) -> dict[str, Any]:
    """The JSON object that a file is, when it may be the manifest of an inventory; else an empty one."""
    with open_current(uri) as file:
        text: bytes = file.read(HEAD)
        if not any(f'"{mark}"'.encode() in text for store in STORES.values() for mark in store.marks):
            return {}
        text += file.read(LARGEST_MANIFEST)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as e:
        if _is_json(text.partition(b"\n")[0]):  # JSON Lines, which have a reader of their own
            return {}
        reason = f"it begins as the manifest of an inventory does, and is not JSON to its end: {e}; copy it whole"
        raise ManifestError(reason) from None
    return content if isinstance(content, dict) else {}


def _is_json(text: bytes) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
