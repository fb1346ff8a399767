"""How inputs are to be understood, and the error of one that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from transforms.elements import ImageObject
from transforms.records.columns import Column


class ListingError(Exception):
    """An input that cannot be listed; its text is one sentence for a person."""


class Rules(NamedTuple):
    """Attributes:
    all_files: take the files of folders whatever their extension.
    uri_column: the column of manifests that have columns.
    version_column, size_column, updated_column, md5_column: of what they tell of the image, see `facts`; "" for none.
    allow_local: manifests of stores and web servers may name local files.
    skip_unreadable: leave out subfolders that may not be listed, instead of refusing the input.
    strip_query: images behind web servers are called by their URLs without queries.
    exclude: patterns of images that are left out, see `choosing`.
    sample: of all uris, the share that is taken, from 0 to 1.
    columns: of manifests and containers, which are carried to the records; known kinds, see `carrying`.
    all_columns: they are all that there may be, and a manifest may lack some; otherwise it has each, and may have more.
    image_column: of containers that are tables, or the feature of their records, that holds the images; "" for the one
        that is found.
    label_from: "folder": the name of the folder that an image is in is its label; else "".
    """

    all_files: bool = False
    uri_column: str = "uri"
    allow_local: bool = False
    skip_unreadable: bool = False
    strip_query: bool = False
    exclude: tuple[str, ...] = ()
    sample: float = 1.0
    version_column: str = ""
    size_column: str = ""
    updated_column: str = ""
    md5_column: str = ""
    columns: tuple[Column, ...] = ()
    all_columns: bool = False
    label_from: str = ""
    image_column: str = ""


DEFAULT_RULES = Rules()

# Called with each thing of a folder that is left out: its name, and the kind that it is counted as.
Skipped = Callable[[str, str], object]


def web_image(url: str, rules: Rules) -> ImageObject:
    """The listing row of an image behind a web server, of which only the fetch tells more."""
    plain = url.partition("?")[0]
    return ImageObject(plain, address=url) if rules.strip_query and plain != url else ImageObject(url)


def ignore(name: str, kind: str) -> None:
    """What is done by default with what is left out: nothing."""
