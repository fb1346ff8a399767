"""WebDataset's samples in a tar: its images, and what the files beside each image say of it.

The members of a sample stand one behind the other and share their name up to the first dot of its last step:
`shards/0001.jpg`, `shards/0001.cls`, `shards/0001.json`. What follows that dot tells a sibling's columns: `cls` is an
int; `txt`, `text`, `caption`, `label` and `transcript` are texts; each top-level key of `json` is a column, where no
sibling has that name itself; all others are bytes, for who asks for them by name. A name that comes again begins the
next sample.

Without columns each image is given as soon as it is read. With them, a sample is given when it was seen whole: of one
in which the archive breaks, nothing is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from transforms.elements import Refusal
from transforms.inputs.containers.member import Asked, Member, refused, refused_for_size, wants
from transforms.inputs.containers.namesakes import Namesakes

INTEGER, OBJECT = "cls", "json"
TEXTS = frozenset({"txt", "text", "caption", "label", "transcript"})
LARGEST_SIBLING = 1 << 20
# What is held of one sample: as many encoded bytes as are read ahead of the model, and no folder of frames that share
# their name up to a dot.
LARGEST_SAMPLE = 256 << 20
MOST_FILES = 1000


class File(NamedTuple):
    """A file in an archive. `read` gives its bytes; only before the next file is asked for.

    Attributes:
        updated, fingerprint: as of a `Member`.
        is_sparse: its bytes are not all there.
    """

    name: str
    size: int
    updated: float | None
    fingerprint: str
    is_sparse: bool
    read: Callable[[], bytes]


def members_of(files: Iterator[File], asked: Asked) -> Iterator[Member]:
    """The images among files, each with a name of its own, and with the columns that are asked for."""
    names = Namesakes()
    sample = _Sample("", asked)
    for file in files:
        kind = asked.takes(file.name)
        key, suffix = _split(file.name)
        if asked.columns and not sample.goes_on(key, suffix):
            yield from sample.ended()
            sample = _Sample(key, asked)
            sample.goes_on(key, suffix)
        if not kind:
            image = Member(names.named(file.name), file.size, file.updated, file.fingerprint, _content(file, asked))
            yield from sample.with_image(image) if asked.columns else (image,)
        elif not (asked.columns and sample.has_taken(file, suffix, kind)):
            asked.skipped(file.name, kind)
    yield from sample.ended()


def _split(name: str) -> tuple[str, str]:
    """What the members of a sample share, and what tells them apart, in lower case."""
    folder, slash, base = name.rpartition("/")
    stem, _, suffix = base.partition(".")
    return (f"{folder}{slash}{stem}", suffix.lower()) if stem else (name, "")


def _content(file: File, asked: Asked) -> bytes | Refusal:
    if file.is_sparse:
        return refused("SparseMember", "it is kept as a sparse file, without its zeros, which is not read here")
    if file.size > asked.max_bytes:
        return refused_for_size(file.size, asked.max_bytes)
    return file.read()


class _Sample:
    """What was seen of one sample."""

    def __init__(self, key: str, asked: Asked):
        self._key = key
        self._suffixes: set[str] = set()
        self._asked = asked
        self._images: list[Member] = []
        self._held = 0
        self._siblings: list[tuple[str, str]] = []  # (name, kind)
        self._columns: dict[str, Any] = {}
        self._of_json: dict[str, Any] = {}
        self._refusal: Refusal | None = None
        self._is_too_large = False

    def goes_on(self, key: str, suffix: str) -> bool:
        """Whether the next file is of this sample, which may become too large by it."""
        if key != self._key or suffix in self._suffixes:
            return False
        if len(self._suffixes) == MOST_FILES:
            self._outgrow()
        if not self._is_too_large:
            self._suffixes.add(suffix)
        return True

    def with_image(self, image: Member) -> Iterator[Member]:
        """Holds an image until the sample ends; of a sample that is too large, gives it, and all before it, refused."""
        self._images.append(image)
        self._held += len(image.content) if isinstance(image.content, bytes) else 0
        if self._held > max(LARGEST_SAMPLE, self._asked.max_bytes):
            self._outgrow()
        if self._is_too_large:
            yield from self._given()
            self._images.clear()
            self._siblings.clear()

    def has_taken(self, file: File, suffix: str, kind: str) -> bool:
        """Whether a file that is no image says something that is asked for."""
        known = suffix in (INTEGER, *TEXTS) and wants(self._asked.columns, suffix)
        if self._is_too_large or not (known or suffix == OBJECT or suffix in self._asked.columns):
            return False
        self._siblings.append((file.name, kind))
        if file.size > LARGEST_SIBLING or file.is_sparse:
            self._refuse(file, f"has {file.size:,} bytes; beside an image, {LARGEST_SIBLING:,} are read")
            return True
        data = file.read()
        try:
            if suffix == OBJECT:
                self._of_json = _keys(data)
            else:
                self._columns[suffix] = int(data) if suffix == INTEGER else data.decode() if suffix in TEXTS else data
        except (ValueError, RecursionError) as e:
            what = "integer" if suffix == INTEGER else "JSON object" if suffix == OBJECT else "UTF-8"
            self._refuse(file, f"is no {what}: {e}")
        return True

    def ended(self) -> Iterator[Member]:
        """The images of a sample that was seen whole."""
        yield from self._given()
        if not self._images:
            for name, kind in self._siblings:
                self._asked.skipped(name, kind)

    def _given(self) -> Iterator[Member]:
        asked = self._asked.columns
        columns = {name: value for name, value in self._of_json.items() if wants(asked, name)} | self._columns
        for image in self._images:
            refusal = image.content if isinstance(image.content, Refusal) else self._refusal
            yield image._replace(content=refusal) if refusal else image._replace(columns=columns)

    def _outgrow(self) -> None:
        self._is_too_large = True
        self._refusal = refused(
            "ColumnMismatch",
            f"more than {MOST_FILES:,} files, or {LARGEST_SAMPLE:,} bytes of images, share the name {self._key!r} up "
            f"to a dot, and so the columns of one sample; without columns they are read",
        )

    def _refuse(self, file: File, why: str) -> None:
        self._refusal = refused("ColumnMismatch", f"{file.name!r} beside it {why}")


def _keys(data: bytes) -> dict[str, Any]:
    found = json.loads(data)
    if not isinstance(found, dict):
        raise ValueError(f"it holds {type(found).__name__}")
    return found
