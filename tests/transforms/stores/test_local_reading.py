"""Local files that change while they are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from transforms.elements import ImageObject
from transforms.stores import reading
from transforms.stores.store_errors import DamagedBodyError


@pytest.mark.parametrize(
    ("change", "arrived"), [(b"more", "11 bytes arrived, 10 are listed"), (b"", "0 bytes arrived")]
)
def test_a_file_that_changes_while_it_is_read_is_not_taken_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: bytes, arrived: str
) -> None:
    file = tmp_path / "growing.jpg"
    file.write_bytes(b"0123456789")
    read = os.read

    def change_and_read(descriptor: int, size: int) -> bytes:
        with file.open("ab" if change else "wb") as writer:
            writer.write(change)
        return read(descriptor, size)

    monkeypatch.setattr(os, "read", change_and_read)
    row, data = reading.read_local(ImageObject(str(file)), 100)
    monkeypatch.undo()
    assert row.size == 10
    with pytest.raises(DamagedBodyError, match=arrived):
        reading.compare(row, data)


def test_a_file_that_comes_in_pieces_is_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the system may give one, of a large file or through a network."""
    file = tmp_path / "large.jpg"
    file.write_bytes(bytes(range(256)) * 8)
    read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: read(descriptor, min(size, 100)))
    row, data = reading.read_local(ImageObject(str(file)), 10_000)
    monkeypatch.undo()
    assert data == bytes(range(256)) * 8
    reading.compare(row, data)
