"""What every store must give that can be asked for a part of one version: of no other one, and never for long."""

from __future__ import annotations

import random

import pytest

from tests.transforms.inputs.containers.making import as_text, takes, tar_of
from transforms.elements import Refusal
from transforms.inputs.containers.member import Asked
from transforms.inputs.containers.reading import read_container
from transforms.stores import filesystems, storage, streaming
from transforms.stores.fetching import Policy

FILES = [(f"{i:03}.jpg", random.Random(i).randbytes(3000)) for i in range(60)]


def small_pieces(monkeypatch: pytest.MonkeyPatch, size: int = 4096) -> None:
    monkeypatch.setattr(streaming, "PIECE_BYTES", size)
    monkeypatch.setattr(streaming, "FIRST_PIECE_BYTES", size)
    monkeypatch.setattr(streaming, "BUFFER_BYTES", 512)


def check_versions(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an object that is read whole, one that is replaced within, and one that is gone."""
    small_pieces(monkeypatch)
    storage.write_bytes(uri, tar_of(FILES))
    row = storage.describe(uri)
    asked = Asked(takes=takes)
    assert [image.content for image in read_container(row, asked, Policy(), as_text)] == [data for _, data in FILES]
    found = read_container(row, asked, Policy(), as_text)
    assert next(found).content == FILES[0][1]
    storage.write_bytes(uri, tar_of([(name, bytes(3000)) for name, _ in FILES]))
    *whole, last = found
    assert [image.content for image in whole] == [data for _, data in FILES[1 : len(whole) + 1]]
    assert len(whole) < 30
    assert last == row._replace(content=Refusal("fetch", "ContentChanged", "it has changed since it was listed"))
    filesystems.filesystem(uri).rm_file(uri)
    (only,) = read_container(row, asked, Policy(), as_text)
    assert only.content == Refusal("fetch", "NotFound", "the object is gone, or was never there")
