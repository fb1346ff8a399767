"""What inventories consist of, whatever their store: data files, and what their rows say of objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from transforms.inputs.rules import Rules
from transforms.stores import filesystems, storage


class DataFile(NamedTuple):
    """One of the files of an inventory that list objects, with all that it takes to read it.

    Attributes:
        manifest: URI of the manifest that names it.
        name: by which its manifest calls it.
        places: URIs where it may lie; the first of them that is there is meant.
        store: scheme of the objects that it lists, "s3" or "gs".
        bucket: whose objects they all are; "" where each row tells.
        format: "csv", "orc" or "parquet".
        header: of CSV without a header of its own: the names of its columns.
        delimiter: of CSV.
        size: in bytes; -1 where the manifest does not tell.
        md5: in hexadecimal; "" where the manifest does not tell.
    """

    manifest: str
    name: str
    places: tuple[str, ...]
    store: str
    bucket: str
    format: str
    header: tuple[str, ...] = ()
    delimiter: str = ","
    size: int = -1
    md5: str = ""


class Entry(NamedTuple):
    """What a row says of an object.

    Attributes:
        bucket, name: of the object.
        is_current: whether the row is of the version that a fetch gives, and not of an older one, or of a deletion.
        facts: version, size, time and MD5, for `facts.with_facts`.
    """

    bucket: str
    name: str
    is_current: bool
    facts: Sequence[Any]


class Store(NamedTuple):
    """The inventories of one store.

    Attributes:
        marks: entries that a manifest has, and no manifest of another kind.
        shape: of its manifest, by its name in `shapes`.
        data_files: of the manifest at a URI, which has that shape.
        fields: of rows, by the names that the store's documentation has for them, that of the object's name first.
        needed: how many of them, from the first, a data file must have.
        facts: which of them `Entry.facts` are.
        entry: what a row says, by the values of the fields; it raises ManifestError where that cannot be relied on.
    """

    marks: Sequence[str]
    shape: str
    data_files: Callable[[str, Any], list[DataFile]]
    fields: Sequence[str]
    needed: int
    facts: Rules
    entry: Callable[[Sequence[Any], DataFile], Entry]


def plain(name: str) -> str:
    """The name of a column or key as it is compared: `LastModifiedDate` of CSV is `last_modified_date` of Parquet."""
    return name.replace("_", "").lower()


def beside(uri: str, name: str, up: int = 0) -> str:
    """The URI of what lies in the folder of a file, or so many steps above it, at most at the root of its bucket."""
    path = storage.path_of(uri)
    scheme, separator, path = ("", "", path) if filesystems.is_local(uri) else path.partition("://")
    root, *folders, _ = path.split("/")
    return storage.uri_of(f"{scheme}{separator}{'/'.join([root, *folders[: len(folders) - up], name])}")
