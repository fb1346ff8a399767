"""Manifests: what they name, and that no row is swallowed or lost without a word."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.web import body, serving, status
from transforms.inputs import bounds, tables, texts
from transforms.inputs.inputs import list_input
from transforms.inputs.rules import ListingError, Rules


def names(path: Path | str, **rules: object) -> list[str]:
    return [image.uri for image in list_input(str(path), Rules(**rules))]


def refusal(path: Path | str, **rules: object) -> str:
    with pytest.raises(ListingError) as refused:
        names(path, **rules)
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)
    return str(refused.value).removeprefix(f"{path}: ")


def write_txt(path: Path, uris: list[str]) -> None:
    path.write_text("\n".join(uris) + "\n\n", encoding="utf-8")


def write_csv(path: Path, uris: list[str]) -> None:
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([["label", "uri"], *([f'say "{i}"\nand go', uri] for i, uri in enumerate(uris))])


def write_tsv(path: Path, uris: list[str]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, "excel-tab").writerows([["uri", "label"], *([uri, "a, b"] for uri in uris)])


def write_jsonl(path: Path, uris: list[str]) -> None:
    path.write_text("".join(json.dumps({"label": 1, "uri": uri}) + "\n" for uri in uris))


def write_parquet(path: Path, uris: list[str]) -> None:
    pq.write_table(pa.table({"label": list(range(len(uris))), "uri": uris}), path)


WRITERS = {
    "txt": write_txt, "csv": write_csv, "tsv": write_tsv, "jsonl": write_jsonl, "ndjson": write_jsonl,
    "json": write_jsonl, "parquet": write_parquet,
}  # fmt: skip


@pytest.mark.parametrize("extension", [*WRITERS, *(f"{name}.gz" for name in WRITERS if name != "parquet"), "CSV"])
def test_manifests_name_their_images(tmp_path: Path, extension: str) -> None:
    manifest = tmp_path / f"list of images.{extension}"
    relative, absolute, url = "folder/a[1]b, c.jpg", str(tmp_path / "写真.jpg"), "gs://bucket/some key#1.jpg"
    WRITERS[extension.lower().removesuffix(".gz")](
        manifest, [relative, absolute, f"file://{tmp_path}/100%25.jpg", url, "~a.jpg", "nowhere.jpg"]
    )
    if extension.endswith(".gz"):
        manifest.write_bytes(gzip.compress(manifest.read_bytes()))
    found = list(list_input(str(manifest)))
    expected = [f"{tmp_path}/{relative}", absolute, f"{tmp_path}/100%.jpg", url, f"{tmp_path}/~a.jpg"]
    assert [image.uri for image in found] == [*expected, f"{tmp_path}/nowhere.jpg"]
    assert all(image.size == -1 and image.version == "" for image in found)


def test_another_column_may_hold_the_uris(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("uri,path\nx,a.jpg\n")
    assert names(tmp_path / "m.csv", uri_column="path") == [f"{tmp_path}/a.jpg"]


REFUSED = [
    ("m.csv", b"path\na.jpg\n", "no column 'uri' among path; --uri_column names it"),
    ("m.csv", b"", "no column 'uri' among ; --uri_column names it"),
    ("m.csv", b'uri,caption\na.jpg,"two\nlines"\nb.jpg,"open\nc.jpg,last\n', "the row of line 4: a quote is opened"),
    ("m.csv", b'uri,caption\na.jpg,"open\nb.jpg,"shut"\n', "the row of line 2: ',' expected after '\"'"),
    ("m.csv", b"a,uri\n1,x.jpg\n\n2\n", "the row of line 4 has 1 fields, the header has 2"),
    ("m.csv", b"uri,a\nx.jpg,1\ny.jpg,2,3\n", "the row of line 3 has 3 fields, the header has 2"),
    ("m.csv", b"uri,label,uri\nx,1,y\n", "2 columns are named 'uri'"),
    ("m.csv", b"uri;label\nx.jpg;1\n", "its fields are separated by ';', not ','"),
    ("m.csv", b"uri,label\rx.jpg,1\r", "the row of line 1: it has a carriage return within it"),
    ("m.csv", b"uri\n\xe9.jpg\n", "line 2 is no UTF-8, at its byte 0xe9; write the file as UTF-8 (iconv -f CP1252"),
    ("m.csv", "uri\na.jpg\n".encode("utf-16"), "line 1 is no UTF-8 but UTF-16, or binary; write the file as UTF-8"),
    ("m.tsv", b'uri\tlabel\nx.jpg\t"open\n', "the row of line 2: a quote is opened and never closed"),
    ("m.tsv", b"uri,label\nx.jpg,1\n", "its fields are separated by ',', not '\\t'"),
    ("m.jsonl", b'{"path": "a.jpg"}\n', "no column 'uri' among path"),
    ("m.jsonl", b'{"uri": "a"}\n\n{"uri": "b"\n', "line 3 is no JSON object: "),
    ("m.jsonl", b'"a.jpg"\n', "line 1 holds str, not an object"),
    ("m.json", b'[{"uri": "a.jpg"}]\n', "line 1 holds an array; write one object a line, as jq -c '.[]' does"),
    ("m.json", b'{\n"uri": "a.jpg"\n}\n', "line 1 is no JSON object: "),
    ("m.jsonl", b'{"uri": "a", "uri": "b"}\n', "line 1 has the key 'uri' twice"),
    ("m.jsonl", b'{"uri": "a", "x": ' + b"[" * 100_000 + b"\n", "line 1 is nested too deep"),
    ("m.jsonl", b'{"uri": 3}\n', "line 1 has no text in its column 'uri'"),
    ("m.jsonl", b'{"uri": "\\ud800.jpg"}\n', "line 1: 'utf-8' codec can't encode"),
    ("m.txt", b"a.jpg\n\xff.jpg\n", "line 2 is no UTF-8, at its byte 0xff"),
    ("m.txt", "a.jpg\n".encode("utf-16-le"), "line 1 is no UTF-8 but UTF-16"),
    ("m.txt", b"a.jpg\rb.jpg\r", "line 1 has a carriage return within it"),
    ("m.txt", b"file://server/a.jpg\n", "line 1: file://server/… names a file of another machine"),
    ("m.txt", b"x" * 70_000 + b"\n", "line 1 has a name of 70,000 characters"),
    ("m.csv.gz", gzip.compress(b"uri\n" + b"a.jpg\n" * 9, mtime=0)[:-9], "its gzip is damaged"),
    ("m.parquet", b"PAR1", "not a manifest that can be read"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "message"), REFUSED)
def test_manifests_that_cannot_be_read_for_sure_say_where_and_why(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert message in refusal(tmp_path / name)


def test_parquet_is_asked_for_a_column_of_text(tmp_path: Path) -> None:
    path = tmp_path / "m.parquet"
    pq.write_table(pa.table({"uri": [1, 2]}), path)
    assert refusal(path) == "its column 'uri' holds int64, not text"
    pq.write_table(pa.table({"uri": ["a.jpg", None]}), path)
    assert refusal(path) == "row 2 has no text in its column 'uri'"
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["uri", "uri"]), path)
    assert refusal(path) == "2 columns are named 'uri'; name each as it is"
    pq.write_table(pa.table({"uri": pa.array(["a.jpg", "b.jpg", "a.jpg"]).dictionary_encode()}), path)
    assert names(path) == [f"{tmp_path}/{name}.jpg" for name in "aba"]


def test_long_fields_are_read(tmp_path: Path) -> None:
    """Python's csv takes 131,072 characters by default."""
    (tmp_path / "m.csv").write_text(f"caption,uri\n{'x' * 140_000},a.jpg\n")
    (tmp_path / "m.jsonl").write_text(json.dumps({"caption": "x" * 1_000_000, "uri": "a.jpg"}))
    assert names(tmp_path / "m.csv") == names(tmp_path / "m.jsonl") == [f"{tmp_path}/a.jpg"]


@given(captions=st.lists(st.text("ab,\"'\n ;\t", max_size=8), max_size=6))
def test_csv_reads_what_a_writer_of_csv_has_written(
    tmp_path_factory: pytest.TempPathFactory, captions: list[str]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "m.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = [["uri", "caption"], *([f"{i}.jpg", caption] for i, caption in enumerate(captions))]
        csv.writer(file, lineterminator="\n").writerows(rows)
    assert names(path) == [f"{path.parent}/{i}.jpg" for i in range(len(captions))]


@pytest.mark.parametrize("extension", ["csv", "jsonl", "txt"])
def test_one_endless_line_is_refused_unread(tmp_path: Path, extension: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (bounds, texts):
        monkeypatch.setattr(module, "LONGEST_LINE", 1 << 20)
    path = tmp_path / f"m.{extension}"
    path.write_bytes(b"uri\n" * (extension == "csv") + b"x" * (2 << 20))
    assert "is longer than 1 MiB; a quote may have been left open" in refusal(path)
    if extension == "csv":  # a row of many lines
        path.write_bytes(b'uri,caption\na.jpg,"open\n' + b"x\n" * (1 << 20))
        assert "is longer than 1 MiB; a quote may have been left open" in refusal(path)


@pytest.mark.parametrize(
    ("name", "content"), [("m.txt.gz", b"\n" * (4 << 20)), ("m.csv.gz", b"uri\n" + b"a.jpg\n" * (1 << 19))]
)
def test_gzip_that_unpacks_to_very_much_is_refused(
    tmp_path: Path, name: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounds, "FREE_BYTES", 1 << 20)
    path = tmp_path / name
    path.write_bytes(gzip.compress(gzip.compress(content)))
    assert "bytes of it unpack to more than" in refusal(path)


def test_gzip_is_known_by_its_bytes(tmp_path: Path) -> None:
    """Servers pack once more on their way, or unpack what was packed."""
    (tmp_path / "plain.csv.gz").write_text("uri\na.jpg\n")
    (tmp_path / "packed.csv").write_bytes(gzip.compress(b"uri\na.jpg\n"))
    (tmp_path / "twice.csv.gz").write_bytes(gzip.compress(gzip.compress(b"uri\na.jpg\n")))
    for name in ("plain.csv.gz", "packed.csv", "twice.csv.gz"):
        assert names(tmp_path / name) == [f"{tmp_path}/a.jpg"]


@pytest.mark.parametrize("dictionary", [True, False])
def test_parquet_that_unpacks_to_very_much_is_refused(
    tmp_path: Path, dictionary: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long name a million times is a kilobyte in a dictionary, and a page that is packed well."""
    path = tmp_path / "m.parquet"
    table = pa.table({"uri": pa.array(["x" * 10_000] * 4_000)})
    pq.write_table(table, path, use_dictionary=dictionary, compression="zstd")
    assert path.stat().st_size < 1 << 20
    monkeypatch.setattr(bounds, "FREE_BYTES", 20 << 20)
    assert "unpack to more than" in refusal(path)
    if not dictionary:
        monkeypatch.setattr(tables, "LARGEST_CHUNK", 20 << 20)
        assert "row group 0 holds 40," in refusal(path)


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_manifests_of_web_servers_name_what_lies_beside_them(
    tmp_path: Path, write: Callable[[Path, list[str]], None]
) -> None:
    write(tmp_path / "m", ["a b.jpg", "http://example.org/c.jpg?x=/", "s3://bucket/d.jpg"])
    name = f"m.{write.__name__.removeprefix('write_')}"
    with serving({f"/lists/{name}": body((tmp_path / "m").read_bytes())}) as site:
        found = names(f"{site.url}/lists/{name}?signature=a/b")
    assert found == [f"{site.url}/lists/a b.jpg", "http://example.org/c.jpg?x=/", "s3://bucket/d.jpg"]
    assert [request.raw_path for request in site.requests] == [f"/lists/{name}?signature=a/b"]


@pytest.mark.parametrize("local", ["/etc/shadow", "file:///etc/shadow", "FILE:/etc/shadow"])
def test_manifests_from_elsewhere_name_no_local_files(local: str) -> None:
    with serving({"/m.txt": body(f"a.jpg\n{local}\n".encode())}) as site:
        message = f"line 2 names a local file, {local!r}, and it lies elsewhere itself; --allow_local takes it"
        assert message in refusal(f"{site.url}/m.txt")
        assert names(f"{site.url}/m.txt", allow_local=True) == [f"{site.url}/a.jpg", "/etc/shadow"]


def test_a_manifest_that_a_server_refuses_says_so() -> None:
    with serving({"/m.csv": status(403, 9)}) as site:
        assert refusal(f"{site.url}/m.csv") == "the server answers 403 Forbidden"
        assert refusal(f"{site.url}/gone.csv") == "the server answers 404 Not Found"
