"""Containers as tests make them, and what readers give of them."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any, NamedTuple

from transforms.elements import Refusal
from transforms.inputs.containers.member import Asked, DamagedContainerError, Member
from transforms.inputs.leaving_out import kind_left_out

Read = Callable[[IO[bytes], Asked], Iterator[Member]]


def takes(name: str) -> str:
    return kind_left_out(name, all_files=False)


class Found(NamedTuple):
    """What a reader gave before it ended or broke.

    Attributes:
        damage: the sentence of it; "" of a container that was read to its end.
        skipped: (name, kind) of what it left out.
    """

    members: list[Member]
    damage: str
    skipped: list[tuple[str, str]]

    @property
    def images(self) -> dict[str, bytes | Refusal]:
        return {member.name: member.content for member in self.members}

    @property
    def errors(self) -> dict[str, str]:
        """The classes of the members that were refused."""
        return {name: found.error for name, found in self.images.items() if isinstance(found, Refusal)}


def found_in(read: Read, data: bytes, **asked: Any) -> Found:
    found = Found([], "", [])
    options = {"takes": takes, "skipped": lambda *left_out: found.skipped.append(left_out), **asked}
    try:
        for member in read(io.BytesIO(data), Asked(**options)):
            found.members.append(member)
    except DamagedContainerError as e:
        return found._replace(damage=str(e))
    return found


def headers_of(data: bytes) -> list[tarfile.TarInfo]:
    """As the standard library finds them."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return archive.getmembers()


def tar_of(files: Iterable[tuple[str, bytes]], tar_format: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar as the standard library writes it."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tar_format) as archive:
        for i, (name, data) in enumerate(files):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1_500_000_000 + i
            archive.addfile(info, io.BytesIO(data))
    return written.getvalue()


def as_text(_: str, columns: Mapping[str, Any]) -> str:
    """What is carried of a member, for tests that carry nothing."""
    return str(dict(columns))
