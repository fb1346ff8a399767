"""Pictures for a page: how many, out of what, and what stands where there is none."""

from __future__ import annotations

import base64
import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from pipeline.report import thumbnails
from pipeline.report.thumbnails import LATE, PATIENCE, take_pictures
from pipeline.vectors.pictures import UnreadableError, read_images
from transforms.elements import ImageObject


def packed(images: Path, file: Path) -> list[str]:
    with tarfile.open(file, "w") as tar:
        for i in range(4):
            tar.add(images / f"{i:02}.jpg", f"{i:02}.jpg")
    return [f"tar://{i:02}.jpg::{file}" for i in range(4)]


def test_the_first_of_the_wanted_have_pictures_out_of_containers_too(images: Path, tmp_path: Path) -> None:
    members = packed(images, tmp_path / "some.tar")
    (tmp_path / "page.jpg").write_text("<html>")
    wanted = [members[2], str(images / "05.jpg"), members[0], members[2], str(tmp_path / "page.jpg"), "/no.jpg"]
    versions = {str(images / "05.jpg"): "1-1"}
    found = take_pictures([*wanted, str(images / "06.jpg")], versions, 5)
    assert list(found) == [members[2], wanted[1], members[0], wanted[4], "/no.jpg"]
    sizes = [Image.open(io.BytesIO(base64.b64decode(found[uri].data))).size for uri in list(found)[:3]]
    assert sizes == [(96, round(96 * 44 / 62)), (96, round(96 * 50 / 65)), (96, round(96 * 40 / 60))]
    assert [picture.why for picture in found.values()][:3] == ["", "it has changed since it was embedded", ""]
    assert found["/no.jpg"].data == found[wanted[4]].data == ""
    assert found["/no.jpg"].why == "the object is gone, or was never there"
    assert "web page" in found[wanted[4]].why


def test_after_its_time_there_are_none(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "SECONDS", -1)
    members = packed(images, tmp_path / "some.tar")
    found = take_pictures([members[0], str(images / "05.jpg")], {}, 9)
    assert [picture.why for picture in found.values()] == [LATE, LATE]


def test_a_container_is_read_no_further_when_it_is_late(images: Path, tmp_path: Path) -> None:
    members = packed(images, tmp_path / "some.tar")
    found = list(read_images([ImageObject(members[0]), ImageObject(members[3])], PATIENCE, deadline=0.0))
    assert [each.source.uri for each in found] == [members[0], members[3]]
    assert isinstance(found[0].data, bytes)
    assert isinstance(found[1].data, UnreadableError)
    assert str(found[1].data) == "reading its container up to it takes too long"
