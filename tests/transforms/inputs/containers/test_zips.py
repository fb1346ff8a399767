"""Zip archives by Python and by Info-ZIP, whole and broken at every place."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.transforms.inputs.containers.making import Found, found_in
from transforms.elements import Refusal
from transforms.inputs.containers import zips
from transforms.inputs.containers.member import Asked, CostlyContainerError

FILES = [("a.jpg", b"a" * 5000), ("b/c.png", bytes(range(256)) * 9), ("b/readme.txt", b"text"), ("d.jpg", b"")]
FILES += [("naïve 写真.gif", b"d" * 100), ("with space #1.webp", b"e" * 70_000)]
IMAGES = {name: data for name, data in FILES if not name.endswith(".txt")}
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def zip_of(files: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED, comment: bytes = b"") -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
        archive.comment = comment
    return written.getvalue()


def read(data: bytes, **asked: Any) -> Found:
    return found_in(zips.members, data, **asked)


@pytest.mark.parametrize("method", METHODS)
def test_members_are_what_the_standard_library_wrote(method: int) -> None:
    found = read(zip_of(FILES, method, b"a comment"))
    assert (found.images, found.damage) == (IMAGES, "")
    assert found.skipped == [("b/readme.txt", ".txt")]
    assert [(member.size, member.fingerprint, member.updated) for member in found.members] == [
        (len(data), f"{zlib.crc32(data):08x}", None) for data in IMAGES.values()
    ]


@pytest.mark.skipif(not shutil.which("zip"), reason="Info-ZIP is not installed")
@pytest.mark.parametrize("method", ["store", "deflate", "bzip2"])
def test_info_zip_writes_what_is_read(tmp_path: Path, method: str) -> None:
    """With folders, links, a member whose size it did not know, and one that it encrypted."""
    for name, data in FILES:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    (tmp_path / "in/soft.jpg").symlink_to("a.jpg")
    (tmp_path / "in/__MACOSX").mkdir()
    (tmp_path / "in/__MACOSX/._a.jpg").write_bytes(b"resource fork")
    info_zip = partial(subprocess.run, check=True, cwd=tmp_path / "in", env={**os.environ, "LC_ALL": "C.UTF-8"})
    info_zip(["zip", "-q", "-r", "-y", "-Z", method, tmp_path / "x.zip", "."])
    (tmp_path / "in/secret.jpg").write_bytes(b"secret")
    info_zip(["zip", "-q", "-P", "password", tmp_path / "x.zip", "secret.jpg"])
    streamed = info_zip(["zip", "-q", "-", "-"], input=b"streamed", capture_output=True).stdout
    found = read((tmp_path / "x.zip").read_bytes())
    assert found.damage == ""
    assert found.errors == {"secret.jpg": "EncryptedMember"}
    assert {name: data for name, data in found.images.items() if name != "secret.jpg"} == {
        name.encode().decode("cp437"): data for name, data in IMAGES.items()
    }
    assert sorted(found.skipped) == [("__MACOSX/._a.jpg", "._*"), ("b/readme.txt", ".txt"), ("soft.jpg", "link")]
    assert read(streamed, takes=lambda name: "").images == {"-": b"streamed"}


def test_large_archives_have_numbers_of_64_bits() -> None:
    files = [(f"{i}.txt", b"") for i in range(66_000)]
    found = read(zip_of([*files, ("a.jpg", b"a")], zipfile.ZIP_STORED))
    assert (found.images, len(found.skipped), found.damage) == ({"a.jpg": b"a"}, 66_000, "")
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive, archive.open("a.jpg", "w", force_zip64=True) as member:
        member.write(b"a" * 100)
    assert read(written.getvalue()).images == {"a.jpg": b"a" * 100}


def test_members_come_in_the_order_of_their_places() -> None:
    data = zip_of([("b.jpg", b"b"), ("a.jpg", b"a"), ("c.jpg", b"c")])
    start = data.index(b"PK\x01\x02")
    end = data.index(b"PK\x05\x06")
    entries = [b"PK\x01\x02" + entry for entry in data[start:end].split(b"PK\x01\x02")[1:]]
    found = read(data[:start] + b"".join(entries[::-1]) + data[end:])
    assert list(found.images) == ["b.jpg", "a.jpg", "c.jpg"]


def test_names_in_the_alphabet_of_dos_and_names_that_come_twice() -> None:
    data = zip_of([("caf#.jpg", b"x")]).replace(b"caf#.jpg", b"caf\x82.jpg")
    assert read(data).images == {"café.jpg": b"x"}
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("a.jpg", b"one")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.jpg", b"two")
    assert read(written.getvalue()).images == {"a.jpg": b"one", "a.jpg#2": b"two"}


def test_a_member_that_is_damaged_is_refused_and_the_others_read() -> None:
    data = bytearray(zip_of([(f"{i}.jpg", bytes([i]) * 50) for i in range(4)], zipfile.ZIP_STORED))
    data[data.index(b"\x01" * 50) + 20] ^= 255
    data[data.index(b"2.jpg")] ^= 2  # in its own header; the directory knows it
    found = read(bytes(data))
    assert found.damage == ""
    assert found.errors == {"1.jpg": "DamagedMember", "2.jpg": "DamagedMember"}
    assert (found.images["0.jpg"], found.images["3.jpg"]) == (bytes(50), bytes([3]) * 50)
    refusal = found.images["1.jpg"]
    assert isinstance(refusal, Refusal)
    assert refusal.message == "at byte 85 it cannot be read: Bad CRC-32 for file '1.jpg'"


def test_methods_that_are_not_read_are_named() -> None:
    data = bytearray(zip_of([("a.jpg", b"a"), ("b.jpg", b"b")]))
    struct.pack_into("<H", data, data.index(b"PK\x01\x02") + 10, 93)
    found = read(bytes(data))
    assert found.images["a.jpg"] == Refusal(
        "unpack", "UnsupportedCompression", "it is packed by method 93, which is not read here"
    )
    assert found.images["b.jpg"] == b"b"


@pytest.mark.parametrize("method", METHODS[1:])
def test_bombs_unpack_to_no_more_than_an_image(method: int) -> None:
    """Whatever the header says; and no bytes are two members."""
    data = bytearray(zip_of([("a.jpg", bytes(50_000_000)), ("b.jpg", b"b")], method))
    assert read(bytes(data), max_bytes=1 << 20).errors == {"a.jpg": "ObjectTooLarge"}
    struct.pack_into("<L", data, data.index(b"PK\x01\x02") + 24, 1000)
    found = read(bytes(data), max_bytes=1 << 20)
    assert found.errors == {"a.jpg": "DamagedMember"}
    assert found.images["b.jpg"] == b"b"


def test_members_within_each_other_are_refused() -> None:
    data = zip_of([("a.jpg", b"a" * 100), ("b.jpg", b"b" * 100)], zipfile.ZIP_STORED)
    start, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[start : start + 51]
    changed = bytearray(data[:start] + entry + entry + data[end:])
    struct.pack_into("<L", changed, end + 12, 102)
    struct.pack_into("<L", changed, end + 16, start)
    found = read(bytes(changed))
    assert found.images["a.jpg"] == b"a" * 100
    assert found.errors == {"a.jpg#2": "DamagedMember"}


def test_a_directory_that_would_fill_a_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "LARGEST_DIRECTORY", 100)
    assert len(read(zip_of(FILES[:1])).members) == 1
    with pytest.raises(CostlyContainerError, match="its directory has 102 bytes"):
        list(zips.members(io.BytesIO(zip_of([("a.jpg", b""), ("b.jpg", b"")])), Asked()))


def test_an_archive_without_a_directory_is_damage_at_the_beginning() -> None:
    data = zip_of(FILES)
    for cut in (data[:-1], data[: len(data) // 2], data[:10]):
        found = read(cut)
        assert found.members == []
        assert found.damage.startswith(f"it has no directory at its end, byte {len(cut):,}: ")
    assert read(zip_of([])) == Found([], "", [])


def test_a_directory_that_has_lost_entries_is_damage() -> None:
    """The library takes what is left for all: here the directory begins at its second entry."""
    data = bytearray(zip_of([("a.jpg", b"a"), ("b.jpg", b"b")]))
    struct.pack_into("<L", data, data.index(b"PK\x05\x06") + 12, 51)
    struct.pack_into("<L", data, data.index(b"PK\x05\x06") + 16, data.index(b"PK\x01\x02") + 51)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["b.jpg"]
    assert read(bytes(data)).damage == "its directory has 1 entries; 2 it should have"


SMALL = [(f"{i}.{kind}", bytes([65 + i]) * (5 + 60 * i)) for i, kind in enumerate(["jpg", "txt", "jpg", "png"])]
ARCHIVES = [zip_of(SMALL, method, comment) for method in METHODS for comment in (b"", b"comment")]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ARCHIVES), st.data())
def test_what_is_cut_anywhere_is_told(data: bytes, draw: st.DataObject) -> None:
    cut = draw.draw(st.integers(0, len(data) - 1))
    found = read(data[:cut])
    whole = {name: content for name, content in SMALL if not name.endswith(".txt")}
    assert found.damage or found.images == whole  # of the comment alone
    assert not found.members or found.images == whole


@settings(max_examples=1000, deadline=None)
@given(st.sampled_from(ARCHIVES), st.data())
def test_a_byte_that_is_flipped_anywhere_loses_no_member_without_a_word(data: bytes, draw: st.DataObject) -> None:
    broken = bytearray(data)
    broken[draw.draw(st.integers(0, len(data) - 1))] ^= draw.draw(st.integers(1, 255))
    found = read(bytes(broken))
    assert found.damage or len(found.members) + len(found.skipped) == len(SMALL)
    given_bytes = [content for content in found.images.values() if isinstance(content, bytes)]
    assert set(given_bytes) <= {content for _, content in SMALL}
    assert len(given_bytes) == len(set(given_bytes))
