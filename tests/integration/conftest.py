"""Object stores as real servers on loopback, from packages of an ordinary set-up; and where Prism is."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

# Before gcsfs is imported: else it asks an API that stand-ins of the store lack, and waits for it.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"

from transforms.stores import filesystems, storage
from transforms.stores.spooling import open_spool

BUCKET = "bucket"


@dataclass
class Server:
    """A store: the scheme of its URIs, where it listens, and the options that reach it."""

    scheme: str
    port: int
    options: dict[str, dict[str, Any]]

    def uri(self, key: str) -> str:
        return f"{self.scheme}://{BUCKET}/{key}"

    def through(self, port: int) -> dict[str, dict[str, Any]]:
        """The options that reach it through a proxy at `port`."""
        return {self.scheme: {**self.options[self.scheme], "endpoint_url": f"http://127.0.0.1:{port}"}}


def clear(uri: str) -> None:
    """Removes all objects below a URI of a store."""
    fs = filesystems.filesystem(uri)
    for path in fs.find(uri):
        fs.rm_file(path)


def check_large_upload(uri: str) -> None:
    """A file of three parts, without a name, arrives as it was; and once more, as after a failure."""
    data = os.urandom(storage.UPLOAD_CHUNK_BYTES * 2 + 12_345)
    with open_spool() as file:
        file.write(data)
        storage.upload(file, uri)
        assert storage.read_bytes(uri) == data
        clear(uri)
        storage.upload(file, uri)
        assert storage.read_bytes(uri) == data


@pytest.fixture(scope="session")
def s3_server() -> Iterator[Server]:
    pytest.importorskip("moto.server", reason="the S3 server comes with moto, of the extra 'dev'")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    options = {"key": "test", "secret": "test", "endpoint_url": f"http://127.0.0.1:{port}"}
    filesystems.configure({"s3": options})
    filesystems.filesystem("s3://").mkdir(BUCKET)
    yield Server("s3", port, {"s3": options})
    server.stop()


def keep_last_bytes() -> None:
    """The emulator parses uploads as mail, which takes a last carriage return for a part of the line's end."""
    from gcp_storage_emulator import server

    decode, read = server._decode_raw_data, server._read_data
    raw = threading.local()

    def decode_and_keep(*arguments: Any) -> bytes | None:
        raw.data = decode(*arguments)
        return raw.data

    def read_exactly(handler: Any, query: Any) -> Any:
        data = read(handler, query)
        kind, _, boundary = (handler.headers.get("Content-Type") or "").partition("boundary=")
        if kind.startswith("multipart/related"):
            mark = b"--" + boundary.strip("\"'").encode()
            content = raw.data.split(mark, 2)[2].partition(b"\n\n")[2]
            data["content"] = content.rpartition(b"\n" + mark)[0]
        return data

    server._decode_raw_data, server._read_data = decode_and_keep, read_exactly


@pytest.fixture(scope="session")
def gs_server() -> Iterator[Server]:
    from http.server import HTTPServer

    from gcp_storage_emulator.server import create_server

    HTTPServer.request_queue_size = 128  # it is 5, and a burst of connections is then refused
    keep_last_bytes()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET)
    server.start()
    options = {"token": "anon", "project": "test", "endpoint_url": f"http://127.0.0.1:{port}"}
    yield Server("gs", port, {"gs": options})
    server.stop()


@pytest.fixture(params=["s3", "gs"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Each store, with nothing in it and reached by this process."""
    found: Server = request.getfixturevalue(f"{request.param}_server")
    filesystems.configure(found.options)
    clear(found.uri(""))
    yield found
    filesystems.configure({})


@pytest.fixture
def location() -> str:
    """The option that says where Prism is."""
    found = os.environ.get("PRISM")
    assert found, "PRISM names no binary: `make test-prism` builds it and says where it is"
    return f"--prism_location={found}"
