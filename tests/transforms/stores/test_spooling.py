"""Files without a name: what they become, and what is said of a full disk."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from pathlib import Path

import pytest

from transforms.stores import spooling, storage, streams
from transforms.stores.spooling import Spools, naming, open_spool

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="Linux alone has this device")
@pytest.mark.parametrize(
    ("path", "remedy"),
    [(None, "free some, or name another folder in TMPDIR"), ("features/part", "free some")],
)
def test_a_full_disk_is_named_with_its_remedy(path: str | None, remedy: str) -> None:
    with pytest.raises(OSError, match=f"; {remedy}: ") as refused, naming(path), FULL.open("wb", buffering=0) as file:
        file.write(b"x")
    assert refused.value.errno == errno.ENOSPC
    assert refused.value.filename == (path or tempfile.gettempdir())


linux = pytest.mark.skipif(not spooling.O_TMPFILE, reason="Linux alone gives files without a name one")


@linux
def test_a_spool_on_the_disk_of_its_target_becomes_that_file(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        with open_spool(str(tmp_path)) as spool:
            spool.write(b"whole")
            assert not list(tmp_path.iterdir())
            number = os.fstat(spool.fileno()).st_ino
            storage.upload(spool, f"{tmp_path}/to/file")
        (tmp_path / "other").touch()
    finally:
        os.umask(mask)
    found = tmp_path / "to/file"
    assert (found.read_bytes(), found.stat().st_ino) == (b"whole", number)
    assert found.stat().st_mode == (tmp_path / "other").stat().st_mode
    assert [*found.parent.iterdir()] == [found]


def test_a_name_that_is_taken_is_taken_over(tmp_path: Path) -> None:
    for content in (b"first", b"second"):
        with open_spool(str(tmp_path)) as spool:
            spool.write(content)
            storage.upload(spool, f"{tmp_path}/file")
            storage.upload(spool, f"{tmp_path}/file")  # as a retry does
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"second"


def test_a_file_that_has_a_name_is_copied(tmp_path: Path) -> None:
    (tmp_path / "named").write_bytes(b"mine")
    with (tmp_path / "named").open("rb") as file:
        storage.upload(file, f"{tmp_path}/copy")
    assert (tmp_path / "copy").read_bytes() == b"mine"
    assert not (tmp_path / "copy").samefile(tmp_path / "named")


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no other file system is known")  # noqa: S108
def test_a_spool_of_another_file_system_is_copied(tmp_path: Path) -> None:
    with open_spool("/dev/shm") as spool:  # noqa: S108
        spool.write(b"from afar")
        storage.upload(spool, f"{tmp_path}/file")
    assert (tmp_path / "file").read_bytes() == b"from afar"


def test_without_such_files_there_are_temporary_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spooling, "O_TMPFILE", 0)
    with open_spool(str(tmp_path)) as spool:
        spool.write(b"copied")
        assert not list(tmp_path.iterdir())
        storage.upload(spool, f"{tmp_path}/file")
    assert (tmp_path / "file").read_bytes() == b"copied"


@linux
def test_a_stream_goes_past_the_cache_where_it_stays(tmp_path: Path) -> None:
    """What is sent to a store is read again at once."""
    for folder in (str(tmp_path), ""):
        with Spools(folder) as spools:
            flags = fcntl.fcntl(spools.stream().fileno(), fcntl.F_GETFL)
        assert bool(flags & streams.O_DIRECT) == bool(folder)


def test_all_are_closed_at_the_end(tmp_path: Path) -> None:
    with Spools(str(tmp_path)) as spools:
        plain, stream = spools(), spools.stream()
        stream.write(b"never flushed")
    assert plain.closed
    assert stream.closed
    assert stream.file.closed
