"""The images in a container, as listing rows that have their bytes with them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from tarfile import BLOCKSIZE
from typing import IO, Any

from transforms.elements import ImageObject, Refusal
from transforms.inputs.containers import parquet, tar, tfrecord, zips
from transforms.inputs.containers.gzipped import GZIP
from transforms.inputs.containers.member import Asked, ContainerError, DamagedContainerError, Member, refused
from transforms.inputs.containers.naming import kind_of, member_uri
from transforms.inputs.containers.tar import is_tar
from transforms.records.tfrecord import begins_with_frame
from transforms.stores.fetching import FetchError, Policy
from transforms.stores.streaming import described, open_object

Read = Callable[[IO[bytes], Asked], Iterator[Member]]
READERS: Mapping[str, Read] = {
    "tar": tar.members, "tfrecord": tfrecord.members, "parquet": parquet.members, "zip": zips.members,
}  # fmt: skip
FIRST_BYTES = 4096  # of gzip, which make at least the block that tells a tar
SHOWN_BYTES = 16


def read_container(
    row: ImageObject, asked: Asked, policy: Policy, encode: Callable[[str, Mapping[str, Any]], str]
) -> Iterator[ImageObject]:
    """Every image in a container, with its bytes or a `Refusal`.

    Where the container breaks, or can be had no more, the last row is the container's own, with a `Refusal` that stands
    for all of it that was not given. No error is raised for what it holds.

    Args:
        row: of the container; its blanks are filled in first. A member's version is its, and behind a slash what the
            container tells of the member; "" where the container has none.
        encode: a member's uri and columns, as text. What it refuses, by a ValueError, is a `Refusal` of the member.
    """
    try:
        row = described(row, policy)
        with open_object(row, policy) as file:
            kind = _family(file, row.uri)
            for member in READERS[kind](file, asked):
                yield _row(row, kind, member, encode)
    except ContainerError as e:
        yield row._replace(content=refused(e.error, str(e)))
    except FetchError as e:
        yield row._replace(content=Refusal("fetch", e.error, str(e)))


def _row(
    container: ImageObject, kind: str, member: Member, encode: Callable[[str, Mapping[str, Any]], str]
) -> ImageObject:
    uri, content, columns = member_uri(kind, member.name, container.uri), member.content, ""
    if not isinstance(content, Refusal):
        try:
            columns = encode(uri, member.columns)
        except ValueError as e:
            content = refused("ColumnMismatch", str(e))
    version = f"{container.version}/{member.fingerprint}" if member.fingerprint else container.version
    return ImageObject(
        uri,
        member.size,
        version if container.version else "",
        container.updated if member.updated is None else member.updated,
        columns=columns,
        content=content,
    )


def _family(file: IO[bytes], name: str) -> str:
    """What a container is, by its first bytes; its name counts for a file of no bytes, as one of no records is.

    Raises:
        ContainerError: it is none that is read here.
    """
    file.seek(0)
    first = file.read(FIRST_BYTES)
    what = "it begins"
    if first.startswith(GZIP):
        what = "it is packed by gzip, and unpacked begins"
        try:
            first = zlib.decompressobj(wbits=31).decompress(first, BLOCKSIZE)
        except zlib.error as e:
            raise DamagedContainerError(f"its gzip is damaged at its beginning: {e}") from None
    if first.startswith(zips.MAGICS):
        return "zip"
    if first.startswith(parquet.MAGIC):
        return "parquet"
    if first.startswith(parquet.ENCRYPTED_MAGIC):
        raise ContainerError("it is a Parquet file whose footer is encrypted, which is not read here")
    if is_tar(first[:BLOCKSIZE]):
        return "tar"
    if begins_with_frame(first) or (not first and kind_of(name) == "tfrecord"):
        return "tfrecord"
    shown = f"with {first[:SHOWN_BYTES]!r}" if first else "and ends with nothing"
    raise ContainerError(f"{what} {shown}, as no container does that is read here: {', '.join(READERS)}")
