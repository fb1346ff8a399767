"""Large files by threads of their own: the same bytes, whatever their sizes and whatever a disk refuses."""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from transforms.stores import streams
from transforms.stores.spooling import open_spool, size_and_crc32c
from transforms.stores.streams import BUFFER_BYTES, Ahead, Stream

SIZES = (0, 1, 4095, BUFFER_BYTES - 1, BUFFER_BYTES, BUFFER_BYTES + 1, 3 * BUFFER_BYTES, 3 * BUFFER_BYTES + 7)
PLACES = [pytest.param("", id="a disk"), pytest.param("/dev/shm", id="memory")]  # noqa: S108


def bytes_of(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


def place_of(place: str, tmp_path: Path) -> str:
    if place and not Path(place).is_dir():
        pytest.skip(f"there is no {place} here")
    return place or str(tmp_path)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_what_was_written_is_in_the_file(size: int, direct: bool, place: str, tmp_path: Path) -> None:
    data, random = bytes_of(size), np.random.default_rng(size)
    with open_spool(place_of(place, tmp_path)) as file, Stream(file, direct) as stream:
        done = 0
        while done < size:
            some = memoryview(data)[done : done + int(random.choice([1, 5000, 1 << 20, 9 << 20]))]
            done += stream.write(some)
            assert stream.tell() == done
        stream.flush()
        file.seek(0)
        assert file.read() == data
        assert stream.size_and_crc32c() == size_and_crc32c(file)
        file.write(b"as any other file")
        file.flush()


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.skipif(not streams.O_DIRECT, reason="Linux alone has such writes")
def test_past_the_cache_where_it_can_be(refuses: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system may take the flag and then nothing with it."""
    write, seen = os.write, []

    def refusing(descriptor: int, data: memoryview) -> int:
        seen.append(bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & streams.O_DIRECT))
        if refuses and seen[-1]:
            raise OSError(errno.EINVAL, "Invalid argument")
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", refusing)
    with open_spool(str(tmp_path)) as file, Stream(file, True) as stream:
        stream.write(data := bytes_of(2 * BUFFER_BYTES + 100))
        stream.flush()
        file.seek(0)
        assert file.read() == data
    assert seen == ([True, False, False, False] if refuses else [True, True, False])


def test_half_a_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[: 1 << 20]))
    with open_spool(str(tmp_path)) as file, Stream(file, True) as stream:
        stream.write(data := bytes_of(2 * BUFFER_BYTES + 100))
        stream.flush()
        file.seek(0)
        assert file.read() == data


@pytest.mark.parametrize("size", [10, BUFFER_BYTES, 3 * BUFFER_BYTES])
def test_what_the_disk_says_is_told_and_the_thread_ends(
    size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    before = threading.active_count()
    with open_spool(str(tmp_path)) as file, Stream(file, True) as stream:
        with pytest.raises(OSError, match="No space left") as refused:
            write_all(stream, bytes_of(size))
        assert refused.value.errno == errno.ENOSPC
    assert threading.active_count() == before


def write_all(stream: Stream, data: bytes) -> None:
    stream.write(data)
    stream.flush()


@pytest.mark.parametrize("size", SIZES)
def test_what_is_read_ahead_is_the_file(size: int, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(data := bytes_of(size))
    before = threading.active_count()
    with (tmp_path / "file").open("rb") as file, Ahead(file) as ahead:
        assert ahead.read() == data
        assert ahead.read(1) == b""
    assert threading.active_count() == before


def test_who_stops_early_waits_for_no_more(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes_of(3 * BUFFER_BYTES))
    before = threading.active_count()
    with (tmp_path / "file").open("rb") as file, Ahead(file) as ahead:
        assert ahead.read(10) == bytes_of(3 * BUFFER_BYTES)[:10]
    assert threading.active_count() == before


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.skipif(not streams.O_DIRECT, reason="Linux alone has such reads")
def test_what_is_not_cached_is_read_past_the_cache(
    refuses: bool, cached: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    preadv, seen = os.preadv, []

    def watched(descriptor: int, buffers: list[memoryview], place: int, flags: int = 0) -> int:
        direct = bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & streams.O_DIRECT)
        if flags:
            assert not direct
            assert len(buffers[0]) == 1
            if cached:
                return 1
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        seen.append(direct)
        if direct and (refuses or place % 4096):
            raise OSError(errno.EINVAL, "Invalid argument")
        return preadv(descriptor, buffers, place)

    (tmp_path / "file").write_bytes(data := bytes_of(2 * BUFFER_BYTES + 100))
    monkeypatch.setattr(os, "preadv", watched)
    with (tmp_path / "file").open("rb") as file:
        with Ahead(file) as ahead:
            assert ahead.read() == data
        assert not fcntl.fcntl(file.fileno(), fcntl.F_GETFL) & streams.O_DIRECT
    assert any(seen) is not cached
    assert not refuses or not cached or not any(seen)


def test_what_the_system_has_is_known(tmp_path: Path) -> None:
    """As far as it can be told here; what was written just now is in memory."""
    (tmp_path / "file").write_bytes(bytes(2 * BUFFER_BYTES))
    with (tmp_path / "file").open("rb") as file:
        assert streams._is_cached(file.fileno(), 0)


@pytest.mark.parametrize("error", [errno.EOPNOTSUPP, errno.EIO])
def test_who_does_not_tell_is_read_as_ever(error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preadv = os.preadv

    def refusing(descriptor: int, buffers: list[memoryview], place: int, flags: int = 0) -> int:
        if flags:
            raise OSError(error, os.strerror(error))
        assert not fcntl.fcntl(descriptor, fcntl.F_GETFL) & streams.O_DIRECT
        return preadv(descriptor, buffers, place)

    monkeypatch.setattr(os, "preadv", refusing)
    (tmp_path / "file").write_bytes(data := bytes_of(BUFFER_BYTES + 100))
    with (tmp_path / "file").open("rb") as file, Ahead(file) as ahead:
        assert ahead.read() == data


def test_half_a_read_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preadv = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, buffers, *rest: preadv(fd, [buffers[0][: (1 << 20) + 7]], *rest))
    (tmp_path / "file").write_bytes(data := bytes_of(2 * BUFFER_BYTES + 100))
    with (tmp_path / "file").open("rb") as file, Ahead(file) as ahead:
        assert ahead.read() == data


def test_an_error_of_the_disk_comes_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preadv = os.preadv

    def broken(descriptor: int, buffers: list[memoryview], place: int, flags: int = 0) -> int:
        if place >= BUFFER_BYTES and not flags:
            raise OSError(errno.EIO, "Input/output error")
        return preadv(descriptor, buffers, place, flags)

    monkeypatch.setattr(os, "preadv", broken)
    (tmp_path / "file").write_bytes(data := bytes_of(2 * BUFFER_BYTES))
    with (tmp_path / "file").open("rb") as file, Ahead(file) as ahead:
        assert ahead.read(BUFFER_BYTES) == data[:BUFFER_BYTES]
        with pytest.raises(OSError, match="Input/output error"):
            ahead.read(1)
