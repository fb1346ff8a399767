"""Which objects are containers by their names, and the URIs of members: exact both ways, and fsspec's."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import fsspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from transforms.inputs.containers.naming import FAMILIES, container_of, kind_of, member_of, member_uri

ODD_BYTES = st.binary(min_size=1, max_size=4).map(lambda data: data.decode("utf-8", "surrogateescape"))
SPECIAL = st.sampled_from([":", "::", "%", "%3A", "%25", "%2", "5", "3A", "%E9", "/", "#", "?", "://", "\n", "a.jpg"])
NAMES = st.lists(st.one_of(st.text(max_size=5), ODD_BYTES, SPECIAL), max_size=8).map("".join)


@pytest.mark.parametrize(
    ("uri", "kind"),
    [
        ("/data/x.tar", "tar"),
        ("s3://bucket/deep/x.TAR.GZ", "tar"),
        ("gs://bucket/x.tgz", "tar"),
        ("https://host/x.tar?sig=a/b.zip", "tar"),
        ("/data/x.tar?y", ""),
        ("/data/train.tfrecord", "tfrecord"),
        ("/data/train.tfrecords.gz", "tfrecord"),
        ("gs://bucket/train.tfrecord-00001-of-00010", "tfrecord"),
        ("gs://bucket/train-00001-of-00010.tfrecord", "tfrecord"),
        ("gs://bucket/train.tfrecord-00001-of-00010.gz", "tfrecord"),
        ("/data/x.pq", "parquet"),
        ("/data/train-00000-of-00001.Parquet", "parquet"),
        ("/data/x.parquet.gz", ""),
        ("/data/x.zip", "zip"),
        ("/data/x.tar.bz2", ""),
        ("/data/x.tar/photo.jpg", ""),
        ("/data/xtar", ""),
        ("/data/x.gz", ""),
        ("", ""),
    ],
)
def test_the_family_is_told_by_the_extension(uri: str, kind: str) -> None:
    assert kind_of(uri) == kind


def test_names_are_literal_where_nothing_is_lost() -> None:
    uri = member_uri("tar", "photos/ä #1?[2] 100% a%20b 12:30.jpg", "s3://bucket/x.tar")
    assert uri == "tar://photos/ä #1?[2] 100% a%20b 12:30.jpg::s3://bucket/x.tar"
    assert member_uri("zip", "a::b:", "/x.zip") == "zip://a%3A:b%3A::/x.zip"
    assert member_uri("tar", "caf\udce9.jpg", "/x.tar") == "tar://caf%E9.jpg::/x.tar"
    assert member_uri("tar", "a%3Ab%E9%25", "/x.tar") == "tar://a%253Ab%25E9%2525::/x.tar"


@given(st.sampled_from(sorted(FAMILIES)), NAMES, NAMES.filter(bool))
@example("tar", "%\udce9", "::")
@example("tar", "%2\n5:", ":")
@example("tar", "a%\udc81:", "tar://b::c")
def test_names_and_containers_come_back_as_they_were(kind: str, member: str, container: str) -> None:
    uri = member_uri(kind, member, container)
    assert (container_of(uri), member_of(uri)) == (container, member)
    uri.partition("::")[0].encode()  # a text, whatever bytes the name has


@given(NAMES)
def test_what_is_no_member_has_no_container(name: str) -> None:
    plain = name.replace(":", "")
    for uri in (f"/data/{name}", f"s3://bucket/{name}", f"file:///{name}", f"tar://{plain}", f"tar://{plain}::"):
        assert container_of(uri) == member_of(uri) == ""


def test_two_names_make_two_uris() -> None:
    names = ["a:", "a%3A", "a", "a::b", "a%3A:b", "a:%3Ab", "\udce9", "%E9", "é", "%25E9"]
    assert len({member_uri("tar", name, "/x.tar") for name in names}) == len(names)


@pytest.mark.parametrize("name", ["photos/a.jpg", "with space #1?.jpg", "100% naïve 写真.jpg", "a%20b:c.jpg"])
def test_fsspec_opens_the_uri_of_a_member(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        info = tarfile.TarInfo(name)
        info.size = 3
        tar.addfile(info, io.BytesIO(b"tar"))
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr(name, "zip")
    for kind in ("tar", "zip"):
        with fsspec.open(member_uri(kind, name, str(tmp_path / f"x.{kind}")), "rb") as file:
            assert file.read() == kind.encode()
