"""Tar archives, plain or packed by gzip: read forward, a member at a time.

The standard library decodes the headers. It does not walk from one to the next here: it takes a damaged header for the
end of the archive, without a word; ignores what it cannot read of an extended one, and reads one of any size; and keeps
them all. An archive ends at its end mark, some zeros up to the end of the file; where it does not, it is damaged.
The data of members has no checksum: damage within it is found in a `.tar.gz` alone, at its end.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from functools import partial
from tarfile import BLOCKSIZE, TarInfo
from typing import IO, NamedTuple

from transforms.inputs.containers.gzipped import unpacked
from transforms.inputs.containers.member import Asked, DamagedContainerError, Member
from transforms.inputs.containers.samples import File, members_of
from transforms.inputs.facts import LATEST
from transforms.inputs.kinds import OTHER

LINK, DEVICE = "link", "device"
PAX_OF_ALL, PAX, LONG_NAME = (tarfile.XGLTYPE,), (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE), tarfile.GNUTYPE_LONGNAME
EXTENSIONS = (*PAX_OF_ALL, *PAX, LONG_NAME, tarfile.GNUTYPE_LONGLINK)
LARGEST_EXTENSION = 1 << 20  # bytes of one; names have at most 4 KB
LARGEST_FILE = 1 << 60
SPARSE, SPARSE_NAME = "GNU.sparse.", "GNU.sparse.name"
USED = frozenset({b"path", b"size", b"mtime", SPARSE_NAME.encode()})
# Of a block of GNU's old sparse files, whether another one follows: in the header, and in those behind it.
SPARSE_FLAG, NEXT_SPARSE_FLAG = 482, 504
READ_BYTES = 1 << 16
LONGEST_PADDING = 1 << 20  # what GNU tar fills up with the largest of its common blocking factors, 2048


def members(file: IO[bytes], asked: Asked) -> Iterator[Member]:
    """The images of an archive in their order, with columns as `samples` tells.

    Raises:
        DamagedContainerError: where it breaks.
    """
    with unpacked(file) as plain:
        yield from members_of(_files(plain, asked), asked)


def is_tar(block: bytes) -> bool:
    """Whether a file begins as an archive does, with a header; or, of one with nothing in it, with zeros."""
    try:
        return len(block) == BLOCKSIZE and (not any(block) or bool(TarInfo.frombuf(block, "utf-8", "surrogateescape")))
    except tarfile.HeaderError:
        return False


class _Header(NamedTuple):
    """Of a file, a link or whatever it is; `begins` and `ends` are the places of its data."""

    name: str
    size: int
    mtime: str
    info: TarInfo
    is_sparse: bool
    begins: int
    ends: int


def _files(plain: IO[bytes], asked: Asked) -> Iterator[File]:
    for header in _headers(plain):
        info = header.info
        if info.isreg():
            updated = float(header.mtime)
            yield File(
                header.name,
                header.size,
                updated if 0 <= updated < LATEST else None,
                f"{header.size}-{header.mtime}",
                header.is_sparse,
                partial(_read, plain, header),
            )
        elif not info.isdir():
            kind = LINK if info.islnk() or info.issym() else DEVICE if info.isdev() else OTHER
            asked.skipped(header.name, kind)


def _read(plain: IO[bytes], header: _Header) -> bytes:
    plain.seek(header.begins)
    data = plain.read(header.size)
    if len(data) < header.size:
        raise DamagedContainerError(
            f"at byte {header.begins:,}: it ends within {header.name!r}, after {len(data):,} of {header.size:,} bytes"
        )
    return data


def _headers(plain: IO[bytes]) -> Iterator[_Header]:
    """Every header, with what extended ones before it say; then the end mark is looked at."""
    offset = 0
    of_all: dict[str, str] = {}
    of_next: dict[str, str] = {}
    while any(block := _block(plain, offset)):
        try:
            info = TarInfo.frombuf(block, "utf-8", "surrogateescape")
            if info.type in EXTENSIONS:
                content = _extension(plain, info)
                if info.type == LONG_NAME:
                    of_next["path"] = _text(content.partition(b"\0")[0])
                elif info.type in (*PAX_OF_ALL, *PAX):
                    (of_all if info.type in PAX_OF_ALL else of_next).update(_records(content))
                offset += BLOCKSIZE + _rounded(info.size)
                continue
            header = _described(info, {**of_all, **of_next}, offset + BLOCKSIZE + _sparse_bytes(plain, block, info))
        except (tarfile.HeaderError, ValueError) as e:
            raise DamagedContainerError(f"at byte {offset:,}: its header does not hold: {e}") from None
        of_next.clear()
        yield header
        offset = header.ends
    if of_next:
        raise DamagedContainerError(f"at byte {offset:,}: an extended header is followed by no member")
    _check_end(plain, offset)


def _block(plain: IO[bytes], offset: int) -> bytes:
    plain.seek(offset)
    block = plain.read(BLOCKSIZE)
    if len(block) < BLOCKSIZE:
        raise DamagedContainerError(f"at byte {offset:,}: it ends without the zeros that end an archive")
    return block


def _check_end(plain: IO[bytes], offset: int) -> None:
    """Reads to the end of the file, which for gzip compares the checksum as well."""
    zeros = BLOCKSIZE
    while data := plain.read(READ_BYTES):
        zeros += len(data)
        if zeros > LONGEST_PADDING:
            raise DamagedContainerError(
                f"behind its end mark at byte {offset:,} stand more zeros than any writer leaves there: of a file that "
                f"was written, or fetched, in part, what is missing is zeros as well"
            )
        if data.count(0) < len(data):
            raise DamagedContainerError(
                f"behind its end mark at byte {offset:,} stands more than zeros: archives that were joined by `cat` "
                f"are read by `tar --ignore-zeros`, and joined into one by `tar --concatenate`"
            )


def _extension(plain: IO[bytes], info: TarInfo) -> bytes:
    if not 0 <= info.size <= LARGEST_EXTENSION:
        raise ValueError(f"an extended header of {info.size:,} bytes; at most {LARGEST_EXTENSION:,} are read")
    content = plain.read(info.size)
    if len(content) < info.size:
        raise ValueError(f"it ends within an extended header of {info.size:,} bytes")
    return content


def _records(content: bytes) -> Iterator[tuple[str, str]]:
    """Of an extended header of POSIX, `length keyword=value` and a line feed each, those that are used here; of sparse
    files, that it is one.

    Raises:
        ValueError: it is none.
    """
    at = 0
    while at < len(content):
        digits = content[at : at + 20].partition(b" ")[0]
        end = at + int(digits)
        record = content[at + len(digits) + 1 : end]
        keyword, equals, value = record[:-1].partition(b"=")
        if end > len(content) or not equals or record[-1:] != b"\n":
            raise ValueError("an extended header holds no records")
        at = end
        if keyword in USED:
            yield keyword.decode(), _text(value)
        elif keyword.startswith(SPARSE.encode()):
            yield SPARSE, ""


def _described(info: TarInfo, said: dict[str, str], begins: int) -> _Header:
    """A header and what extended ones say. Raises ValueError where its numbers are none."""
    size = int(said.get("size", info.size))
    mtime = said.get("mtime", str(info.mtime))
    float(mtime)
    if not 0 <= size < LARGEST_FILE:
        raise ValueError(f"a size of {size:,} bytes")
    has_data = info.isreg() or info.type not in tarfile.SUPPORTED_TYPES
    is_sparse = info.type == tarfile.GNUTYPE_SPARSE or SPARSE in said
    name = said.get(SPARSE_NAME) or said.get("path") or info.name
    return _Header(name, size, mtime, info, is_sparse, begins, begins + (_rounded(size) if has_data else 0))


def _sparse_bytes(plain: IO[bytes], block: bytes, info: TarInfo) -> int:
    """Of the blocks that follow the header of a sparse file in GNU's old format."""
    if info.type != tarfile.GNUTYPE_SPARSE or not block[SPARSE_FLAG]:
        return 0
    count = 1
    while (block := plain.read(BLOCKSIZE))[NEXT_SPARSE_FLAG:][:1] not in (b"", b"\0"):
        count += 1
    return count * BLOCKSIZE


def _rounded(size: int) -> int:
    return -(-size // BLOCKSIZE) * BLOCKSIZE


def _text(name: bytes) -> str:
    """Odd bytes become lone surrogates, as in names of the disk."""
    return name.decode("utf-8", "surrogateescape")
