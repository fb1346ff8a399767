"""The page of a search: that it needs nothing else, shows the pictures, and takes no text for markup."""

from __future__ import annotations

import base64
import io
import re
import tarfile
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline import Hit
from pipeline.cli import main
from pipeline.vectors.page import write_page
from tests.conftest import photo
from transforms.stores import secrets


class Parsed(HTMLParser):
    """Elements with their attributes, and the text, of a page."""

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def pictures(self) -> dict[str, Image.Image]:
        """By the text that stands for them."""
        found = {}
        for tag, attributes in self.elements:
            if tag == "img":
                kind, _, data = (attributes["src"] or "").partition(",")
                assert kind == "data:image/jpeg;base64"
                found[attributes["alt"] or ""] = Image.open(io.BytesIO(base64.b64decode(data)))
        return found


def page_of(folder: Path, query: str, hits: list[Hit]) -> tuple[str, Parsed]:
    write_page(query, hits, str(folder / "page.html"))
    page = (folder / "page.html").read_text(encoding="utf-8")
    return page, Parsed(page)


def test_the_page_shows_the_query_and_what_was_found(images: Path, tmp_path: Path) -> None:
    uris = [str(images / f"{i:02}.jpg") for i in range(3)]
    hits = [Hit(uris[1], 0.9, {"version": "", "label": 3}), Hit(uris[2], 0.25, {"version": "", "label": None})]
    page, parsed = page_of(tmp_path, uris[0], hits)
    pictures = parsed.pictures()
    assert list(pictures) == uris
    for uri, shown in pictures.items():
        with Image.open(uri) as genuine:
            assert shown.size == (224, round(224 * genuine.height / genuine.width))
            same = np.asarray(genuine.resize(shown.size, Image.Resampling.BILINEAR), np.int16)
            assert np.abs(np.asarray(shown, np.int16) - same).mean() < 6
    assert re.search(r"cosine0\.900000label3.*cosine0\.250000label", parsed.text, re.DOTALL)
    # It needs nothing else.
    assert {"script", "link", "iframe"}.isdisjoint(tag for tag, _ in parsed.elements)
    assert not re.search(r"(href|url\(|@import|src=\"(?!data:))", page)


def test_no_text_is_taken_for_markup(tmp_path: Path) -> None:
    hostile = '"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;'
    file = tmp_path / "a<b>'&\".jpg"
    photo(40, 60).save(file)
    hits = [Hit(str(file), 1.0, {"version": "", hostile: hostile}), Hit(f"/no/{hostile}.jpg", 0.5, {"version": ""})]
    page, parsed = page_of(tmp_path, str(file), hits)
    allowed = {"alt", "charset", "class", "content", "height", "http-equiv", "lang", "name", "src", "width"}
    assert {name for _, attributes in parsed.elements for name in attributes} <= allowed
    assert "script" not in {tag for tag, _ in parsed.elements}
    assert list(parsed.pictures()) == [str(file)]  # its alternative text came back whole
    assert hostile[:59] in parsed.text  # cut where it is long, and shown as it is
    assert str(file) in parsed.text
    assert "<script" not in page


def test_a_picture_that_cannot_be_had_is_named(images: Path, tmp_path: Path) -> None:
    (tmp_path / "page.jpg").write_text("<html>")
    hits = [Hit("/no/such.jpg", 0.9, {}), Hit(str(tmp_path / "page.jpg"), 0.8, {}), Hit("ftp://x/y.jpg", 0.7, {})]
    _, parsed = page_of(tmp_path, str(images / "00.jpg"), hits)
    assert list(parsed.pictures()) == [str(images / "00.jpg")]
    assert "no picture of /no/such.jpg: the object is gone, or was never there" in parsed.text
    assert re.search(r"no picture of \S+page.jpg: \w+", parsed.text)
    assert "no picture of ftp://x/y.jpg: " in parsed.text


def test_a_picture_of_another_version_than_its_vector_is_told(images: Path, tmp_path: Path) -> None:
    hits = [Hit(str(images / "00.jpg"), 0.9, {"version": "1-1"}), Hit(str(images / "01.jpg"), 0.8, {"version": ""})]
    page, parsed = page_of(tmp_path, str(images / "02.jpg"), hits)
    assert len(parsed.pictures()) == 3
    assert page.count("It has changed since it was embedded.") == 1


def test_pictures_come_out_of_containers(images: Path, tmp_path: Path) -> None:
    container = tmp_path / "some.tar"
    with tarfile.open(container, "w") as tar:
        for i in range(3):
            tar.add(images / f"{i:02}.jpg", f"in/{i:02}.jpg")
    uris = [f"tar://in/{i:02}.jpg::{container}" for i in (2, 0, 7)]
    gone = f"tar://a.jpg::{tmp_path}/none.tar"
    _, parsed = page_of(tmp_path, uris[0], [Hit(uri, 0.5, {"version": ""}) for uri in [*uris[1:], gone]])
    assert list(parsed.pictures()) == uris[:2]
    assert parsed.pictures()[uris[0]].size == (224, round(224 * 44 / 62))
    assert f"no picture of {uris[2]}: its container has no such image" in parsed.text
    assert f"no picture of {gone}: the object is gone, or was never there" in parsed.text


def test_what_may_be_secret_stays_out(images: Path, tmp_path: Path) -> None:
    uri = "https://127.0.0.1:9/a.jpg?token=hunter2hunter2"
    secrets.remember_uri(uri)
    page, _ = page_of(tmp_path, str(images / "00.jpg"), [Hit(uri, 0.5, {"caption": uri})])
    assert "hunter2" not in page


def test_the_command_writes_the_page(
    two_nights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pipeline.console.logs.set_up", lambda verbose: None)
    page, query = tmp_path / "page.html", str(two_nights / "images/12.jpg")
    with pytest.raises(SystemExit) as exited:
        main(["search", str(two_nights / "output"), "--image", query, "--html", str(page), "-k", "12"])
    assert exited.value.code == 0
    assert capsys.readouterr().out.endswith(f"\nwritten to {page}\n")
    parsed = Parsed(page.read_text(encoding="utf-8"))
    names = {Path(alt).name for alt in parsed.pictures()}
    assert names == {f"{i:02}.jpg" for i in range(13) if i != 4}
    assert "„5“" in parsed.text
    with pytest.raises(SystemExit):
        main(["search", str(two_nights / "output"), "--uri", query, "--html", "/proc/no/page.html"])
    assert "/proc/no/page.html: " in capsys.readouterr().err
