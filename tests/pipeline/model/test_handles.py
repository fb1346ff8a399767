"""Model handles: archives, folders, stores; and what is said of those that hold no module."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from pipeline.errors import ModelError
from pipeline.model.handles import resolve
from pipeline.model.prepare import prepare_model
from pipeline.model.sealing import digest_of
from tests.conftest import save_module


def archive(folder: str | Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(str(folder), arcname=".")
    return buffer.getvalue()


def test_folders_and_archives_are_one_module(tmp_path: Path, tiny_module: str) -> None:
    packed = tmp_path / "module.tar.gz"
    packed.write_bytes(archive(tiny_module))
    expected = digest_of(Path(tiny_module))
    for handle in (tiny_module, f"file://{tiny_module}", str(packed)):
        assert prepare_model(handle, "litert").digest == expected


def test_stores_hold_modules_too(tiny_module: str) -> None:
    """fsspec's memory store stands for every store: folders and archives."""
    import fsspec

    store = fsspec.filesystem("memory")
    store.put(tiny_module, "/models/tiny", recursive=True)
    store.pipe_file("/models/tiny.tar.gz", archive(tiny_module))
    expected = digest_of(Path(tiny_module))
    for handle in ("memory://models/tiny", "memory://models/tiny/", "memory://models/tiny.tar.gz"):
        assert digest_of(resolve(handle)) == expected


@pytest.mark.parametrize(
    ("handle", "message"),
    [
        ("/no/such/folder", "no such folder"),
        ("/no/such.tar.gz", "no such archive"),
        ("memory://nothing/here", "nothing is there"),
        ("builtin:resnet", "the only builtin module is"),
    ],
)
def test_handles_of_nothing_are_refused(handle: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as refused:
        prepare_model(handle, "litert")
    assert str(refused.value).startswith(handle)


def test_folders_and_archives_of_something_else_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no saved_model\.pb"):
        prepare_model(str(tmp_path), "litert")
    (tmp_path / "a.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(ModelError, match=r"not a \.tar\.gz"):
        prepare_model(str(tmp_path / "a.tar.gz"), "litert")
    (tmp_path / "sm").mkdir()
    (tmp_path / "sm/saved_model.pb").write_bytes(b"garbage")
    with pytest.raises(ModelError, match="TensorFlow cannot load"):
        prepare_model(str(tmp_path / "sm"), "litert")


def test_digests_follow_the_files_not_the_export(tmp_path: Path, tiny_module: str) -> None:
    again = save_module(tmp_path / "again")
    before = digest_of(Path(tiny_module))
    assert digest_of(again / "variables") == digest_of(Path(tiny_module) / "variables")
    (again / "fingerprint.pb").write_bytes(b"other")
    same = digest_of(again)
    (again / "assets/labels.txt").write_text("cat")
    assert digest_of(again) != same
    (again / "assets/labels.txt").rename(again / "assets/names.txt")
    assert len({before, same, digest_of(again)}) >= 2
