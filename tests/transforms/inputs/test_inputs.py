"""What inputs list, on real folders and files of awkward names."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

import pytest

from transforms.inputs.coverage import coverage
from transforms.inputs.inputs import list_input
from transforms.inputs.rules import ListingError, Rules

AWKWARD = [
    "plain.jpg", "with space.jpg", "hash#1.jpg", "what?.jpg", "[x].jpg", "a[1]b.jpg", "100%.jpg", "%41.jpg",
    "naïve café.jpg", "写真.jpg", "a::b.jpg", "UPPER.JPG", "back\\slash.jpg", "~tilde.jpg", "*.jpg", " lead.jpg",
]  # fmt: skip


def names(text: str | Path, **options: object) -> list[str]:
    return [image.uri for image in list_input(str(text), **options)]


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


@pytest.fixture
def awkward(tmp_path: Path) -> Path:
    touch(*(tmp_path / "folder" / name for name in AWKWARD))
    return tmp_path / "folder"


def test_folders_list_awkward_names(awkward: Path) -> None:
    assert names(awkward) == sorted(str(awkward / name) for name in AWKWARD)


def test_awkward_names_are_taken_literally_when_they_exist(awkward: Path) -> None:
    for name in AWKWARD:
        assert names(awkward / name) == [str(awkward / name)]


def test_file_uris_name_what_their_escapes_stand_for(awkward: Path) -> None:
    for name in AWKWARD:
        for prefix in ("file:", "file://", "file://localhost", "FILE://LOCALHOST"):
            assert names(f"{prefix}{quote(str(awkward / name))}") == [str(awkward / name)]
    assert names(f"file://{quote(str(awkward))}/") == names(awkward)


def test_file_uris_of_other_machines_are_refused() -> None:
    with pytest.raises(ListingError, match="file://server/… names a file of another machine"):
        names("file://server/share/a.jpg")


def test_rows_tell_size_version_and_time(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"12345")
    os.utime(path, ns=(10**9, 1_700_000_000_123_456_789))
    (image,) = list_input(str(path))
    assert (image.size, image.version) == (5, "5-1700000000123456789")
    assert image.updated == pytest.approx(1_700_000_000.123, abs=0.001)


def test_folders_take_images_of_any_depth_and_case_and_tell_what_they_skip(tmp_path: Path) -> None:
    kept = [tmp_path / name for name in ("a.jpg", "b.JPEG", "deep/er/c.webp", "deep/d.tif")]
    left_out = [tmp_path / name for name in ("readme.txt", "deep/data.json", "noext")]
    touch(*kept, *left_out)
    skipped: list[tuple[str, str]] = []
    found = names(tmp_path, skipped=lambda name, kind: skipped.append((name, kind)))
    assert sorted(found) == sorted(map(str, kept))
    assert sorted(skipped) == sorted(zip(map(str, left_out), (".txt", ".json", "none"), strict=True))
    assert sorted(names(tmp_path, rules=Rules(all_files=True))) == sorted(map(str, kept + left_out))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["a.jpg", "b.jpg"]),
        ("?.jpg", ["a.jpg", "b.jpg"]),
        ("[a]*", ["a.jpg", "a.txt"]),
        ("*", ["a.jpg", "a.txt", "b.jpg"]),
        ("*/*.jpg", ["one/c.jpg"]),
        ("**/*.jpg", ["a.jpg", "b.jpg", "one/c.jpg", "one/two/d.jpg"]),
        ("one/**", ["one/c.jpg", "one/two/d.jpg", "one/two/e.png"]),
        ("o?e/t*/*", ["one/two/d.jpg", "one/two/e.png"]),
        ("*.gif", []),
        ("nowhere/*.jpg", []),
    ],
)
def test_globs_take_every_file_that_they_match(tmp_path: Path, pattern: str, expected: list[str]) -> None:
    touch(*(tmp_path / name for name in ("a.jpg", "a.txt", "b.jpg", "one/c.jpg", "one/two/d.jpg", "one/two/e.png")))
    assert sorted(names(f"{tmp_path}/{pattern}")) == [str(tmp_path / name) for name in expected]


def test_a_broken_glob_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ListingError, match=r"\*\*"):
        names(f"{tmp_path}/a**b/*.jpg")


def test_a_glob_follows_links_that_sort_before_their_targets(tmp_path: Path) -> None:
    touch(tmp_path / "g/run2/a.jpg", tmp_path / "g/run3/b.jpg", tmp_path / "g/run3/c.jpg")
    (tmp_path / "g/latest").symlink_to("run3")
    (tmp_path / "g/loop").symlink_to("loop")
    found = names(f"{tmp_path}/g/run*/*.jpg")
    assert found == [f"{tmp_path}/g/{name}" for name in ("run2/a.jpg", "run3/b.jpg", "run3/c.jpg")]


@pytest.mark.parametrize("name", ["nothing", "nothing.jpg", "nothing.csv"])
def test_names_of_nothing_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ListingError, match="no such"):
        names(tmp_path / name)


def test_the_first_image_needs_no_full_walk(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg", tmp_path / "z/unreadable.jpg")
    first = next(list_input(str(tmp_path)))
    assert first.uri == f"{tmp_path}/a.jpg"


@pytest.mark.parametrize(
    "name",
    [
        *("list.xlsx", "list.parquet.gz", "list.csv.zst", "list.tar.zst", "list.avro", "list.csv.gz.gz"),
        *("list.jsonlines", "list.tab", "files.list"),
    ],
)
def test_lists_and_containers_by_other_names_are_no_images(tmp_path: Path, name: str) -> None:
    touch(tmp_path / name)
    with pytest.raises(
        ListingError, match=r"no image, and no manifest or container that is read here; manifests are \.txt"
    ):
        names(tmp_path / name)


def test_a_web_server_lists_no_folders() -> None:
    with pytest.raises(ListingError, match="a web server lists no folders; name its images in a manifest"):
        names("https://example.org/images/")
    assert names("https://example.org/a*b?.jpg") == ["https://example.org/a*b?.jpg"]


def test_what_a_system_keeps_is_left_out_and_told(tmp_path: Path) -> None:
    kept = [tmp_path / "a.jpg", tmp_path / "b/c.jpg"]
    left_out = {"._a.jpg": "._*", "b/._c.jpg": "._*", "Thumbs.db": "Thumbs.db", "b/.DS_Store": ".DS_Store"}
    touch(
        *kept, *(tmp_path / name for name in left_out), tmp_path / "__MACOSX/b/c.jpg", tmp_path / "b/lost+found/x.jpg"
    )
    told: list[tuple[str, str]] = []
    for rules in (Rules(), Rules(all_files=True)):
        told.clear()
        found = names(tmp_path, rules=rules, skipped=lambda name, kind: told.append((name, kind)))
        assert sorted(found) == sorted(map(str, kept))
        folders = {"__MACOSX": "__MACOSX/", "b/lost+found": "lost+found/"}
        assert dict(told) == {f"{tmp_path}/{name}": kind for name, kind in (left_out | folders).items()}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["a.jpg"]),
        ("._*", ["._a.jpg"]),
        ("**", ["a.jpg"]),
        ("*/*.jpg", []),
        ("__MACOSX/*", ["__MACOSX/a.jpg"]),
    ],
)
def test_globs_take_what_a_system_keeps_only_when_they_name_it(
    tmp_path: Path, pattern: str, expected: list[str]
) -> None:
    touch(*(tmp_path / name for name in ("a.jpg", "._a.jpg", "__MACOSX/a.jpg")))
    assert names(f"{tmp_path}/{pattern}") == [str(tmp_path / name) for name in expected]


def test_only_what_would_be_listed_is_covered(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg")
    covers = coverage(str(tmp_path))
    expected = {"gone.jpg": True, "deep/er.png": True, "gone.txt": False, "._gone.jpg": False, "__MACOSX/a.jpg": False}
    assert {name: covers(f"{tmp_path}/{name}") for name in expected} == expected
    assert covers(f"file://{tmp_path}/caf%E9.jpg")
    assert not covers("s3://bucket/a.jpg")
    matches = coverage(f"{tmp_path}/*.jpg")
    assert matches(f"{tmp_path}/gone.jpg")
    assert not matches(f"{tmp_path}/deep/gone.jpg")
    assert not matches(f"{tmp_path}/._gone.jpg")
