"""Archives of modules: what is unpacked, and what leaves nothing behind."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from pipeline.errors import ModelError
from pipeline.model import archives
from pipeline.model.archives import ArchiveError, unpack
from pipeline.model.handles import resolve
from pipeline.model.sealing import digest_of

MIB = 1 << 20


def packed(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=form) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=kind, linkname=target)


def through_links() -> bytes:
    """CVE-2025-4517's way: links in folders so deep that the path of their target is cut when it is looked at."""
    members, path = [], ""
    for letter in "abcdefghijklmnop":
        members.append(member(path + letter * 247, type=tarfile.DIRTYPE))
        members.append(link(path + letter, letter * 247))
        path += letter + "/"
    escape = path + "l" * 254
    return packed(*members, link(escape, "../" * 16), link("out", escape + "/../../escaped"), member("out", b"escaped"))


def zeros(size: int) -> bytes:
    return gzip.compress(packed_header(size) + bytes(size + 10240), 9)


def packed_header(size: int, name: str = "saved_model.pb", kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def raw(*blocks: bytes) -> bytes:
    return gzip.compress(b"".join(blocks) + bytes(10240))


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "upwards": (lambda: packed(member("../../escaped", b"x")), "leads out of its folder"),
    "upwards, deeper": (lambda: packed(member("a/b/../../../escaped", b"x")), "leads out of its folder"),
    "absolute": (lambda: packed(member("/nowhere/escaped", b"x")), "leads out of its folder"),
    "a link": (lambda: packed(link("out", "/var"), member("out/escaped", b"x")), "no file and no folder but a link"),
    "a hard link": (lambda: packed(link("passwd", "/etc/passwd", tarfile.LNKTYPE)), "no file and no folder but a link"),
    "deep links": (through_links, "no file and no folder but a link"),
    "a device": (lambda: packed(member("null", type=tarfile.CHRTYPE)), "no file and no folder but a link or a device"),
    "a pipe": (lambda: packed(member("pipe", type=tarfile.FIFOTYPE)), "no file and no folder but a link or a device"),
    "a sparse file": (
        lambda: raw(packed_header(0, kind=tarfile.GNUTYPE_SPARSE)),
        "no file and no folder but a link or a device",
    ),
    "twice": (lambda: packed(member("a", b"1"), member("a", b"2")), "has the name 'a' twice"),
    "a file as a folder": (lambda: packed(member("a", b"1"), member("a/b", b"2")), "has the name .* twice"),
    "long names": (lambda: packed(member("a" * 300, b"x")), "a name of more than 255 bytes"),
    "deep folders": (lambda: packed(member("a/" * 40 + "b", b"x")), "more than 255 bytes or 32 folders"),
    "an escape in a name": (lambda: packed(member("\x1b[2Ja", b"x")), "which is none of a module's file"),
    "many files": (lambda: packed(*(member(str(i)) for i in range(1_001))), "more than 1,000 files"),
    "zeros": (lambda: zeros(200 * MIB), "unpacks to more than 20 times its size"),
    "a claim of a terabyte": (lambda: raw(packed_header(1 << 40)), "unpacks to more than 16 GiB"),
    "a header of zeros": (
        lambda: raw(packed_header(100 * MIB, kind=tarfile.XHDTYPE), bytes(30 * MIB)),
        "more than 1 MiB in it belong to no file",
    ),
    "a long name of zeros": (
        lambda: raw(packed_header(100 * MIB, kind=tarfile.GNUTYPE_LONGNAME), bytes(30 * MIB)),
        "more than 1 MiB in it belong to no file",
    ),
    "zeros behind the end": (lambda: gzip.compress(bytes(30 * MIB)), "more than 1 MiB in it belong to no file"),
    "half": (
        lambda: (data := packed(member("a", os.urandom(MIB))))[: len(data) // 2],
        "not a .tar.gz that can be read",
    ),
    "a damaged end": (lambda: packed(member("a", b"x"))[:-8] + bytes(8), "not a .tar.gz that can be read"),
    "less than a file": (lambda: raw(packed_header(MIB)), "not a .tar.gz that can be read"),
    "a page": (lambda: b"<html>sorry</html>", "not a .tar.gz that can be read"),
    "no bytes": (lambda: b"", "not a .tar.gz that can be read"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_no_module_holds_is_refused_and_leaves_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, reason = HOSTILE[name]
    cache, archive = tmp_path / "cache", tmp_path / "in" / "module.tar.gz"
    archive.parent.mkdir()
    archive.write_bytes(make())
    monkeypatch.setenv("EMBED_IMAGES_CACHE_DIR", str(cache))
    with pytest.raises(ModelError, match=reason) as refused:
        resolve(str(archive))
    assert str(refused.value).startswith(f"{archive}: ")
    assert "\n" not in str(refused.value)
    assert "\x1b" not in str(refused.value)
    assert [path for path in cache.rglob("*") if not path.is_dir() or path.name.startswith(".")] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "in"]


def test_a_bomb_is_stopped_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """64 MiB are free, then twenty times what was packed: less than 80 MiB of these 200 are ever written."""
    written = []
    copy = archives.shutil.copyfileobj
    monkeypatch.setattr(
        archives.shutil, "copyfileobj", lambda source, file, size: copy(source, Counting(file, written), size)
    )
    with pytest.raises(ArchiveError):
        unpack(io.BytesIO(zeros(200 * MIB)), tmp_path / "module")
    assert 60 * MIB < sum(written) < 80 * MIB


class Counting:
    def __init__(self, file: IO[bytes], written: list[int]):
        self._file, self._written = file, written

    def write(self, data: bytes) -> None:
        self._written.append(len(data))
        self._file.write(data)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("suffix", [".tar.gz", ".tgz", ".tar"])
def test_ordinary_archives_are_unpacked(tmp_path: Path, tiny_module: str, form: int, suffix: str) -> None:
    archive = tmp_path / f"module{suffix}"
    with tarfile.open(archive, "w" if suffix == ".tar" else "w:gz", format=form) as tar:
        tar.add(tiny_module, arcname=".")
    assert digest_of(resolve(str(archive))) == digest_of(Path(tiny_module))


def test_the_one_folder_of_an_archive_is_the_module(tmp_path: Path, tiny_module: str) -> None:
    archive = tmp_path / "module.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tiny_module, arcname="mobilenet_v2/1")
    with pytest.raises(ModelError, match=r"no saved_model.pb in .*it holds mobilenet_v2/"):
        resolve(str(archive))  # two levels are no longer told from a collection
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tiny_module, arcname="mobilenet_v2")
    assert digest_of(resolve(str(archive))) == digest_of(Path(tiny_module))


def test_names_of_a_store_cannot_lead_out(tmp_path: Path, tiny_module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a bucket an object may be called anything."""
    import fsspec

    monkeypatch.setenv("EMBED_IMAGES_CACHE_DIR", str(tmp_path / "cache"))
    store = fsspec.filesystem("memory")
    store.put(tiny_module, "/hostile/module", recursive=True)
    monkeypatch.setitem(store.store, "/hostile/module/../../../escaped", store.store["/hostile/module/saved_model.pb"])
    with pytest.raises(ModelError, match=r"the name '\.\./\.\./\.\./escaped', which leads out of its folder"):
        resolve("memory://hostile/module")
    assert not list(tmp_path.rglob("escaped"))
