"""What inputs mean: globs, folders, manifests and inventories, and the image objects in them.

Beam is not imported here, so that a launcher can look before it starts anything.
"""

from __future__ import annotations

import glob
import os
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

from transforms.elements import ImageObject
from transforms.inputs import globs, manifests, paging, walking
from transforms.inputs.carrying import carried, kinds_of_members
from transforms.inputs.choosing import kind_not_chosen
from transforms.inputs.containers.naming import kind_of
from transforms.inputs.inventories.elements import DataFile
from transforms.inputs.inventories.inventory import data_files_of, images_of
from transforms.inputs.leaving_out import kind_left_out
from transforms.inputs.ranges import WHOLE, Range
from transforms.inputs.rules import DEFAULT_RULES, ListingError, Rules, Skipped, ignore, web_image
from transforms.stores import filesystems, storage
from transforms.stores.folders import scheme_hint
from transforms.stores.store_errors import describe_error, is_forbidden

# Prefixes that a listing of a store is split into, to be listed at once, and how deep it looks for them.
WANTED_PARTS = 32
SPLIT_LEVELS = 3
LOOKED_AT = 1000  # images of an input, for a container whose columns tell their kinds


class Part(NamedTuple):
    """A part of an input that one worker lists.

    Attributes:
        text: the input.
        prefix: of a store, below which everything is listed.
        within: of the names below the prefix, those that are listed.
        data_file: of an inventory. Without this and a prefix, the part is the whole input.
    """

    text: str
    prefix: str = ""
    within: Range = WHOLE
    data_file: DataFile | None = None


def split_input(text: str, rules: Rules = DEFAULT_RULES, skipped: Skipped = ignore) -> Iterator[Part | ImageObject]:
    """Cuts a folder or glob of a store into prefixes that can be listed at once, and an inventory into its data files.

    A prefix of many names and no folders is cut into ranges of names. Images that lie beside the prefixes, or before
    the ranges, come as themselves. Other inputs are one part.

    Raises:
        ListingError: as `list_input`.
    """
    with sentences(text):
        found = store_listing(text, rules)
        if found is None and (data_files := data_files_of(normalized(text))) is not None:
            yield from (Part(text, data_file=data_file) for data_file in data_files)
            return
        if found is None or not found.recursive:
            yield Part(text)
            return
        frontier = [found.prefix]
        for _ in range(SPLIT_LEVELS):
            below: list[str] = []
            for prefix in frontier:
                for page in paging.split_pages(prefix, WANTED_PARTS):
                    if isinstance(page, Range):
                        yield Part(text, prefix, page)
                    else:
                        yield from _chosen(found.kept(page.objects, skipped), rules, skipped)
                        below += page.folders
            frontier = list(dict.fromkeys(below))  # a store may tell a folder with each of its pages
            if len(frontier) >= WANTED_PARTS:
                break
        for prefix in frontier:
            yield Part(text, prefix)


def list_input(text: str, rules: Rules = DEFAULT_RULES, skipped: Skipped = ignore) -> Iterator[ImageObject]:
    """Lists one input.

    A name that exists is taken literally, whatever characters it has: a folder recursively (files with
    an extension that is decoded here, or `all_files`), a manifest by its rows, an inventory as its bucket, any other
    file as itself.
    A name that does not exist is a glob: `*` and `?` within a folder, `**` through folders; it takes
    every file that it matches. What systems keep for themselves (`leaving_out`) is not taken. Links to files are
    followed; of links to folders, each real folder is visited once, so loops end.

    Args:
        skipped: called with what is left out of a folder.

    Raises:
        ListingError: nothing of that name, or a manifest that cannot be read.
    """
    return list_part(Part(text), rules, skipped)


def list_part(part: Part, rules: Rules = DEFAULT_RULES, skipped: Skipped = ignore) -> Iterator[ImageObject]:
    """As `list_input`, of one part of an input."""
    with sentences(part.text):
        yield from _chosen(_listed(part, rules, skipped), rules, skipped)


def _listed(part: Part, rules: Rules, skipped: Skipped) -> Iterator[ImageObject]:
    if part.data_file:
        yield from images_of(part.data_file, rules, skipped)
        return
    uri = normalized(part.text)
    if filesystems.is_local(uri):
        yield from _list_local(uri, rules, skipped)
        return
    found = store_listing(part.text, rules)
    if found is not None:
        below = part.prefix or found.prefix
        many = paging.many_pages(below, part.within) if found.recursive else paging.pages(below, recursive=False)
        for page in many:
            yield from found.kept(page.objects, skipped)
    else:
        yield from _list_one(uri, rules, skipped)


def _chosen(images: Iterable[ImageObject], rules: Rules, skipped: Skipped) -> Iterator[ImageObject]:
    """Leaves out what `rules.exclude` and `rules.sample` do. Of what no manifest names, no column is known."""
    for image in images:
        if kind := kind_not_chosen(image.uri, rules):
            skipped(image.uri, kind)
        else:
            known = image.columns or kind_of(image.uri)
            yield image if known else image._replace(columns=carried(image.uri, {}, rules))


def kinds_of_columns(text: str, rules: Rules, asked: Sequence[str]) -> dict[str, str]:
    """The kinds of the columns of an input, by their names: of a manifest, and of the first container.

    Args:
        asked: names of columns, `ALL` among them for all.

    Raises:
        ListingError: as `list_input`.
    """
    uri, kinds = normalized(text), {}
    with sentences(text):
        if _is_one(uri, text, rules):
            if data_files_of(uri) is not None:
                return {}
            if _is_manifest(uri, rules):
                kinds = manifests.kinds_of_columns(uri, rules)
        if kinds.keys() - {rules.uri_column}:
            return kinds
        # A manifest of names alone may name containers, which have columns of their own.
        first = islice(list_input(text, rules), LOOKED_AT)
        container = next((image for image in first if kind_of(image.uri)), None)
        return {**kinds, **kinds_of_members(container, rules, asked)} if container else kinds


def relative_from(text: str, rules: Rules) -> str:
    """The folder that relative paths of an input start from, which is a manifest that has some; else "".

    Raises:
        ListingError: as `list_input`.
    """
    uri = normalized(text)
    with sentences(text):
        is_one = manifests.is_manifest(uri) and _is_one(uri, text, rules) and data_files_of(uri) is None
        return manifests.relative_from(uri, rules) if is_one and _is_manifest(uri, rules) else ""


def _is_one(uri: str, text: str, rules: Rules) -> bool:
    """Whether an input is one object, and neither a folder nor a pattern."""
    if not filesystems.is_local(uri):
        return store_listing(text, rules) is None
    path = storage.path_of(uri)
    return not os.path.isdir(path) and (os.path.lexists(path) or not glob.has_magic(path))


class StoreListing(NamedTuple):
    """What to list of a store, and what of it to keep.

    Attributes:
        recursive: through all folders below the prefix.
        left_out: tells by its URI as what an object is counted that does not belong to the input; "" of one that does.
        is_glob: what is not kept was not asked for; of a folder, it is left out.
    """

    prefix: str
    recursive: bool
    left_out: Callable[[str], str]
    is_glob: bool

    def kept(self, objects: Iterable[ImageObject], skipped: Skipped) -> Iterator[ImageObject]:
        for image in objects:
            kind = self.left_out(image.uri)
            if not kind:
                yield image
            elif not self.is_glob:
                skipped(image.uri, kind)


def store_listing(text: str, rules: Rules) -> StoreListing | None:
    """The listing that an input of a store asks for; None for a single object, and for what lies elsewhere."""
    uri = normalized(text)
    scheme = filesystems.scheme_of(uri)
    if filesystems.is_local(uri) or scheme in storage.WEB_SCHEMES:
        return None
    if paging.is_folder(uri):
        if not text.endswith("/") and paging.is_object(uri):
            raise ListingError(
                f"{text}: is an object and a folder; with a slash at its end it is the folder, "
                f"and a manifest can name the object"
            )
        below = uri.rstrip("/") + "/"
        return StoreListing(below, True, lambda name: kind_left_out(name.removeprefix(below), rules.all_files), False)
    if not glob.has_magic(uri) or storage.exists(uri):
        return None
    matches = globs.matcher(uri)
    recursive = "**" in uri or glob.has_magic(posixpath.dirname(uri))
    plain = globs.before_magic(uri)
    if scheme not in ("gs", "gcs", "s3", "s3a"):
        plain = plain.rpartition("/")[0] + "/"
    return StoreListing(plain, recursive, lambda name: "" if matches(name) else "unmatched", True)


def _list_local(uri: str, rules: Rules, skipped: Skipped) -> Iterator[ImageObject]:
    path = storage.path_of(uri)
    if os.path.isdir(path):
        below = path.rstrip("/") + "/"
        for image in walking.walk_folder(path, rules, skipped):
            kind = kind_left_out(storage.path_of(image.uri).removeprefix(below), rules.all_files)
            if kind:
                skipped(image.uri, kind)
            else:
                yield image
    elif glob.has_magic(path) and not os.path.lexists(path):
        matches = globs.matcher(path)
        root, steps = globs.plain_part(path)
        if os.path.isdir(root):
            yield from walking.match_folder(root, steps, matches, rules, skipped)
    else:
        yield from _list_one(uri, rules, skipped)


def _list_one(uri: str, rules: Rules, skipped: Skipped) -> Iterator[ImageObject]:
    """An inventory's images, a manifest's, or the one image or container of that name."""
    if (data_files := data_files_of(uri)) is not None:
        for data_file in data_files:
            yield from images_of(data_file, rules, skipped)
        return
    if _is_manifest(uri, rules):
        yield from manifests.images_of(uri, rules)
        return
    if not kind_of(uri):
        manifests.check_kind(uri)
    if filesystems.scheme_of(uri) in storage.WEB_SCHEMES:
        yield web_image(uri, rules)
    else:
        yield storage.describe(uri)


def _is_manifest(uri: str, rules: Rules) -> bool:
    return manifests.is_manifest(uri) and manifests.holds_names(uri, rules)


def normalized(text: str) -> str:
    with sentences(text):
        return storage.normalize(text)


@contextmanager
def sentences(text: str) -> Iterator[None]:
    """Turns what goes wrong while an input is listed into a sentence."""
    try:
        yield
    except ListingError:
        raise
    except FileNotFoundError:
        hint = scheme_hint(text)
        raise ListingError(f"{text}: no such file or folder, and no glob (which has *, ? or [){hint}") from None
    except Exception as e:  # stores have error classes of their own
        hint = (
            "; give credentials that may list it, see docs/operations.md" if "://" in text and is_forbidden(e) else ""
        )
        raise ListingError(f"{text}: cannot be listed: {describe_error(e)}{hint}") from e
