"""Containers as listing rows: what each is, what its members are called, and what is said when it breaks."""

from __future__ import annotations

import gzip
import io
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.transforms.inputs.containers.making import takes, tar_of
from transforms.elements import ImageObject, Refusal
from transforms.inputs.containers.member import Asked
from transforms.inputs.containers.reading import read_container
from transforms.records.examples import bytes_feature, example
from transforms.records.tfrecord import frame
from transforms.stores import storage
from transforms.stores.fetching import Policy

TAR = tar_of([("a.jpg", b"one"), ("a.cls", b"7"), ("b.jpg", b"two")])
TFRECORD = frame(example(bytes_feature("image/encoded", b"one"), bytes_feature("label", b"x")))


def rows_of(row: ImageObject, **asked: Any) -> list[ImageObject]:
    options = {"takes": takes, **asked}
    return list(read_container(row, Asked(**options), Policy(retries=0), as_text))


def as_text(_: str, columns: Mapping[str, Any]) -> str:
    return repr(dict(columns)) if columns else ""


def put(path: Path, data: bytes) -> ImageObject:
    path.write_bytes(data)
    return storage.describe(str(path))


def refusal_of(row: ImageObject, **asked: Any) -> Refusal:
    """Of a container of which nothing is given."""
    (found,) = rows_of(row, **asked)
    assert isinstance(found.content, Refusal)
    assert found == row._replace(content=found.content)
    return found.content


def test_members_are_rows_with_their_bytes(tmp_path: Path) -> None:
    row = put(tmp_path / "x.tar", TAR)
    assert rows_of(row, columns=("cls",)) == [
        ImageObject(
            f"tar://{name}::{row.uri}", 3, f"{row.version}/3-{mtime}", float(mtime), columns=columns, content=content
        )
        for name, mtime, columns, content in [
            ("a.jpg", 1_500_000_000, "{'cls': 7}", b"one"), ("b.jpg", 1_500_000_002, "", b"two"),
        ]
    ]  # fmt: skip


def test_what_the_container_does_not_tell_of_a_member_is_its_own(tmp_path: Path) -> None:
    row = put(tmp_path / "x.tfrecord", TFRECORD)
    (found,) = rows_of(row, columns=("*",))
    assert found.uri == f"tfrecord://0::{row.uri}"
    assert found.version.startswith(f"{row.version}/")
    assert (found.updated, found.columns) == (row.updated, "{'label': b'x'}")
    assert rows_of(ImageObject(row.uri), columns=("*",)) == [found]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("name", ["x.tar", "x.tgz", "x.tfrecord", "x.tfrecord.gz", "x.zip", "x.parquet"])
def test_the_first_bytes_tell_what_a_container_is(tmp_path: Path, name: str, pack: type[bytes]) -> None:
    assert [row.uri[:6] for row in rows_of(put(tmp_path / name, pack(TAR)))] == ["tar://", "tar://"]
    assert [row.uri[:6] for row in rows_of(put(tmp_path / name, pack(TFRECORD)))] == ["tfreco"]


@pytest.mark.parametrize("data", [b"BZh91AY&SY", b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" * 99, b"x" * 600, b"a"])
def test_what_is_no_container_is_told_by_its_first_bytes(tmp_path: Path, data: bytes) -> None:
    of_gzip = "it is packed by gzip, and unpacked begins"
    for name, packed, how in (("x.tar", data, "it begins"), ("x.tgz", gzip.compress(data), of_gzip)):
        refusal = refusal_of(put(tmp_path / name, packed))
        assert (refusal.stage, refusal.error) == ("unpack", "NotAContainer")
        assert refusal.message.startswith(how)
        assert repr(data[:16]) in refusal.message


def test_what_holds_nothing(tmp_path: Path) -> None:
    assert rows_of(put(tmp_path / "x.tfrecord", b"")) == []
    assert rows_of(put(tmp_path / "x.tfrecord.gz", gzip.compress(b""))) == []
    assert rows_of(put(tmp_path / "x.tar", tar_of([]))) == []
    assert "ends with nothing" in refusal_of(put(tmp_path / "x.tar", b"")).message
    assert refusal_of(put(tmp_path / "x.tgz", gzip.compress(TAR)[:12])).error == "NotAContainer"


def test_the_rest_of_a_container_that_breaks_is_one_row(tmp_path: Path) -> None:
    row = put(tmp_path / "x.tar", TAR[:2561])
    *whole, rest = rows_of(row)
    assert [found.content for found in whole] == [b"one"]
    assert rest == row._replace(content=rest.content)
    assert isinstance(rest.content, Refusal)
    assert rest.content[:2] == ("unpack", "DamagedContainer")
    assert rest.content.message.startswith("at byte ")


def test_columns_that_are_refused_refuse_the_member(tmp_path: Path) -> None:
    def encode(_: str, columns: Mapping[str, Any]) -> str:
        if columns:
            raise ValueError("its column 'cls' holds 7, not text")
        return ""

    row = put(tmp_path / "x.tar", TAR)
    first, second = read_container(row, Asked(columns=("*",), takes=takes), Policy(), encode)
    assert first.content == Refusal("unpack", "ColumnMismatch", "its column 'cls' holds 7, not text")
    assert second.content == b"two"


def test_another_version_than_was_listed_is_not_read(tmp_path: Path) -> None:
    row = put(tmp_path / "x.tar", TAR)
    os.utime(row.uri, ns=(1, 1))
    assert refusal_of(row)[:2] == ("fetch", "ContentChanged")
    os.remove(row.uri)
    assert refusal_of(row) == Refusal("fetch", "NotFound", "the object is gone, or was never there")
    os.mkdir(row.uri)
    assert refusal_of(row)[:2] == ("fetch", "NotAFile")


def test_one_that_changes_while_it_is_read_ends_with_a_row_of_its_own(tmp_path: Path) -> None:
    row = put(tmp_path / "x.tar", TAR)
    found = read_container(row, Asked(takes=takes), Policy(), as_text)
    assert next(found).content == b"one"
    os.utime(row.uri, ns=(1, 1))
    *_, last = found
    assert last == row._replace(content=Refusal("fetch", "ContentChanged", "it has changed since it was listed"))


def test_nothing_is_left_open_when_reading_is_given_up(tmp_path: Path) -> None:
    found = read_container(put(tmp_path / "x.tar", TAR), Asked(takes=takes), Policy(), as_text)
    next(found)
    before = len(os.listdir("/proc/self/fd"))
    found.close()
    assert len(os.listdir("/proc/self/fd")) == before - 1


def parquet_of(*images: bytes) -> bytes:
    written = io.BytesIO()
    pq.write_table(pa.table({"image": list(images), "label": list(range(len(images)))}), written)
    return written.getvalue()


def zip_of(*images: bytes) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for i, image in enumerate(images):
            archive.writestr(f"{i}.jpg", image)
    return written.getvalue()


@pytest.mark.parametrize("name", ["x.tar", "x.zip", "x.parquet", "x.tfrecord"])
def test_parquet_and_zip_are_told_by_their_first_bytes_as_well(tmp_path: Path, name: str) -> None:
    row = put(tmp_path / name, parquet_of(b"one", b"two"))
    assert [(found.uri, found.version, found.content, found.columns) for found in rows_of(row, columns=("*",))] == [
        (f"parquet://{i}::{row.uri}", row.version, image, f"{{'label': {i}}}")
        for i, image in enumerate([b"one", b"two"])
    ]
    row = put(tmp_path / name, zip_of(b"one", b"two"))
    assert [(found.uri, found.content) for found in rows_of(row)] == [
        (f"zip://0.jpg::{row.uri}", b"one"), (f"zip://1.jpg::{row.uri}", b"two"),
    ]  # fmt: skip
    assert rows_of(row)[0].version == f"{row.version}/{zlib.crc32(b'one'):08x}"
    assert refusal_of(put(tmp_path / name, zip_of(b"one")[:-1])).error == "DamagedContainer"
    assert refusal_of(put(tmp_path / name, parquet_of(b"one")[:-1])).error == "DamagedContainer"
    encrypted = refusal_of(put(tmp_path / name, b"PARE" + bytes(100) + b"PARE"))
    assert encrypted.message == "it is a Parquet file whose footer is encrypted, which is not read here"


def test_a_parquet_file_without_images_is_told_by_its_columns(tmp_path: Path) -> None:
    refusal = refusal_of(put(tmp_path / "x.parquet", parquet_of(b"one")), image_column="picture")
    assert refusal.error == "NoImage"
    assert refusal.message.endswith("among image (binary), label (int64)")
