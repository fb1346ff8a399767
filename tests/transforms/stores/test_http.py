"""What web servers answer, and what becomes of it: bytes within bounds, or an error of the right class."""

from __future__ import annotations

import gzip
import ssl
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from werkzeug.serving import make_ssl_devcert

from tests.web import Answer, body, pieces, serving, status
from transforms.elements import ImageObject
from transforms.stores import fetching, filesystems
from transforms.stores.fetching import Fetched, FetchError, Policy, fetch_and_wait

DATA = bytes(range(256)) * 40
MIB = 1 << 20


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Waits of milliseconds, and stalls that are given up soon."""
    monkeypatch.setattr(fetching, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(fetching, "LONGEST_WAIT_SECONDS", 0.02)
    monkeypatch.setattr(filesystems, "READ_SECONDS", 0.5)
    filesystems.configure({})
    yield
    filesystems.configure({})


def fetch(url: str, retries: int = 2, max_bytes: int = MIB, whole_seconds: float = 60.0) -> Fetched:
    return fetch_and_wait(ImageObject(url), Policy(retries, whole_seconds=whole_seconds, max_bytes=max_bytes))


def refusal(url: str, **policy: float) -> tuple[str, str]:
    """The class and the sentence of a URL that cannot be had."""
    with pytest.raises(FetchError) as failed:
        fetch(url, **policy)
    assert "\n" not in str(failed.value)
    return failed.value.error, str(failed.value)


@pytest.mark.parametrize(
    ("number", "error", "tries"),
    [
        (400, "FetchFailed", 1), (401, "PermissionDenied", 1), (403, "PermissionDenied", 1), (404, "NotFound", 1),
        (410, "NotFound", 1), (418, "FetchFailed", 1), (204, "FetchFailed", 1), (304, "FetchFailed", 1),
        (408, "FetchFailed", 3), (425, "FetchFailed", 3), (429, "FetchFailed", 3), (500, "FetchFailed", 3),
        (502, "FetchFailed", 3), (503, "FetchFailed", 3), (504, "FetchFailed", 3), (520, "FetchFailed", 3),
    ],
)  # fmt: skip
def test_a_refusal_has_its_class_and_is_tried_again_where_that_may_help(number: int, error: str, tries: int) -> None:
    with serving({"/a.jpg": status(number, 99)}) as site:
        found, sentence = refusal(f"{site.url}/a.jpg")
    assert found == error
    assert sentence.startswith(f"the server answers {number}")
    assert sentence.endswith("(after 3 tries)") == (tries == 3)
    assert len(site.requests) == tries


@pytest.mark.parametrize("number", [408, 425, 429, 500, 503])
def test_what_is_over_soon_is_survived(number: int) -> None:
    with serving({"/a.jpg": status(number, 2, DATA)}) as site:
        fetched = fetch(f"{site.url}/a.jpg")
    assert (fetched.data, fetched.retries) == (DATA, 2)


def test_a_server_that_asks_to_wait_is_waited_for() -> None:
    """Longer than a fetch may take: no second try is begun."""
    with serving({"/a.jpg": status(429, 1, DATA, Retry_After="3600")}) as site:
        assert refusal(f"{site.url}/a.jpg") == ("FetchFailed", "the server answers 429 Too Many Requests")
        assert site.asked("/a.jpg") == 1


def test_one_get_an_image_and_no_head() -> None:
    """A HEAD may be refused, or tell another length."""

    async def answer(request: web.Request) -> web.Response:
        headers = {"ETag": '"v1"', "Last-Modified": "Wed, 21 Oct 2015 07:28:00 GMT"}
        return web.Response(body=DATA, headers=headers) if request.method == "GET" else web.Response(status=405)

    with serving({"/a.jpg": answer}) as site:
        fetched = fetch(f"{site.url}/a.jpg")
    assert fetched.data == DATA
    assert fetched.source == ImageObject(f"{site.url}/a.jpg", len(DATA), "v1", 1445412480.0)
    assert [request.method for request in site.requests] == ["GET"]


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("/a%2Fb+c%20d%zz?X-Sig=a%2Bb+c%3D&e=%7E~", None), ("/%41.jpg", None), ("/a/../b//c.jpg", None),
        ("/with space.jpg", "/with%20space.jpg"), ("/写.jpg", "/%E5%86%99.jpg"), ("/a.jpg#part", "/a.jpg"),
        ("/a\r\nX-Injected: b.jpg", "/a%0D%0AX-Injected:%20b.jpg"), ("/?a=b", None), ("/folder/", None),
    ],
)  # fmt: skip
def test_urls_are_sent_as_they_are_written(written: str, sent: str | None) -> None:
    """Signatures hold for the bytes of a URL; only what no request can hold is encoded."""
    with serving({}) as site:
        assert refusal(site.url + written)[0] == "NotFound"
    assert [request.raw_path for request in site.requests] == [sent or written]
    assert "X-Injected" not in site.requests[0].headers


@pytest.mark.parametrize(
    "url", ["http://[::1/x", "http:///x", "http://127.0.0.1:99999/x", "http://127.1/x", "http://", "http://a b/x"]
)
def test_what_is_no_url_is_said_to_be_none(url: str) -> None:
    error, sentence = refusal(url)
    assert error == "FetchFailed"
    assert sentence.startswith(("no URL that can be asked", "no address is known of"))


def endless(chunk: bytes = bytes(1 << 16), chunks: int = 4096) -> Answer:
    return pieces([chunk] * chunks)


def test_a_body_without_an_end_is_given_up_at_the_bound() -> None:
    with serving({"/a.jpg": endless()}) as site:
        error, sentence = refusal(f"{site.url}/a.jpg")
        assert site.asked("/a.jpg") == 1
    assert error == "ObjectTooLarge"
    assert "--max_object_bytes allows 1,048,576" in sentence
    assert int(sentence.partition(" ")[0].replace(",", "")) < 2 * MIB


def test_a_length_above_the_bound_is_not_read() -> None:
    with serving({"/a.jpg": body(bytes(MIB + 1)), "/b.jpg": body(bytes(MIB))}) as site:
        assert refusal(f"{site.url}/a.jpg")[0] == "ObjectTooLarge"
        assert len(fetch(f"{site.url}/b.jpg").data) == MIB


@pytest.mark.parametrize(("encoding", "packed"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_content_encodings_are_unpacked_within_the_bound(encoding: str, packed: type) -> None:
    bomb = packed(bytes(64 * MIB))
    assert len(bomb) < MIB
    answers = {"/a.jpg": body(packed(DATA), Content_Encoding=encoding), "/b.jpg": body(bomb, Content_Encoding=encoding)}
    with serving(answers) as site:
        assert fetch(f"{site.url}/a.jpg").data == DATA
        error, sentence = refusal(f"{site.url}/b.jpg")
    assert error == "ObjectTooLarge"
    assert int(sentence.partition(" ")[0].replace(",", "")) < 2 * MIB


@pytest.mark.parametrize(
    ("data", "encoding", "sentence"),
    [
        (gzip.compress(DATA, mtime=0)[:-20], "gzip", "ends before its end"),
        (b"no gzip at all", "gzip", "its Content-Encoding is damaged"),
        (DATA, "br", "its Content-Encoding, br, is not read here"),
    ],
)
def test_content_encodings_that_cannot_be_unpacked_say_why(data: bytes, encoding: str, sentence: str) -> None:
    with serving({"/a.jpg": body(data, Content_Encoding=encoding)}) as site:
        error, found = refusal(f"{site.url}/a.jpg")
    assert error == "FetchFailed"
    assert sentence in found


def test_gzip_of_several_members_is_read_to_its_end() -> None:
    packed = gzip.compress(DATA[:5000]) + gzip.compress(DATA[5000:])
    with serving({"/a.jpg": body(packed, Content_Encoding="gzip")}) as site:
        assert fetch(f"{site.url}/a.jpg").data == DATA


def test_a_body_that_trickles_or_stalls_is_given_up() -> None:
    """A byte now and then is no progress."""
    answers = {"/drip.jpg": pieces([b"x"] * 1000, 0.05), "/stall.jpg": pieces([b"x", b"y"], 60)}
    with serving(answers) as site:
        for path in answers:
            error, sentence = refusal(site.url + path, retries=1)
            assert (error, sentence.endswith("in vain (after 2 tries)")) == ("FetchFailed", True), sentence


def test_an_object_has_a_bound_on_all_its_tries() -> None:
    """However well it goes on: a body that is fast enough each half second, for ever."""
    with serving({"/a.jpg": pieces([bytes(40_000)] * 10_000, 0.2)}) as site:
        error, sentence = refusal(f"{site.url}/a.jpg", whole_seconds=1.0, max_bytes=1 << 30)
    assert (error, sentence) == ("FetchFailed", "it was given up after 1 s")


def test_a_body_that_is_cut_short_is_no_image() -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(DATA))})
        await response.prepare(request)
        await response.write(DATA[:1000])
        assert request.transport is not None
        request.transport.close()
        return response

    with serving({"/a.jpg": cut}) as site:
        assert refusal(f"{site.url}/a.jpg") == ("FetchFailed", "the body was cut short (after 3 tries)")


def test_a_server_that_is_not_there_says_nothing_of_the_image() -> None:
    assert refusal("http://127.0.0.1:1/a.jpg") == (
        "FetchFailed", "no connection to 127.0.0.1:1: Connection refused (after 3 tries)"
    )  # fmt: skip
    error, sentence = refusal("http://nowhere.invalid/a.jpg")
    assert error == "FetchFailed"
    assert sentence.startswith("no address is known of nowhere.invalid: ")


def test_tls_is_checked(tmp_path: Path) -> None:
    """With a certificate of its own, and on a port where nobody speaks TLS; neither is tried again."""
    certificate, key = make_ssl_devcert(str(tmp_path / "tls"), host="127.0.0.1")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    with serving({"/a.jpg": body(DATA)}, tls) as site, serving({}) as plain:
        error, sentence = refusal(f"{site.url}/a.jpg")
        assert error == "FetchFailed"
        assert "is not trusted: " in sentence
        assert "self-signed certificate" in sentence
        assert "tries" not in sentence
        error, sentence = refusal(plain.url.replace("http:", "https:") + "/a.jpg")
        assert (error, sentence.startswith("no TLS with 127.0.0.1")) == ("FetchFailed", True)
        filesystems.configure({"https": {"ssl": False}})
        assert fetch(f"{site.url}/a.jpg").data == DATA
