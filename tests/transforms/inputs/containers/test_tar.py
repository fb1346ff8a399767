"""Tar archives by other writers, whole and broken at every place."""

from __future__ import annotations

import functools
import gzip
import io
import os
import subprocess
import tarfile
import tracemalloc
from pathlib import Path
from typing import IO, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.inputs.containers.making import Found, found_in, headers_of, takes, tar_of
from transforms.inputs.containers import tar
from transforms.inputs.containers.member import Asked

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
FILES = [("a.jpg", b"a" * 511), ("b/c.png", b"b" * 512), ("b/readme.txt", b"text"), ("d.jpg", b"")]
FILES += [(f"{'long' * 30}/{'name' * 20}.jpg", b"c" * 1025), ("naïve 写真.gif", b"d" * 100)]
IMAGES = {name: data for name, data in FILES if not name.endswith(".txt")}


def read(data: bytes, **asked: object) -> Found:
    return found_in(tar.members, data, **asked)


@pytest.mark.parametrize("tar_format", FORMATS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_members_are_what_the_standard_library_wrote(tar_format: int, pack: type[bytes]) -> None:
    found = read(pack(tar_of(FILES, tar_format)))
    assert (found.images, found.damage) == (IMAGES, "")
    assert list(found.images) == list(IMAGES)
    assert found.skipped == [("b/readme.txt", ".txt")]
    assert [member.size for member in found.members] == [len(data) for data in IMAGES.values()]
    assert found.members[1].updated == 1_500_000_001
    assert found.members[1].fingerprint == "512-1500000001"


@pytest.mark.parametrize("tar_format", ["v7", "oldgnu", "gnu", "ustar", "posix"])
def test_gnu_tar_writes_what_is_read(tmp_path: Path, tar_format: str) -> None:
    """With folders, links, a pipe and a file whose name is no UTF-8."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/a.jpg").write_bytes(b"a" * 3000)
    (folder / "hard.jpg").hardlink_to(folder / "sub/a.jpg")
    (folder / "soft.jpg").symlink_to("sub/a.jpg")
    if tar_format != "v7":  # which has no pipes
        os.mkfifo(folder / "pipe.jpg")
    (folder / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"odd")
    command = ["tar", f"--format={tar_format}", "--sort=name", "-cf", tmp_path / "x.tar", "-C", folder, "."]
    subprocess.run(command, check=True, capture_output=True)
    found = read((tmp_path / "x.tar").read_bytes())
    assert found.damage == ""
    assert found.images == {"./caf\udce9.jpg": b"odd", "./hard.jpg": b"a" * 3000}
    assert sorted(found.skipped) == [
        *([("./pipe.jpg", "device")] if tar_format != "v7" else []),
        ("./soft.jpg", "link"),
        ("./sub/a.jpg", "link"),
    ]


def test_times_finer_than_seconds_and_sizes_of_extended_headers(tmp_path: Path) -> None:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("a.jpg")
        info.size, info.mtime = 600, 1.25
        info.pax_headers = {"size": "600", "comment": "x" * 2000, "SCHILY.xattr.user.a": "1=2\n3=4"}
        archive.addfile(info, io.BytesIO(b"a" * 600))
    (member,) = read(written.getvalue()).members
    assert (member.content, member.updated, member.fingerprint) == (b"a" * 600, 1.25, "600-1.25")


def test_global_headers_hold_for_all_that_follow() -> None:
    """As `git archive` writes them."""
    written = io.BytesIO()
    with tarfile.open(
        fileobj=written, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"mtime": "7", "comment": "commit"}
    ) as archive:
        for name in ("a.jpg", "b.jpg"):
            archive.addfile(tarfile.TarInfo(name))
    assert [member.updated for member in read(written.getvalue()).members] == [7.0, 7.0]


@pytest.mark.parametrize("version", ["old", "0.0", "0.1", "1.0"])
def test_sparse_files_are_refused_by_name_and_others_read(tmp_path: Path, version: str) -> None:
    """With so many holes that the old format needs blocks of its own for them."""
    with (tmp_path / "a.jpg").open("wb") as file:
        for i in range(40):
            file.seek(i * 100_000)
            file.write(b"x" * 4096)
    (tmp_path / "b.jpg").write_bytes(b"whole")
    options = ["--format=gnu"] if version == "old" else ["--format=posix", f"--sparse-version={version}"]
    command = ["tar", *options, "--sparse", "-cf", tmp_path / "x.tar", "-C", tmp_path, "a.jpg", "b.jpg"]
    subprocess.run(command, check=True)
    data = (tmp_path / "x.tar").read_bytes()
    assert len(data) < 400_000
    found = read(data)
    assert (found.images["b.jpg"], found.errors, found.damage) == (b"whole", {"a.jpg": "SparseMember"}, "")


def test_larger_members_are_refused_unread() -> None:
    data = tar_of([("a.jpg", b"a" * 2000), ("b.jpg", b"b" * 1000)])
    found = read(data, max_bytes=1000)
    assert found.errors == {"a.jpg": "ObjectTooLarge"}
    assert found.images["b.jpg"] == b"b" * 1000
    assert "2,000 bytes" in str(found.images["a.jpg"])


def test_members_of_the_same_name_get_names_of_their_own() -> None:
    names = ["a.jpg", "a.jpg", "b.jpg", "a.jpg#2", "a.jpg", "a.jpg#2"]
    found = read(tar_of([(name, str(i).encode()) for i, name in enumerate(names)]), takes=lambda name: "")
    assert found.images == {
        "a.jpg": b"0", "a.jpg#2": b"1", "b.jpg": b"2", "a.jpg#2#2": b"3", "a.jpg#3": b"4", "a.jpg#2#3": b"5",
    }  # fmt: skip


def test_links_and_folders_have_no_data_whatever_size_they_tell() -> None:
    """As some writers give a link the size of its target."""
    headers = b""
    for kind in (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE):
        info = tarfile.TarInfo("link.jpg")
        info.type, info.size = kind, 600
        headers += info.tobuf()
    found = read(headers + tar_of([("a.jpg", b"a")]))
    assert (found.images, found.damage) == ({"a.jpg": b"a"}, "")
    assert found.skipped == [("link.jpg", "link")] * 2


def test_an_archive_without_members() -> None:
    assert read(tar_of([])) == Found([], "", [])


def test_a_header_in_the_middle_is_damaged() -> None:
    """The standard library reads one member of it, without a word."""
    data = bytearray(tar_of([(f"{i}.jpg", b"x" * 512) for i in range(3)]))
    data[1024 + 5] ^= 1
    assert len(headers_of(data)) == 1
    found = read(bytes(data))
    assert list(found.images) == ["0.jpg"]
    assert found.damage.startswith("at byte 1,024: its header does not hold: ")


def test_archives_that_were_joined() -> None:
    one, two = tar_of([("a.jpg", b"a")]), tar_of([("b.jpg", b"b")])
    found = read(one + two)
    assert list(found.images) == ["a.jpg"]
    assert found.damage.startswith("behind its end mark at byte 1,024 stands more than zeros: ")
    lone_zeros = one[:1024] + bytes(512) + two
    assert read(lone_zeros).damage == found.damage


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (b"12 path=a.jp\n", "records"),
        (b"99 path=a.jpg\n", "records"),
        (b"path=a.jpg\n", "invalid literal"),
        (b"9 size=-1\n"[:-1] + b"\n", "records"),
        (b"11 size=-5\n", "a size of -5 bytes"),
        (b"16 size=1e300xx\n", "invalid literal"),
        (b"12 mtime=ab\n", "could not convert"),
    ],
)
def test_an_extended_header_that_holds_nothing_is_damage(records: bytes, reason: str) -> None:
    """The standard library reads what it can of them."""
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(records)
    extended = info.tobuf(tarfile.USTAR_FORMAT) + records.ljust(512, b"\0")
    assert reason in read(extended + tar_of([("a.jpg", b"a")])).damage


def test_headers_that_are_bombs_are_refused_unread() -> None:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 8 << 30
    assert "8,589,934,592 bytes; at most 1,048,576 are read" in read(info.tobuf(tarfile.GNU_FORMAT)).damage
    info.type, info.size = tarfile.REGTYPE, 1 << 80
    assert "a size of" in read(info.tobuf(tarfile.GNU_FORMAT)).damage
    info.size = -512
    assert "a size of -512 bytes" in read(info.tobuf(tarfile.GNU_FORMAT)).damage


def test_extended_headers_without_a_member() -> None:
    data = tar_of([("x" * 120, b"")])
    assert "followed by no member" in read(data[:1024] + bytes(1024)).damage
    assert "it ends without the zeros" in read(data[:1024]).damage


def test_an_archive_that_ends_in_very_many_zeros_is_damaged() -> None:
    """As one does whose space was reserved before it was written; no writer leaves more than a mebibyte."""
    data = tar_of([("a.jpg", b"a")])
    padded = data.ljust(1024 + (1 << 20), b"\0")
    assert read(padded).damage == ""
    for zeros in (padded + bytes(1 << 16), bytes(len(padded) + (1 << 16))):
        assert "stand more zeros than any writer leaves there" in read(zeros).damage


SMALL = [(f"{'n' * 98 + '/' if i == 2 else ''}{i}.{kind}", bytes([65 + i]) * (200 + 300 * i)) for i, kind in enumerate(
    ["jpg", "txt", "jpg", "png", "jpg"]
)]  # fmt: skip
ARCHIVES = {tar_format: tar_of(SMALL, tar_format) for tar_format in FORMATS}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FORMATS), st.data())
def test_what_is_cut_anywhere_is_told(tar_format: int, draw: st.DataObject) -> None:
    """Every member before the cut is there, with its bytes; and whatever is cut off of the end is damage."""
    data = ARCHIVES[tar_format]
    last = headers_of(data)[-1]
    end = last.offset_data + -(-last.size // 512) * 512
    cut = draw.draw(st.integers(0, end + 511))
    found = read(data[:cut])
    assert found.damage
    ends = [info.offset_data + info.size for info in headers_of(data)]
    whole = [file for file, ends_at in zip(SMALL, ends, strict=True) if ends_at <= cut]
    assert list(found.images.items()) == [(name, content) for name, content in whole if not name.endswith(".txt")]
    packed = gzip.compress(data, mtime=0)
    found = read(packed[: draw.draw(st.integers(2, len(packed) - 1))])
    assert found.damage.startswith("its gzip is cut short at byte ")
    assert found.images.items() <= dict(SMALL).items()


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(FORMATS), st.data())
def test_a_byte_that_is_flipped_anywhere_loses_no_member_without_a_word(tar_format: int, draw: st.DataObject) -> None:
    """The number of members is right, or there is damage; of gzip, which has a checksum, each byte is right."""
    data = bytearray(ARCHIVES[tar_format])
    data[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    found = read(bytes(data))
    assert found.damage or len(found.members) + len(found.skipped) == len(SMALL)
    assert sum(content != dict(SMALL).get(name) for name, content in found.images.items()) <= 1
    packed = bytearray(gzip.compress(ARCHIVES[tar_format], mtime=0))
    packed[draw.draw(st.integers(2, len(packed) - 1))] ^= draw.draw(st.integers(1, 255))
    found = read(bytes(packed))
    intact = found.images == {name: content for name, content in SMALL if not name.endswith(".txt")}
    assert found.damage or intact  # some bits of gzip mean nothing


SAMPLE_BYTES = 100_352 + 3 * 512


class Made(io.RawIOBase):
    """An archive of so many images of 100 KB, each with its class beside it, made as it is read."""

    def __init__(self, samples: int):
        self._samples = samples
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        assert whence == io.SEEK_SET
        self._at = offset
        return offset

    def readinto(self, buffer: Any) -> int:
        number, place = divmod(self._at, SAMPLE_BYTES)
        data = memoryview(sample(number) if number < self._samples else bytes(1024))[place:]
        count = min(len(data), len(buffer))
        buffer[:count] = data[:count]
        self._at += count
        return count


@functools.lru_cache(maxsize=1)
def sample(number: int) -> bytes:
    image, label = tarfile.TarInfo(f"{number:06}.jpg"), tarfile.TarInfo(f"{number:06}.cls")
    image.size, label.size = 100_000, 6
    return b"".join([image.tobuf(), bytes(100_352), label.tobuf(), (b"%6d" % number).ljust(512, b"\0")])


def test_an_archive_is_never_in_memory() -> None:
    """300 MB of it, read in some 3 MB; the names that were given are most of them."""
    file = cast(IO[bytes], io.BufferedReader(Made(3000)))
    tracemalloc.start()
    found = sum(
        len(member.content) + int(member.columns["cls"] == number)
        for number, member in enumerate(tar.members(file, Asked(("cls",), takes=takes)))
        if isinstance(member.content, bytes)
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == 3000 * 100_001
    assert peak < 4 << 20
