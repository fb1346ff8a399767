"""Folders of awkward shapes: links, depths, names of other alphabets, rights."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.transforms.inputs.test_inputs import names, touch
from transforms.elements import ImageObject
from transforms.inputs.coverage import coverage
from transforms.inputs.inputs import list_input
from transforms.inputs.rules import ListingError, Rules
from transforms.stores.fetching import Policy, fetch_and_wait

ANYBODYS = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO
SKIPPING = Rules(skip_unreadable=True)


def test_links_to_files_are_followed_and_loops_end(tmp_path: Path) -> None:
    touch(tmp_path / "real/a.jpg")
    (tmp_path / "real/link.jpg").symlink_to("a.jpg")
    (tmp_path / "real/loop").symlink_to(tmp_path / "real")
    (tmp_path / "real/up").symlink_to(tmp_path)
    (tmp_path / "real/gone.jpg").symlink_to("nothing")
    found = list(list_input(str(tmp_path / "real")))
    assert [os.path.basename(image.uri) for image in found] == ["a.jpg", "gone.jpg", "link.jpg"]
    assert found[0].version == found[2].version != ""
    assert found[1].version == ""  # listed all the same: its fetch will name it


def test_a_linked_folder_is_an_input_and_part_of_one(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere/a.jpg", tmp_path / "top/b.jpg")
    (tmp_path / "top/linked").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "top") == [f"{tmp_path}/top/b.jpg", f"{tmp_path}/top/linked/a.jpg"]
    assert names(tmp_path / "top/linked") == [f"{tmp_path}/top/linked/a.jpg"]


def test_a_new_link_takes_no_name_from_an_image(tmp_path: Path) -> None:
    """Links that come before their targets, beside them, above them and below them."""
    touch(tmp_path / "top/run3/a.jpg", tmp_path / "top/run3/deep/b.jpg", tmp_path / "elsewhere/c.jpg")
    before = names(tmp_path / "top")
    (tmp_path / "top/latest").symlink_to("run3")
    (tmp_path / "top/0").symlink_to("run3/deep")
    (tmp_path / "top/run3/0").symlink_to("deep")
    (tmp_path / "top/run3/deep/up").symlink_to(tmp_path)
    assert names(tmp_path / "top")[:2] == before
    assert names(tmp_path / "top")[2:] == [f"{tmp_path}/top/run3/deep/up/elsewhere/c.jpg"]


def test_folders_may_be_a_thousand_deep(tmp_path: Path) -> None:
    folder = str(tmp_path)
    for _ in range(1_200):
        folder += "/d"
        os.mkdir(folder)
    with open(f"{folder}/a.jpg", "wb"):
        pass
    touch(tmp_path / "b.jpg")
    try:
        assert names(tmp_path) == [f"{tmp_path}/b.jpg", f"{folder}/a.jpg"]
        assert names(f"{tmp_path}/**/*.jpg") == [f"{tmp_path}/b.jpg", f"{folder}/a.jpg"]
    finally:  # pytest would remove them by recursion
        os.remove(f"{folder}/a.jpg")
        os.removedirs(folder)


def test_names_that_are_no_utf8_can_be_found_again(tmp_path: Path) -> None:
    """Their text is a file: URI, which a manifest may name as well; its escapes are the bytes."""
    folder = os.fsencode(tmp_path) + b"/ordn\xe4r #1"
    os.mkdir(folder)
    with open(folder + b"/caf\xe9 100%.jpg", "wb") as file:
        file.write(b"bytes")
    (found,) = list_input(str(tmp_path))
    assert found.uri == f"file://{tmp_path}/ordn%E4r%20%231/caf%E9%20100%25.jpg"
    assert found.size == 5
    for given in (found.uri, f"{tmp_path}/*/*.jpg", f"{tmp_path}/**", os.fsdecode(folder), f"{os.fsdecode(folder)}/*"):
        assert list(list_input(given)) == [found]
    (tmp_path / "list.txt").write_text(found.uri)
    assert names(tmp_path / "list.txt") == [found.uri]
    for source in (found, ImageObject(found.uri)):
        fetched = fetch_and_wait(source, Policy())
        assert (fetched.source, fetched.data) == (found, b"bytes")
    assert coverage(str(tmp_path))(found.uri)


@pytest.fixture
def rights() -> Iterator[Path]:
    """A folder of anybody's, and this process one of anybody: root may read everything."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(ANYBODYS)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65_534)
        try:
            yield Path(folder)
        finally:
            if root:
                os.seteuid(0)
            for path, folders, _ in os.walk(folder):  # so that they can be removed
                for name in folders:
                    Path(path, name).chmod(ANYBODYS)


def test_a_folder_that_may_not_be_listed_is_refused_or_left_out_and_told(rights: Path) -> None:
    touch(rights / "a/a.jpg", rights / "b/secret/b.jpg", rights / "c.jpg")
    os.chmod(rights / "b/secret", 0)
    for given in (str(rights), f"{rights}/**/*.jpg", f"{rights}/*/*/*.jpg"):
        with pytest.raises(ListingError, match=f"{rights}/b/secret: may not be listed .* --skip_unreadable"):
            names(given)
    told: list[tuple[str, str]] = []
    found = names(rights, rules=SKIPPING, skipped=lambda name, kind: told.append((name, kind)))
    assert found == [f"{rights}/a/a.jpg", f"{rights}/c.jpg"]
    assert told == [(f"{rights}/b/secret", "unreadable/")]
    assert names(f"{rights}/**/*.jpg", rules=SKIPPING) == found
    with pytest.raises(ListingError, match="cannot be listed: PermissionError"):  # the input itself
        names(rights / "b/secret", rules=SKIPPING)


def test_what_may_not_be_listed_is_not_gone(rights: Path) -> None:
    """Else an image whose folder was closed for a night would be noted as deleted."""
    touch(rights / "open/a.jpg", rights / "closed/deep/b.jpg")
    os.chmod(rights / "closed", 0)
    for given in (str(rights), f"{rights}/**"):
        covers = coverage(given, SKIPPING)
        assert covers(f"{rights}/open/gone.jpg")
        assert covers(f"{rights}/never/was.jpg")
        assert not covers(f"{rights}/closed/deep/b.jpg")


def test_the_systems_own_folder_is_left_out_unread(rights: Path) -> None:
    touch(rights / "photos/a.jpg")
    os.mkdir(rights / "lost+found", 0)
    for given in (str(rights), f"{rights}/*/*.jpg", f"{rights}/**"):
        assert names(given) == [f"{rights}/photos/a.jpg"]
