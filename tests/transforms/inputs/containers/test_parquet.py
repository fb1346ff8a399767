"""Parquet files by pyarrow and by Hugging Face's writer, whole and broken, and what they may unpack to."""

from __future__ import annotations

import io
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import photo
from tests.transforms.inputs.containers.making import Found, found_in
from transforms.elements import Refusal
from transforms.inputs.containers import parquet
from transforms.inputs.containers.member import Asked, ContainerError

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def parquet_of(columns: dict[str, Any], **options: Any) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written, **options)
    return written.getvalue()


def structs(*images: bytes | None) -> pa.Array:
    return pa.array([{"bytes": image, "path": f"{i}.jpg"} for i, image in enumerate(images)], IMAGE)


def read(data: bytes, **asked: Any) -> Found:
    return found_in(parquet.members, data, **asked)


def refusal(data: bytes, **asked: Any) -> ContainerError:
    with pytest.raises(ContainerError) as refused:
        list(parquet.members(io.BytesIO(data), Asked(**asked)))
    return refused.value


def test_a_file_that_hugging_face_wrote(tmp_path: Path) -> None:
    import datasets

    for i in range(5):
        photo(30, 20, i).save(tmp_path / f"{i}.jpg")
    features = datasets.Features({
        "image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"]),
        "caption": datasets.Value("string"), "boxes": datasets.List(datasets.Value("float32")),
    })  # fmt: skip
    rows = {
        "image": [{"bytes": (tmp_path / f"{i}.jpg").read_bytes(), "path": f"{i}.jpg"} for i in range(5)],
        "label": [0, 1, 1, 0, None],
        "caption": ["schön", "b", "", None, "e"],
        "boxes": [[], [0.5, 2], None, [1], [1]],
    }
    datasets.Dataset.from_dict(rows, features=features).to_parquet(str(tmp_path / "x.parquet"))
    found = read((tmp_path / "x.parquet").read_bytes(), columns=("*",))
    assert (found.damage, found.skipped) == ("", [])
    assert found.images == {str(i): (tmp_path / f"{i}.jpg").read_bytes() for i in range(5)}
    assert [dict(member.columns) for member in found.members] == [
        {"label": rows["label"][i], "caption": rows["caption"][i], "boxes": rows["boxes"][i]} for i in range(5)
    ]
    assert {(member.updated, member.fingerprint) for member in found.members} == {(None, "")}


@pytest.mark.parametrize("options", [{}, {"row_group_size": 2}, {"use_dictionary": False, "compression": "zstd"}])
@pytest.mark.parametrize("values", [pa.binary(), pa.large_binary(), pa.dictionary(pa.int32(), pa.binary()), IMAGE])
def test_columns_of_every_kind_of_bytes(values: pa.DataType, options: dict[str, Any]) -> None:
    images = [b"a" * 50_000, b"", b"c" * 7, b"a" * 50_000, b"e"]
    plain = pa.array(images).cast(pa.large_binary()) if values == pa.large_binary() else pa.array(images)
    column = structs(*images) if values == IMAGE else plain.dictionary_encode() if "dict" in str(values) else plain
    found = read(parquet_of({"label": list("abcde"), "img": column}, **options), columns=("label",))
    assert list(found.images.items()) == [(str(i), image) for i, image in enumerate(images)]
    assert [member.columns["label"] for member in found.members] == list("abcde")


@pytest.mark.parametrize(
    ("columns", "asked", "chosen"),
    [
        ({"a": structs(b"x"), "image": [b"y"], "label": [1]}, "", b"x"),  # the only one of structs
        ({"mask": structs(b"x"), "image": structs(b"y")}, "", b"y"),
        ({"thumbnail": [b"x"], "image": [b"y"]}, "", b"y"),
        ({"png": [b"x"], "jpg": [b"y"], "a": [b"z"]}, "", b"y"),
        ({"anything": [b"y"], "label": ["x"]}, "", b"y"),
        ({"image": [b"x"], "other": [b"y"]}, "other", b"y"),
        ({"image": ["text"], "data": [b"y"]}, "", b"y"),
    ],
)
def test_the_column_of_images(columns: dict[str, Any], asked: str, chosen: bytes) -> None:
    assert read(parquet_of(columns), image_column=asked).images == {"0": chosen}


def test_files_without_a_column_of_images_say_what_they_have() -> None:
    error = refusal(parquet_of({"label": [1], "name": ["x"]}))
    assert error.error == "NoImage"
    assert str(error) == (
        "none of its columns could hold the images; --image_column names one of label (int64), name (string)"
    )
    error = refusal(parquet_of({"a": [b"x"], "b": [b"y"]}))
    assert str(error) == "2 of its columns could hold the images; --image_column names one of a (binary), b (binary)"
    error = refusal(parquet_of({"a": [b"x"], "b": [1]}), image_column="b")
    assert str(error).startswith("it has no column 'b' of bytes, or of structs of bytes and a path, among a (binary)")


def test_rows_without_bytes_are_refused_each() -> None:
    found = read(parquet_of({"image": structs(b"x", None, b"larger than that"), "label": [1, 2, 3]}), max_bytes=10)
    assert found.errors == {"1": "NoImage", "2": "ObjectTooLarge"}
    assert found.images["1"] == Refusal(
        "unpack", "NoImage", "its column 'image' names a file, '1.jpg', and holds no bytes"
    )
    assert read(parquet_of({"image": [b"x", None]})).images["1"] == Refusal(
        "unpack", "NoImage", "its column 'image' holds none"
    )
    missing = pa.array([{"bytes": b"x", "path": None}, None, {"bytes": None, "path": None}], IMAGE)
    assert read(parquet_of({"image": missing})).errors == {"1": "NoImage", "2": "NoImage"}


def test_columns_are_plain_values() -> None:
    when = datetime(2026, 11, 28, 12, 30, tzinfo=UTC)
    columns = {
        "image": [b"x"], "flag": [True], "day": [date(2026, 1, 2)], "raw": [b"\xff"], "tags": [["a", None]],
        "nested": [{"a": {"b": 1.5}}], "nothing": pa.nulls(1), "word": pa.array(["w"]).dictionary_encode(),
        "fine": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns")), "when": pa.array([when]),
    }  # fmt: skip
    (member,) = read(parquet_of(columns), columns=("*",)).members
    assert dict(member.columns) == {
        "flag": True, "day": date(2026, 1, 2), "raw": b"\xff", "tags": ["a", None], "nested": {"a": {"b": 1.5}},
        "nothing": None, "word": "w", "when": when, "fine": datetime(2023, 11, 14, 22, 13, 20, 123456),
    }  # fmt: skip
    (member,) = read(parquet_of(columns), columns=("raw", "missing")).members
    assert dict(member.columns) == {"raw": b"\xff"}


def test_a_text_that_is_none_refuses_its_row_alone() -> None:
    texts = pa.array([b"good", b"\xff"]).view(pa.string())
    found = read(parquet_of({"image": [b"a", b"b"], "text": texts}), columns=("text",))
    assert (found.images["0"], found.errors) == (b"a", {"1": "ColumnMismatch"})


def test_a_damaged_footer_is_damage_at_the_beginning() -> None:
    data = parquet_of({"image": [b"x"]})
    for broken in (data[:-1], data[:4], data[:-9] + b"\xff" + data[-8:], b"PAR1" + bytes(8) + b"PAR1"):
        found = read(broken)
        assert (found.members, found.damage[:26]) == ([], "its footer cannot be read:")
        assert "\n" not in found.damage


def test_a_damaged_page_is_damage_at_its_row() -> None:
    """Found by the checksum of pages, where their writer has given them one; else by what cannot be unpacked."""
    images = [bytes([i]) * 3000 for i in range(30)]
    options = {"row_group_size": 10, "use_dictionary": False, "compression": "none", "write_page_checksum": True}
    data = parquet_of({"image": images}, **options)
    place = data.index(images[13])
    found = read(data[:place] + b"\xff" + data[place + 1 :])
    assert list(found.images.values()) == images[:10]
    assert found.damage.startswith("row 10 cannot be read: ")


IMAGES = [bytes([65 + i]) * (50 + 40 * i) for i in range(12)]
WRITTEN = [
    parquet_of({"image": structs(*IMAGES), "label": list(range(12))}, write_page_checksum=True, **options)
    for options in (
        {"row_group_size": 5, "compression": "snappy"},
        {"use_dictionary": False, "compression": "zstd"},
        {"row_group_size": 4, "compression": "none", "data_page_version": "2.0"},
    )
]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(WRITTEN), st.data())
def test_what_is_cut_anywhere_is_damage_at_the_beginning(data: bytes, draw: st.DataObject) -> None:
    cut = draw.draw(st.integers(0, len(data) - 1))
    found = read(data[:cut])
    assert (found.members, found.damage[:26]) == ([], "its footer cannot be read:")


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(WRITTEN), st.data())
def test_a_byte_that_is_flipped_anywhere_loses_no_row_without_a_word(data: bytes, draw: st.DataObject) -> None:
    """The data of pages has checksums here, and is right; their headers have none, nor has the footer."""
    broken = bytearray(data)
    place = draw.draw(st.integers(4, len(data) - 1))
    broken[place] ^= draw.draw(st.integers(1, 255))
    try:
        found = read(bytes(broken), columns=("*",))
    except ContainerError:
        return  # of a column that is called otherwise now, or of a size that nobody believes
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    given = list(found.images.items())
    if place < footer:
        assert {image for _, image in given} <= set(IMAGES)
        assert found.damage or given == [(str(i), image) for i, image in enumerate(IMAGES)]


def test_few_bytes_that_unpack_to_very_many_are_refused() -> None:
    """From the footer; and of one image in a dictionary, that a billion rows name, as they come."""
    bomb = parquet_of({"image": [bytes(70 << 20)]}, compression="zstd", use_dictionary=False)
    assert len(bomb) < 100_000
    error = refusal(bomb, max_bytes=1 << 30)
    assert error.error == "TooCostly"
    assert "unpack to 73,4" in str(error)
    assert str(error).endswith(", as its footer tells")
    repeated = parquet_of({"image": pa.array([bytes(10_000)] * 7_000).dictionary_encode()}, compression="zstd")
    error = refusal(repeated)
    assert error.error == "TooCostly"
    assert "unpack to more than" in str(error)


MEMORY = """
import resource, sys
from transforms.inputs.containers import parquet
from transforms.inputs.containers.member import Asked
with open(sys.argv[1], "rb") as file:
    members = parquet.members(file, Asked())
    next(members)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(sum(1 for _ in members), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_a_row_group_is_not_in_memory_as_a_whole(tmp_path: Path) -> None:
    """400 MB of it, in pages of 8 MB."""
    image = pa.array([bytes([i]) * 100_000 for i in range(80)])
    with pq.ParquetWriter(
        tmp_path / "x.parquet", pa.schema([("image", pa.binary())]), compression="none", use_dictionary=False,
        write_batch_size=80,
    ) as writer:  # fmt: skip
        writer.write_table(pa.table({"image": pa.chunked_array([image] * 50)}), row_group_size=4000)
    assert pq.read_metadata(tmp_path / "x.parquet").num_row_groups == 1
    command = [sys.executable, "-c", MEMORY, tmp_path / "x.parquet"]
    rows, megabytes = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    assert int(rows) == 3999
    assert int(megabytes) < 100
