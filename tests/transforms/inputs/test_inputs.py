"""What inputs list, on real folders and files of awkward names."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.inputs.inputs import ListingError, list_input

AWKWARD = [
    "plain.jpg", "with space.jpg", "hash#1.jpg", "what?.jpg", "[x].jpg", "a[1]b.jpg", "100%.jpg", "%41.jpg",
    "naïve café.jpg", "写真.jpg", "a::b.jpg", "UPPER.JPG", "back\\slash.jpg", "~tilde.jpg", "*.jpg", " lead.jpg",
]  # fmt: skip


def names(text: str | Path, **options: object) -> list[str]:
    return [image.uri for image in list_input(str(text), **options)]  # type: ignore[arg-type]


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
    skipped: list[str] = []
    found = names(tmp_path, skipped=lambda image: skipped.append(image.uri))
    assert sorted(found) == sorted(map(str, kept))
    assert sorted(skipped) == sorted(map(str, left_out))
    assert sorted(names(tmp_path, all_files=True)) == sorted(map(str, kept + left_out))


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


def test_a_glob_follows_links_that_sort_before_their_targets(tmp_path: Path) -> None:
    touch(tmp_path / "g/run2/a.jpg", tmp_path / "g/run3/b.jpg", tmp_path / "g/run3/c.jpg")
    (tmp_path / "g/latest").symlink_to("run3")
    (tmp_path / "g/loop").symlink_to("loop")
    found = names(f"{tmp_path}/g/run*/*.jpg")
    assert found == [f"{tmp_path}/g/{name}" for name in ("run2/a.jpg", "run3/b.jpg", "run3/c.jpg")]


def test_manifest_names_may_start_with_a_tilde(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_text("~a.jpg\n")
    assert names(tmp_path / "m.txt") == [f"{tmp_path}/~a.jpg"]
    assert names(f"/{tmp_path}/m.txt") == [f"{tmp_path}/~a.jpg"]


def test_a_linked_folder_is_an_input_and_part_of_one(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere/a.jpg", tmp_path / "top/b.jpg")
    (tmp_path / "top/linked").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "top") == [f"{tmp_path}/top/b.jpg", f"{tmp_path}/top/linked/a.jpg"]
    assert names(tmp_path / "top/linked") == [f"{tmp_path}/top/linked/a.jpg"]


def test_names_that_are_no_utf8_are_spelled_out(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/bad\xff.jpg", "wb"):
        pass
    (found,) = names(tmp_path)
    assert found == f"{tmp_path}/bad\\xff.jpg"
    found.encode()


def write_txt(path: Path, uris: list[str]) -> None:
    path.write_text("\n".join(uris) + "\n\n", encoding="utf-8")


def write_csv(path: Path, uris: list[str]) -> None:
    import csv

    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["label", "uri"], *([f'say "{i}"', uri] for i, uri in enumerate(uris))])


def write_jsonl(path: Path, uris: list[str]) -> None:
    path.write_text("".join(json.dumps({"label": 1, "uri": uri}) + "\n" for uri in uris))


def write_parquet(path: Path, uris: list[str]) -> None:
    pq.write_table(pa.table({"label": list(range(len(uris))), "uri": uris}), path)


@pytest.mark.parametrize(
    ("extension", "write"),
    [("txt", write_txt), ("csv", write_csv), ("jsonl", write_jsonl), ("parquet", write_parquet)],
)
def test_manifests_name_their_images(
    tmp_path: Path, awkward: Path, extension: str, write: Callable[[Path, list[str]], None]
) -> None:
    manifest = tmp_path / f"list of images.{extension}"
    relative, absolute, url = "folder/a[1]b.jpg", str(awkward / "写真.jpg"), "gs://bucket/some key#1.jpg"
    write(manifest, [relative, absolute, f"file://{awkward}/100%.jpg", url, "nowhere.jpg"])
    found = list(list_input(str(manifest)))
    expected = [str(awkward / "a[1]b.jpg"), absolute, str(awkward / "100%.jpg"), url, str(tmp_path / "nowhere.jpg")]
    assert [image.uri for image in found] == expected
    assert all(image.size == -1 and image.version == "" for image in found)


def test_another_column_may_hold_the_uris(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("uri,path\nx,a.jpg\n")
    assert names(tmp_path / "m.csv", uri_column="path") == [f"{tmp_path}/a.jpg"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.csv", b"path\na.jpg\n", "no column 'uri' among path; --uri_column"),
        ("m.csv", b"", "no column 'uri'"),
        ("m.jsonl", b'{"path": "a.jpg"}\n', "no column 'uri' among path"),
        ("m.jsonl", b"{oops\n", "not a manifest"),
        ("m.jsonl", b'["a.jpg"]\n', "a line holds list"),
        ("m.jsonl", b'{"uri": 3}\n', "row 1 has no text"),
        ("m.jsonl", b'{"uri": "\\ud800.jpg"}\n', "not a manifest"),
        ("m.csv", b"a,uri\n1,x.jpg\n2\n", "row 2 has no text"),
        ("m.txt", b"\xff\xfe\n", "not a manifest"),
        ("m.parquet", b"PAR1", "not a manifest"),
    ],
)
def test_manifests_that_cannot_be_read_say_why(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ListingError, match=message) as refused:
        names(tmp_path / name)
    assert str(tmp_path / name) in str(refused.value)


@pytest.mark.parametrize("name", ["nothing", "nothing.jpg", "nothing.csv"])
def test_names_of_nothing_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ListingError, match="no such"):
        names(tmp_path / name)


def test_the_first_image_needs_no_full_walk(tmp_path: Path) -> None:
    touch(tmp_path / "a.jpg", tmp_path / "z/unreadable.jpg")
    first = next(list_input(str(tmp_path)))
    assert first.uri == f"{tmp_path}/a.jpg"
