"""Containers on stores: read in pieces of the listed version, through faults, and no more of them than is needed."""

from __future__ import annotations

import gzip
import io
import random
import time
import zipfile
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.asyn import get_loop, sync

from tests.integration.conftest import Server
from tests.integration.stores.faults import FAULTS, FaultProxy, fault_proxy, now_and_then
from tests.integration.stores.versions import FILES, check_versions, small_pieces
from tests.transforms.inputs.containers.making import as_text, takes, tar_of
from tests.web import body, serving
from transforms.elements import ImageObject, Refusal
from transforms.inputs.containers.member import Asked
from transforms.inputs.containers.reading import read_container
from transforms.stores import fetching, filesystems, storage
from transforms.stores.fetching import FetchError, Policy
from transforms.stores.streaming import described, open_object

PIECE = 4096
DATA = random.Random(5).randbytes(40 * PIECE + 100)
# What happens to a part of an object and is seen by its length; a flipped bit is not, since parts have no checksums.
OF_PARTS = tuple(fault for fault in FAULTS if fault not in ("flipped", "stall"))


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits of milliseconds, stalls that are given up after one second, and small pieces."""
    monkeypatch.setattr(fetching, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(fetching, "LONGEST_WAIT_SECONDS", 0.05)
    monkeypatch.setattr(filesystems, "READ_SECONDS", 3)  # of a busy machine, too
    monkeypatch.setattr(filesystems, "_instances", {})  # which were made with another one
    small_pieces(monkeypatch, PIECE)


def put(server: Server, data: bytes, name: str = "images/x.tar") -> ImageObject:
    filesystems.configure(server.options)
    storage.write_bytes(server.uri(name), data)
    return storage.describe(server.uri(name))


@pytest.fixture
def quiet(server: Server) -> Iterator[FaultProxy]:
    """A proxy that counts."""
    with fault_proxy(server.port, lambda path: "") as proxy:
        yield proxy


def through(server: Server, proxy: FaultProxy) -> None:
    filesystems.configure(server.through(proxy.port))


def test_reads_and_seeks_are_those_of_the_bytes(server: Server) -> None:
    row = put(server, DATA)
    draw, plain = random.Random(1), io.BytesIO(DATA)
    with open_object(row, Policy()) as file:
        for _ in range(100):
            if draw.random() < 0.4:
                whence = draw.choice([0, 0, 1, 2])
                place = draw.choice(
                    [0, len(DATA), draw.randrange(len(DATA) + 50), plain.tell() + draw.randrange(-500, 500)]
                )
                offset = max(0, place) - [0, plain.tell(), len(DATA)][whence]
                assert file.seek(offset, whence) == plain.seek(offset, whence)
            size = draw.choice([1, 100, 512, PIECE, 3 * PIECE, draw.randrange(10 * PIECE), -1])
            assert file.read(size) == plain.read(size)
            assert file.tell() == plain.tell()
        with pytest.raises(ValueError, match="negative"):
            file.seek(-1)


def test_each_byte_is_asked_for_once(server: Server, quiet: FaultProxy) -> None:
    row = put(server, DATA)
    through(server, quiet)
    with open_object(row, Policy()) as file:
        assert file.read() == DATA
    assert quiet.met == {"": 41}


def test_jumps_fetch_nothing_of_what_lies_between(server: Server, quiet: FaultProxy) -> None:
    row = put(server, DATA)
    through(server, quiet)
    with open_object(row, Policy()) as file:
        for place in (0, 20 * PIECE, 39 * PIECE + 7, 20 * PIECE + 50, 100, 39 * PIECE):
            file.seek(place)
            assert file.read(10) == DATA[place : place + 10]
    assert quiet.met == {"": 4}  # the last place is before a piece, and asked for up to that


@pytest.mark.parametrize("fault", [*OF_PARTS, "stall"])
def test_a_fault_costs_its_piece_again_and_nothing_else(server: Server, fault: str) -> None:
    row = put(server, tar_of(FILES))
    faults = iter(["", "", "", fault, ""])
    with fault_proxy(server.port, lambda path: next(faults, "")) as proxy:
        through(server, proxy)
        found = list(read_container(row, Asked(takes=takes), Policy(retries=3), as_text))
    assert [(image.uri, image.content) for image in found] == [
        (f"tar://{name}::{row.uri}", data) for name, data in FILES
    ]
    assert proxy.met[""] == -(-row.size // PIECE)


def test_a_container_arrives_whole_when_a_third_of_the_reads_fail(server: Server) -> None:
    row = put(server, gzip.compress(tar_of(FILES)))
    with fault_proxy(server.port, now_and_then(0.3, OF_PARTS)) as proxy:
        through(server, proxy)
        found = list(read_container(row, Asked(takes=takes), Policy(retries=20), as_text))
    assert [image.content for image in found] == [data for _, data in FILES]
    assert sum(times for fault, times in proxy.met.items() if fault) > 5


def test_lasting_faults_end_with_a_row_of_the_container(server: Server) -> None:
    row = put(server, tar_of(FILES))
    seen: list[str] = []

    def decide(path: str) -> str:
        seen.append(path)
        return "503" if len(seen) > 12 else ""

    with fault_proxy(server.port, decide) as proxy:
        through(server, proxy)
        *found, last = read_container(row, Asked(takes=takes), Policy(retries=2), as_text)
    assert [image.content for image in found] == [data for _, data in FILES[: len(found)]]
    assert 5 < len(found) < 40
    assert last == row._replace(content=last.content)
    assert isinstance(last.content, Refusal)
    assert last.content[:2] == ("fetch", "FetchFailed")
    assert last.content.message.endswith("(after 3 tries)")


@pytest.mark.parametrize("name", ["x.parquet", "x.zip"])
def test_what_is_read_from_its_end_is_read_in_pieces_as_well(server: Server, name: str) -> None:
    """Through faults; and where these last, the error is the store's and not the library's."""
    written = io.BytesIO()
    if name == "x.zip":
        with zipfile.ZipFile(written, "w") as archive:
            for member, data in FILES:
                archive.writestr(member, data)
    else:
        table = pa.table({"image": [data for _, data in FILES], "label": list(range(60))})
        pq.write_table(table, written, row_group_size=10)
    row = put(server, written.getvalue(), f"images/{name}")
    with fault_proxy(server.port, now_and_then(0.3, OF_PARTS)) as proxy:
        through(server, proxy)
        found = list(read_container(row, Asked(("*",), takes=takes), Policy(retries=20), as_text))
        assert [image.content for image in found] == [data for _, data in FILES]
        assert proxy.met[""] < 3 * row.size / PIECE
    seen: list[str] = []

    def decide(path: str) -> str:
        seen.append(path)
        return "403" if len(seen) > 12 else ""

    with fault_proxy(server.port, decide) as proxy:
        through(server, proxy)
        *found, last = read_container(row, Asked(takes=takes), Policy(), as_text)
    assert [image.content for image in found] == [data for _, data in FILES[: len(found)]]
    assert isinstance(last.content, Refusal)
    assert last.content[:2] == ("fetch", "PermissionDenied")


def test_another_version_is_not_mixed_into_the_listed_one(s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """S3's If-Match; the emulator of gs:// does not honour generations, fake-gcs-server does."""
    filesystems.configure(s3_server.options)
    check_versions(s3_server.uri("x.tar"), monkeypatch)


def test_blanks_are_filled_in(server: Server) -> None:
    row = put(server, tar_of(FILES[:2]))
    assert described(ImageObject(row.uri), Policy()).version == row.version
    found = list(read_container(ImageObject(row.uri), Asked(takes=takes), Policy(), as_text))
    assert [image.version.partition("/")[0] for image in found] == [row.version] * 2


def test_nothing_is_left_under_way_when_reading_is_given_up(server: Server) -> None:
    row = put(server, tar_of(FILES))
    with fault_proxy(server.port, lambda path: "", latency=0.1) as proxy:
        through(server, proxy)
        found = read_container(row, Asked(takes=takes), Policy(), as_text)
        for _ in range(5):
            next(found)
        found.close()
        assert sync(get_loop(), tasks) == []
        time.sleep(0.2)  # what was sent by then may not have been met
        asked = proxy.met.total()
        time.sleep(0.3)
        assert proxy.met.total() == asked


async def tasks() -> list[str]:
    import asyncio

    here = asyncio.current_task()
    running = [task for task in asyncio.all_tasks() if task is not here]
    return [repr(task) for task in running if "fetch_range" in repr(task) or "_fetch" in repr(task)]


def test_web_servers_are_asked_once() -> None:
    """Whatever they know of parts and versions; and again when the body was cut."""
    data = tar_of(FILES)
    with serving({"/x.tar": body(data)}) as site:
        found = list(read_container(ImageObject(f"{site.url}/x.tar"), Asked(takes=takes), Policy(), as_text))
        assert [image.content for image in found] == [content for _, content in FILES]
        assert {image.version for image in found} == {""}
        assert site.asked("/x.tar") == 1
        row = ImageObject(f"{site.url}/x.tar", address=f"{site.url}/x.tar?signature=1")
        assert (
            next(read_container(row, Asked(takes=takes), Policy(), as_text)).uri == f"tar://000.jpg::{site.url}/x.tar"
        )
        assert site.asked("/x.tar?signature=1") == 1
        (gone,) = read_container(ImageObject(f"{site.url}/y.tar"), Asked(), Policy(), as_text)
        assert isinstance(gone.content, Refusal)
        assert gone.content[:2] == ("fetch", "NotFound")


def test_a_store_that_unpacks_on_its_way_is_told() -> None:
    row = ImageObject("gs://bucket/x.tar", -1, "1")
    with pytest.raises(FetchError, match="Content-Encoding is gzip"), open_object(row, Policy()):
        pass


def test_stores_without_versions_are_read_and_compared_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    """fsspec's store in memory stands for them."""
    monkeypatch.setattr(filesystems, "SCHEMES", filesystems.SCHEMES | {"memory"})
    filesystems.configure({})
    uri = "memory://bucket/x.tar"
    storage.write_bytes(uri, tar_of(FILES))
    row = storage.describe(uri)
    found = read_container(row, Asked(takes=takes), Policy(retries=0), as_text)
    assert next(found).content == FILES[0][1]
    storage.write_bytes(uri, tar_of(FILES[:20]))
    *_, last = found
    assert isinstance(last.content, Refusal)
