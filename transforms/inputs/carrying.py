"""Which columns of manifests are carried, of what kinds; and what is carried of one image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any
from urllib.parse import unquote

from transforms.elements import ImageObject
from transforms.inputs.containers.member import Asked
from transforms.inputs.containers.naming import container_of, member_of
from transforms.inputs.containers.reading import read_container
from transforms.inputs.leaving_out import kind_left_out
from transforms.inputs.rules import ListingError, Rules
from transforms.records.columns import ALL, RESERVED, Column, check_features, encode, infer_kind
from transforms.stores import filesystems, storage
from transforms.stores.fetching import Policy

FOLDER = "\0folder"  # in place of a column's name, of the label that a folder's name is; no manifest can have it
LABEL_OF_FOLDER = Column(FOLDER, "image/class/text", "text")
SOURCE = "image/source"  # the feature of what a manifest itself says of where an image is
MEMBERS = 100  # of a container, that tell the kinds of columns


def known_columns(asked: Sequence[Column], found: Sequence[Mapping[str, str]], rules: Rules) -> list[Column]:
    """The columns that a run carries, and their kinds; "" where no input tells.

    The column of names is carried where it is asked for by name: a manifest's own text, as the feature `SOURCE`.

    Args:
        asked: as `parse_columns` gives them.
        found: of each input that has columns, the kinds of these by their names, "" where its first rows do not tell.

    Raises:
        ListingError: a column that no input has, or of which they differ.
    """
    kinds: dict[str, set[str]] = {}
    for names in found:
        for name, kind in names.items():
            kinds.setdefault(name, set()).update({kind} - {""})
    named = [column for column in asked if column.name != ALL]
    if len(named) < len(asked):
        others = kinds.keys() - {column.name for column in named} - RESERVED - {rules.uri_column}
        named += [Column(name, name) for name in sorted(others)]
    for column in named:
        if column.name not in kinds:
            there = f"; there are {', '.join(sorted(kinds)[:20])}" if kinds else ", nor any other"
            raise ListingError(f"--columns: no input has a column {column.name!r}{there}")
    # Not under its own name, by which tables have the whole path.
    named = [
        column._replace(feature=SOURCE) if column.name == column.feature == rules.uri_column else column
        for column in named
    ]
    if rules.label_from:
        named.append(LABEL_OF_FOLDER)
    try:
        check_features(named)
    except ValueError as e:
        raise ListingError(f"--columns: {e}") from None
    return [column._replace(kind=column.kind or _one_kind(column.name, kinds[column.name])) for column in named]


def kinds_of(names: Sequence[str], rows: Sequence[Sequence[Any]], *, texts: bool) -> dict[str, str]:
    """The kinds of columns, by their names, of their values in some rows.

    Args:
        texts: see `columns.infer_kind`.
    """
    return {name: infer_kind((row[i] for row in rows), texts=texts) for i, name in enumerate(names)}


def kinds_of_members(container: ImageObject, rules: Rules, asked: Sequence[str]) -> dict[str, str]:
    """The kinds of the columns of a container, by their names, as its first members have them."""
    rows: list[Mapping[str, Any]] = []

    def keep(_: str, values: Mapping[str, Any]) -> str:
        rows.append(values)
        return ""

    takes = partial(kind_left_out, all_files=rules.all_files)
    wanted = Asked(tuple(asked), rules.image_column, takes=takes)
    for _ in islice(read_container(container, wanted, Policy(), keep), MEMBERS):
        pass
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: infer_kind(row.get(name) for row in rows) for name in names}


def carried(uri: str, values: Mapping[str, Any], rules: Rules) -> str:
    """What is carried of an image, see `columns.encode`; "" when nothing is to be.

    Raises:
        ValueError: a value that is none of its column.
    """
    if not rules.columns:
        return ""
    if rules.all_columns and (more := values.keys() - {column.name for column in rules.columns} - RESERVED):
        raise ValueError(
            f"it has the column {min(more)[:50]!r}, which no image at the beginning has; --columns names it"
        )
    if rules.label_from:
        values = {**values, FOLDER: _folder(uri)}
    return encode(values, rules.columns)


def _folder(uri: str) -> str:
    """The name of the folder that an image is in, as its uri has it; of a container without folders, of its own."""
    if container := container_of(uri):
        within = member_of(uri).rpartition("/")[0].rpartition("/")[2]
        return within or _folder(container)
    on_the_web = filesystems.scheme_of(uri) in storage.WEB_SCHEMES
    steps = (uri.partition("?")[0] if on_the_web else uri).partition("://")[2 if "://" in uri else 0].split("/")
    folder = steps[-2] if len(steps) > 1 else ""
    return unquote(folder) if on_the_web else folder


def _one_kind(name: str, kinds: set[str]) -> str:
    if kinds == {"int64", "float"}:
        return "float"
    if len(kinds) > 1:
        raise ListingError(
            f"--columns: column {name!r} holds {' here, and there '.join(sorted(kinds))}; "
            f"--columns {name}:text takes all of it as text"
        )
    return next(iter(kinds), "")
