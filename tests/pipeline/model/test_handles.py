"""Model handles: hubs, archives, folders, stores; and what is said of those that hold no module."""

from __future__ import annotations

import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.model.handles import STANDIN_HANDLE, resolve
from pipeline.model.prepare import prepare_model
from pipeline.model.sealing import digest_of
from tests.conftest import Run, save_module


def archive(folder: str | Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(str(folder), arcname=".")
    return buffer.getvalue()


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as tfhub.dev does: an archive for `?tf-hub-format=compressed`, a page else."""

    modules: ClassVar[dict[str, bytes]] = {}
    requests: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.requests.append(self.path)
        path, _, query = self.path.partition("?")
        body = self.modules.get(path) if query == "tf-hub-format=compressed" else b"<html>"
        self.send_response(200 if body is not None else 404)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The URL of a hub that serves `Hub.modules`, with a cache of its own."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(Hub, "modules", {})
    monkeypatch.setattr(Hub, "requests", [])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_standin_runs_from_a_hub(hub: str, run_pipeline: Run, images: Path, tmp_path: Path) -> None:
    """The URL path for real, and what it gives is what the same module gives as builtin."""
    from pipeline.outputs.dataset import load_features

    Hub.modules["/google/imagenet/mobilenet_v2_130_224/feature_vector/4"] = archive(resolve(STANDIN_HANDLE))
    handle = f"{hub}/google/imagenet/mobilenet_v2_130_224/feature_vector/4"
    from_hub = run_pipeline(input=str(images), model=handle, run_id="hub")
    builtin = run_pipeline(input=str(images), model=STANDIN_HANDLE, run_id="builtin")
    assert from_hub.manifest["model"]["digest"] == builtin.manifest["model"]["digest"]
    assert from_hub.manifest["model"]["handle"] == handle
    assert from_hub.manifest["model"]["feature_dim"] == 1664
    np.testing.assert_array_equal(load_features(from_hub.folder)[1], load_features(builtin.folder)[1])
    assert len(Hub.requests) == 1
    resolve(handle)
    assert len(Hub.requests) == 1  # fetched once


def test_a_hub_without_the_module_is_told(hub: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as refused:
        prepare_model(f"{hub}/no/such/module/1", "litert")
    check_hub_message(str(refused.value), f"{hub}/no/such/module/1", "answered 404", str(tmp_path / "hub-cache"))


@pytest.mark.parametrize("body", [b"", b"\x1f\x8b garbage", b"<html>sorry</html>"])
def test_a_corrupt_archive_is_told(hub: str, tmp_path: Path, body: bytes) -> None:
    Hub.modules["/m/1"] = body
    with pytest.raises(ModelError) as refused:
        prepare_model(f"{hub}/m/1", "litert")
    check_hub_message(str(refused.value), f"{hub}/m/1", "no module archive", str(tmp_path / "hub-cache"))


def test_half_an_archive_is_told(hub: str, tmp_path: Path, tiny_module: str) -> None:
    data = archive(tiny_module)
    Hub.modules["/m/1"] = data[: len(data) // 2]
    with pytest.raises(ModelError) as refused:
        prepare_model(f"{hub}/m/1", "litert")
    check_hub_message(str(refused.value), f"{hub}/m/1", "no module archive", str(tmp_path / "hub-cache"))


def test_no_network_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub-cache"))
    with pytest.raises(ModelError) as refused:
        prepare_model("http://127.0.0.1:9/module/1", "litert")
    check_hub_message(
        str(refused.value), "http://127.0.0.1:9/module/1", "cannot be reached", str(tmp_path / "hub-cache")
    )


def check_hub_message(message: str, handle: str, reason: str, cache: str) -> None:
    assert message.startswith(f"{handle}: ")
    assert reason in message
    assert "TFHUB_CACHE_DIR" in message
    assert cache in message
    assert "--model a SavedModel folder or .tar.gz" in message
    assert STANDIN_HANDLE in message
    assert "\n" not in message


def test_folders_and_archives_are_one_module(tmp_path: Path, tiny_module: str) -> None:
    packed = tmp_path / "module.tar.gz"
    packed.write_bytes(archive(tiny_module))
    expected = digest_of(Path(tiny_module))
    for handle in (tiny_module, f"file://{tiny_module}", str(packed)):
        assert prepare_model(handle, "litert").digest == expected


def test_stores_hold_modules_too(tiny_module: str) -> None:
    """fsspec's memory store stands for every store: folders and archives."""
    import fsspec

    store = fsspec.filesystem("memory")
    store.put(tiny_module, "/models/tiny", recursive=True)
    store.pipe_file("/models/tiny.tar.gz", archive(tiny_module))
    expected = digest_of(Path(tiny_module))
    for handle in ("memory://models/tiny", "memory://models/tiny/", "memory://models/tiny.tar.gz"):
        assert digest_of(resolve(handle)) == expected


@pytest.mark.parametrize(
    ("handle", "message"),
    [
        ("/no/such/folder", "no such folder"),
        ("/no/such.tar.gz", "no such archive"),
        ("memory://nothing/here", "nothing is there"),
        ("builtin:resnet", "the only builtin module is"),
    ],
)
def test_handles_of_nothing_are_refused(handle: str, message: str) -> None:
    with pytest.raises(ModelError, match=message) as refused:
        prepare_model(handle, "litert")
    assert str(refused.value).startswith(handle)


def test_folders_and_archives_of_something_else_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no saved_model\.pb"):
        prepare_model(str(tmp_path), "litert")
    (tmp_path / "a.tar.gz").write_bytes(b"not an archive")
    with pytest.raises(ModelError, match=r"not a \.tar\.gz"):
        prepare_model(str(tmp_path / "a.tar.gz"), "litert")
    (tmp_path / "sm").mkdir()
    (tmp_path / "sm/saved_model.pb").write_bytes(b"garbage")
    with pytest.raises(ModelError, match="TensorFlow cannot load"):
        prepare_model(str(tmp_path / "sm"), "litert")


def test_digests_follow_the_files_not_the_export(tmp_path: Path, tiny_module: str) -> None:
    again = save_module(tmp_path / "again")
    before = digest_of(Path(tiny_module))
    assert digest_of(again / "variables") == digest_of(Path(tiny_module) / "variables")
    (again / "fingerprint.pb").write_bytes(b"other")
    same = digest_of(again)
    (again / "assets/labels.txt").write_text("cat")
    assert digest_of(again) != same
    (again / "assets/labels.txt").rename(again / "assets/names.txt")
    assert len({before, same, digest_of(again)}) >= 2
