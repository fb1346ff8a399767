"""Awkward inputs of stores: names of objects and folders, manifests, objects that are unpacked on their way."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from tests.integration.conftest import Server
from tests.web import Answer, serving, status
from transforms.elements import ImageObject
from transforms.inputs.inputs import list_input, split_input
from transforms.inputs.rules import DEFAULT_RULES, ListingError, Rules
from transforms.stores import filesystems, storage
from transforms.stores.fetching import FetchError, Policy, fetch_and_wait


def put(server: Server, *keys: str, data: bytes = b"x") -> None:
    for key in keys:
        storage.write_bytes(server.uri(key), data)


def names(uri: str, rules: Rules = DEFAULT_RULES, skipped: list[str] | None = None) -> list[str]:
    told: list[str] = [] if skipped is None else skipped
    return sorted(image.uri for image in list_input(uri, rules, lambda name, kind: told.append(kind)))


def test_a_slash_at_the_end_says_folder(server: Server) -> None:
    put(server, "odd", "odd/a.jpg", "odd/deeper/c.jpg", "odder/d.jpg")
    folder = [server.uri("odd/a.jpg"), server.uri("odd/deeper/c.jpg")]
    assert names(server.uri("odd/")) == folder
    assert sorted(part.uri for part in split_input(server.uri("odd/")) if isinstance(part, ImageObject)) == folder
    with pytest.raises(ListingError, match="is an object and a folder; with a slash at its end it is the folder"):
        names(server.uri("odd"))
    assert names(server.uri("odder")) == names(server.uri("odder/")) == [server.uri("odder/d.jpg")]
    assert names(server.uri("odd/a.jpg")) == [server.uri("odd/a.jpg")]
    put(server, "list.txt", data=f"{server.uri('odd')}\nodd/a.jpg".encode())
    assert names(server.uri("list.txt")) == [server.uri("odd"), server.uri("odd/a.jpg")]


def test_what_is_left_out_of_a_store_is_told(server: Server) -> None:
    put(server, "in/a.jpg", "in/._a.jpg", "in/b.txt", "in/__MACOSX/c.jpg", "in/d/Thumbs.db")
    skipped: list[str] = []
    assert names(server.uri("in"), skipped=skipped) == [server.uri("in/a.jpg")]
    assert sorted(skipped) == ["._*", ".txt", "Thumbs.db", "__MACOSX/"]
    assert names(server.uri("in/**/*.jpg")) == [server.uri("in/a.jpg")]


@pytest.mark.parametrize("local", ["/etc/shadow", "file:///etc/shadow"])
def test_manifests_of_stores_name_no_local_files(server: Server, local: str) -> None:
    put(server, "m.csv.gz", data=gzip.compress(f"uri\na.jpg\n{local}\n".encode()))
    with pytest.raises(ListingError, match="line 3 names a local file, "):
        names(server.uri("m.csv.gz"))
    assert names(server.uri("m.csv.gz"), Rules(allow_local=True)) == ["/etc/shadow", server.uri("a.jpg")]


def unpacking(data: bytes, number: int = 200) -> Answer:
    """Of an object that is stored as gzip: aiohttp unpacks it as it arrives."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=number, body=gzip.compress(data), headers={"Content-Encoding": "gzip"})

    return answer


@pytest.fixture
def unpacked_object() -> Iterator[tuple[ImageObject, dict[str, Answer]]]:
    """An object whose size its listing does not tell, of a stand-in of gs:// that answers as it is told."""
    answers: dict[str, Answer] = {}
    with serving(answers) as site:
        filesystems.configure({"gs": {"token": "anon", "project": "p", "endpoint_url": site.url}})
        yield ImageObject("gs://bucket/a.jpg", -1, "7"), answers
    filesystems.configure({})


def test_an_object_that_is_unpacked_on_its_way_is_read_within_the_bound(
    unpacked_object: tuple[ImageObject, dict[str, Answer]],
) -> None:
    source, answers = unpacked_object
    path, policy = "/download/storage/v1/b/bucket/o/a.jpg", Policy(retries=0, max_bytes=1 << 20)
    answers[path] = unpacking(b"pixels")
    assert fetch_and_wait(source, policy).data == b"pixels"
    for answer, error in (
        (unpacking(bytes(64 << 20)), "ObjectTooLarge"),
        (status(403, 9), "PermissionDenied"),
        (status(503, 9), "FetchFailed"),
        (status(404, 9), "NotFound"),
    ):
        answers[path] = answer
        with pytest.raises(FetchError) as failed:
            fetch_and_wait(source, policy)
        assert failed.value.error == error


@pytest.mark.parametrize("extension", ["txt", "csv.gz", "parquet"])
def test_manifests_of_every_format_are_read_from_a_store(server: Server, extension: str) -> None:
    table = pa.table({"uri": [f"{i}.jpg" for i in range(2000)]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    lines = "uri\n" * (extension == "csv.gz") + "".join(f"{i}.jpg\n" for i in range(2000))
    contents = {"txt": lines.encode(), "csv.gz": gzip.compress(lines.encode()), "parquet": sink.getvalue().to_pybytes()}
    put(server, f"lists/m.{extension}", data=contents[extension])
    found = [image.uri for image in list_input(server.uri(f"lists/m.{extension}"))]
    assert found == [server.uri(f"lists/{i}.jpg") for i in range(2000)]
