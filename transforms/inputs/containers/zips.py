"""Zip archives: members in the order of their places, so that reading goes forward, each compared with its CRC32.

A damaged member is a dead letter, and the others are read: where they lie stands in the directory at the end. Without
that nothing is told. The directory is in memory as a whole, some 0.6 KB a member.

Names are those by which Python's library, and with it fsspec, finds members: without the mark of UTF-8 they are taken
to be of DOS's alphabet. Info-ZIP sets no mark, so that a `ä` of it is called `├ñ`.
"""

from __future__ import annotations

import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from typing import IO
from zipfile import ZipFile, ZipInfo

from transforms.elements import Refusal
from transforms.inputs.containers.member import (
    Asked,
    CostlyContainerError,
    DamagedContainerError,
    Member,
    refused,
    refused_for_size,
)
from transforms.inputs.containers.namesakes import Namesakes
from transforms.inputs.containers.tar import LINK

MAGICS = (b"PK\x03\x04", b"PK\x05\x06")  # of a member, and of the directory's end, of an archive without members
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
ENCRYPTED = 0x1 | 0x40
UNIX = 3  # the system whose file modes a member has
LOCAL_HEADER_BYTES = 30
# At once; what bzip2 and LZMA make of so many is not bounded by the library, but by themselves, to tens of MB.
READ_BYTES = 4096
LARGEST_DIRECTORY = 64 << 20
# What ends the directory, with a comment behind it. Before it may stand another one, which has 64 bits for each number,
# and what tells of that.
END, END64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q4s16x")
END_MAGIC, END64_MAGIC, LOCATOR64_MAGIC = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
LONGEST_COMMENT = 0xFFFF
# What the library raises of damage besides an error of its own.
DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, struct.error, ValueError, OverflowError)


def members(file: IO[bytes], asked: Asked) -> Iterator[Member]:
    """The images of an archive. It tells no columns.

    Raises:
        DamagedContainerError: its directory cannot be read.
        CostlyContainerError: its directory is too large.
    """
    names = Namesakes()
    end = 0
    for archive, info in _entries(file):
        if info.is_dir() and not info.file_size:
            continue
        if kind := LINK if _is_link(info) else asked.takes(info.filename):
            asked.skipped(info.filename, kind)
            continue
        content = _content(archive, info, asked, end)
        if isinstance(content, bytes):
            end = info.header_offset + LOCAL_HEADER_BYTES + info.compress_size
        yield Member(names.named(info.filename), info.file_size, None, f"{info.CRC:08x}", content)


def _entries(file: IO[bytes]) -> Iterator[tuple[ZipFile, ZipInfo]]:
    entries = _check_directory(file)
    try:
        archive = ZipFile(file)
    except (*DAMAGE, NotImplementedError) as e:
        raise DamagedContainerError(f"its directory cannot be read: {e}") from None
    with archive:
        infos = archive.infolist()
        if len(infos) != entries:
            raise DamagedContainerError(f"its directory has {len(infos):,} entries; {entries:,} it should have")
        yield from ((archive, info) for info in sorted(infos, key=lambda info: info.header_offset))


def _check_directory(file: IO[bytes]) -> int:
    """How many entries the directory should have, from what stands behind it; the library does not compare them."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - END.size - LONGEST_COMMENT)
    file.seek(start)
    last = file.read()
    place = last.rfind(END_MAGIC, 0, max(0, len(last) - END.size + len(END_MAGIC)))
    if place < 0:
        raise DamagedContainerError(f"it has no directory at its end, byte {size:,}: it was cut, or is being written")
    entries, length = END.unpack_from(last, place)[4:6]
    if start + place >= END64.size:
        file.seek(start + place - END64.size)
        magic, *numbers, locator = END64.unpack(file.read(END64.size))
        if (magic, locator) == (END64_MAGIC, LOCATOR64_MAGIC):
            entries, length = numbers[6:8]
    if LARGEST_DIRECTORY < length <= start + place:
        raise CostlyContainerError(
            f"its directory has {length:,} bytes, which are in memory at once; at most {LARGEST_DIRECTORY:,} are read"
        )
    return int(entries)


def _is_link(info: ZipInfo) -> bool:
    return info.create_system == UNIX and stat.S_ISLNK(info.external_attr >> 16)


def _content(archive: ZipFile, info: ZipInfo, asked: Asked, end: int) -> bytes | Refusal:
    """Args:
    end: of the members before it, whose bytes no other one has: else few bytes are very many members.
    """
    if info.flag_bits & ENCRYPTED:
        return refused("EncryptedMember", "it is encrypted")
    if info.file_size > asked.max_bytes:
        return refused_for_size(info.file_size, asked.max_bytes)
    if info.compress_type not in METHODS:
        return refused("UnsupportedCompression", f"it is packed by method {info.compress_type}, which is not read here")
    if info.header_offset < end:
        return refused("DamagedMember", f"at byte {info.header_offset:,} it lies within the member before it")
    try:
        with archive.open(info) as member:
            return b"".join(iter(partial(member.read, READ_BYTES), b""))
    except (*DAMAGE, NotImplementedError, OSError) as e:
        if isinstance(e, OSError) and e.errno is not None:
            raise  # of the file that it is read from; bzip2's own has no number
        return refused("DamagedMember", f"at byte {info.header_offset:,} it cannot be read: {e or type(e).__name__}")
