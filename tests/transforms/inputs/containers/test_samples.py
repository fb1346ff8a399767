"""WebDataset's samples: what stands beside an image in a tar becomes its columns."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.transforms.inputs.containers.making import Found, found_in, tar_of
from transforms.elements import Refusal
from transforms.inputs.containers import samples, tar


def read(data: bytes, **asked: object) -> Found:
    return found_in(tar.members, data, **asked)


SAMPLES = [
    ("s/0001.jpg", b"one"), ("s/0001.cls", b"7\n"), ("s/0001.json", b'{"a": [1, 2], "cls": 9, "ok": true}'),
    ("s/0001.caption", "schön".encode()), ("s/0001.npy", b"\x93NUMPY"),
    ("s/0002.cls", b"-3"), ("s/0002.left.JPG", b"left"), ("s/0002.right.jpg", b"right"),
    ("s/0003.txt", b"no image"), ("s/0004.png", b"alone"),
]  # fmt: skip
COLUMNS = {"cls": 7, "a": [1, 2], "ok": True, "caption": "schön"}


def test_files_beside_an_image_are_its_columns() -> None:
    found = read(tar_of(SAMPLES), columns=("*",))
    assert [(member.name, member.content, member.columns) for member in found.members] == [
        ("s/0001.jpg", b"one", COLUMNS),
        ("s/0002.left.JPG", b"left", {"cls": -3}),
        ("s/0002.right.jpg", b"right", {"cls": -3}),
        ("s/0004.png", b"alone", {}),
    ]
    assert found.skipped == [("s/0001.npy", ".npy"), ("s/0003.txt", ".txt")]


def test_only_the_columns_that_are_asked_for() -> None:
    with_bytes = read(tar_of(SAMPLES), columns=("*", "npy"))
    assert with_bytes.members[0].columns == COLUMNS | {"npy": b"\x93NUMPY"}
    found = read(tar_of(SAMPLES), columns=("npy", "a"))
    assert [dict(member.columns) for member in found.members] == [{"npy": b"\x93NUMPY", "a": [1, 2]}, {}, {}, {}]
    assert found.skipped == [
        ("s/0001.cls", ".cls"), ("s/0001.caption", ".caption"), ("s/0002.cls", ".cls"), ("s/0003.txt", ".txt"),
    ]  # fmt: skip


def test_without_columns_all_that_are_no_images_are_left_out() -> None:
    found = read(tar_of(SAMPLES))
    assert [name for name, _ in found.skipped] == [name for name, _ in SAMPLES if name[-3:].lower() not in "jpgpng"]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("1.cls", b"cat", "'1.cls' beside it is no integer"),
        ("1.json", b"[1]", "'1.json' beside it is no JSON object: it holds list"),
        ("1.json", b"{", "'1.json' beside it is no JSON object"),
        ("1.json", b'{"a":' * 100_000, "'1.json' beside it is no JSON object"),
        ("1.txt", b"\xff", "'1.txt' beside it is no UTF-8"),
        ("1.txt", b"x" * ((1 << 20) + 1), "'1.txt' beside it has 1,048,577 bytes; beside an image, 1,048,576 are read"),
    ],
)
def test_a_column_that_is_none_refuses_its_sample_alone(name: str, data: bytes, reason: str) -> None:
    for files in ([("1.jpg", b"one"), (name, data)], [(name, data), ("1.jpg", b"one")]):
        found = read(tar_of([*files, ("2.jpg", b"two")]), columns=("*",))
        refusal = found.images["1.jpg"]
        assert isinstance(refusal, Refusal)
        assert (refusal.stage, refusal.error) == ("unpack", "ColumnMismatch")
        assert refusal.message.startswith(reason)
        assert found.images["2.jpg"] == b"two"
        assert found.skipped == []


def test_no_half_of_a_sample_is_given() -> None:
    data = tar_of([("1.jpg", b"one"), ("1.cls", b"1"), ("2.jpg", b"two"), ("2.cls", b"2")])
    for cut in (2 * 2048 - 512, 2 * 2048 - 1024, 2 * 2048 - 1025, 3 * 1024):
        found = read(data[:cut], columns=("cls",))
        assert found.damage
        assert [(member.name, member.columns) for member in found.members] == [("1.jpg", {"cls": 1})]
    assert len(read(data[: 2 * 2048 - 512]).members) == 2  # images alone are whole


def test_a_name_that_comes_again_begins_a_sample() -> None:
    files = [("1.jpg", b"one"), ("1.cls", b"1"), ("1.jpg", b"two"), ("1.cls", b"2"), (".a.jpg", b""), (".a.cls", b"3")]
    found = read(tar_of(files), columns=("cls",))
    assert [(member.name, member.columns) for member in found.members] == [
        ("1.jpg", {"cls": 1}), ("1.jpg#2", {"cls": 2}), (".a.jpg", {}),
    ]  # fmt: skip


def test_frames_that_share_a_name_up_to_a_dot_are_no_sample() -> None:
    files = [(f"film.{i:04}.jpg", b"x") for i in range(1500)] + [("film.cls", b"1"), ("still.jpg", b"y")]
    found = read(tar_of(files), columns=("*",))
    assert len(found.members) == 1501
    assert set(found.errors.values()) == {"ColumnMismatch"}
    assert len(found.errors) == 1500
    assert found.skipped == [("film.cls", ".cls")]
    assert read(tar_of(files)).errors == {}
    files = [("film.jpg", b"x"), *((f"film.{i:04}.txt", b"x") for i in range(1500)), ("still.jpg", b"y")]
    found = read(tar_of(files), columns=("*",))
    assert (found.errors, len(found.skipped)) == ({"film.jpg": "ColumnMismatch"}, 1500)


def test_a_sample_of_too_many_bytes_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "LARGEST_SAMPLE", 100)
    files = [("1.a.jpg", bytes(60)), ("1.cls", b"1"), ("1.b.jpg", bytes(60)), ("1.c.jpg", b""), ("2.jpg", bytes(90))]
    found = read(tar_of(files), columns=("*",), max_bytes=100)
    assert found.errors == dict.fromkeys(["1.a.jpg", "1.b.jpg", "1.c.jpg"], "ColumnMismatch")
    assert read(tar_of(files), columns=("*",), max_bytes=120).errors == {}


def test_samples_that_webdataset_wrote(tmp_path: Path) -> None:
    import webdataset

    with webdataset.TarWriter(str(tmp_path / "x.tar")) as writer:
        for i in range(3):
            said = {"cls": i, "json": {"a": [i], "b": "schön"}, "txt": f"naïve {i}", "pth": b"raw"}
            writer.write({"__key__": f"shards/{i:05}", "jpg": b"image %d" % i, **said})
    found = read((tmp_path / "x.tar").read_bytes(), columns=("*",))
    assert [(member.name, member.content, member.columns) for member in found.members] == [
        (f"shards/{i:05}.jpg", b"image %d" % i, {"cls": i, "txt": f"naïve {i}", "a": [i], "b": "schön"})
        for i in range(3)
    ]
    assert (found.damage, [kind for _, kind in found.skipped]) == ("", [".pth"] * 3)
