"""Modules of a hub: a real server on loopback, what tensorflow_hub has kept of it, and what is not trusted."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.model import hub as hub_file
from pipeline.model.handles import STANDIN_HANDLE, resolve
from pipeline.model.prepare import prepare_model
from pipeline.model.sealing import digest_of
from tests.conftest import Run


def archive(folder: str | Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.add(str(folder), arcname=".")
    return buffer.getvalue()


class Hub(http.server.BaseHTTPRequestHandler):
    """Answers as tfhub.dev does: an archive for `?tf-hub-format=compressed`, elsewhere it may be; a page else."""

    modules: ClassVar[dict[str, bytes]] = {}
    moved: ClassVar[dict[str, str]] = {}
    requests: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.requests.append(self.path)
        path, _, query = self.path.partition("?")
        if path in self.moved:
            self.send_response(302)
            self.send_header("Location", self.moved[path])
            self.end_headers()
            return
        body = self.modules.get(path) if query == "tf-hub-format=compressed" else b"<html>"
        self.send_response(200 if body is not None else 404)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """The URL of a hub that serves `Hub.modules`; tensorflow_hub's cache is empty."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub-cache"))
    monkeypatch.setattr(Hub, "modules", {})
    monkeypatch.setattr(Hub, "moved", {})
    monkeypatch.setattr(Hub, "requests", [])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.whole
def test_the_standin_runs_from_a_hub(hub: str, run_pipeline: Run, images: Path, tmp_path: Path) -> None:
    """The URL path for real, and what it gives is what the same module gives as builtin."""
    from tests.reading import run_vectors

    Hub.modules["/google/imagenet/mobilenet_v2_130_224/feature_vector/4"] = archive(resolve(STANDIN_HANDLE))
    handle = f"{hub}/google/imagenet/mobilenet_v2_130_224/feature_vector/4"
    from_hub = run_pipeline(input=str(images), model=handle, run_id="hub")
    builtin = run_pipeline(input=str(images), model=STANDIN_HANDLE, run_id="builtin")
    assert from_hub.manifest["model"]["digest"] == builtin.manifest["model"]["digest"]
    assert from_hub.manifest["model"]["handle"] == handle
    assert from_hub.manifest["model"]["feature_dim"] == 1664
    np.testing.assert_array_equal(run_vectors(from_hub.folder)[1], run_vectors(builtin.folder)[1])
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


def test_what_tensorflow_hub_has_kept_needs_no_network(hub: str, tmp_path: Path, tiny_module: str) -> None:
    import tensorflow_hub

    Hub.modules["/m/1"] = archive(tiny_module)
    cache, handle = tmp_path / "hub-cache", f"{hub}/m/1"
    kept = Path(tensorflow_hub.resolve(handle))
    assert kept.parent == cache
    Hub.modules.clear()
    Hub.requests.clear()
    assert resolve(handle) == kept
    assert digest_of(kept) == digest_of(Path(tiny_module))
    assert Hub.requests == []


def test_a_hubs_module_that_was_seen_before_needs_no_tensorflow(hub: str, tiny_module: str) -> None:
    """Nor the hub: importing tensorflow_hub, and TensorFlow with it, was most of every start."""
    Hub.modules["/m/1"] = archive(tiny_module)
    fetched = resolve(f"{hub}/m/1")
    Hub.modules.clear()
    code = (
        "import sys\nfrom pipeline.model.handles import resolve\nprint(resolve(sys.argv[1]))\n"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'tensorflow_hub')))"
    )
    warm = subprocess.run([sys.executable, "-c", code, f"{hub}/m/1"], capture_output=True, text=True)
    assert (warm.returncode, warm.stdout.strip()) == (0, str(fetched)), warm.stderr


def keep(cache: Path, handle: str, module: str) -> Path:
    folder = cache / hashlib.sha1(handle.encode(), usedforsecurity=False).hexdigest()
    folder.parent.mkdir(exist_ok=True)
    shutil.copytree(module, folder)
    return folder


@pytest.mark.parametrize("of", ["the cache", "the module", "a file"])
def test_what_others_can_write_to_is_not_trusted(hub: str, tmp_path: Path, tiny_module: str, of: str) -> None:
    cache, handle = tmp_path / "hub-cache", f"{hub}/m/1"
    module = keep(cache, handle, tiny_module)
    place = {"the cache": cache, "the module": module, "a file": module / "saved_model.pb"}[of]
    place.chmod(place.stat().st_mode | 0o002)
    with pytest.raises(
        ModelError, match=r"can be written to by others \([d-]rwx?.*\).*unset TFHUB_CACHE_DIR"
    ) as refused:
        resolve(handle)
    assert str(place) in str(refused.value)
    place.chmod(place.stat().st_mode & ~0o022)
    assert resolve(handle) == module


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_what_belongs_to_another_user_is_not_trusted(hub: str, tmp_path: Path, tiny_module: str) -> None:
    cache, handle = tmp_path / "hub-cache", f"{hub}/m/1"
    os.chown(keep(cache, handle, tiny_module), 65534, 65534)
    with pytest.raises(ModelError, match=r"belongs to another user \(uid 65534\)"):
        resolve(handle)


def test_the_folder_that_anybody_can_make_is_not_looked_at(
    hub: str, tmp_path: Path, tiny_module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without TFHUB_CACHE_DIR tensorflow_hub takes what lies in a folder of the system's temporary one."""
    monkeypatch.delenv("TFHUB_CACHE_DIR")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    planted = keep(tmp_path / "tfhub_modules", f"{hub}/m/1", tiny_module)
    with pytest.raises(ModelError, match="answered 404"):
        resolve(f"{hub}/m/1")
    assert planted.exists()


def test_a_module_may_have_moved(hub: str, tiny_module: str) -> None:
    """As those of tfhub.dev have; the address that it moved to is taken as it is."""
    Hub.modules["/elsewhere"] = archive(tiny_module)
    Hub.moved["/m/1"] = "/elsewhere?tf-hub-format=compressed"
    assert digest_of(resolve(f"{hub}/m/1")) == digest_of(Path(tiny_module))
    Hub.moved["/m/2"] = "file:///etc/passwd"
    Hub.moved["/m/3"] = "ftp://127.0.0.1:9/module"
    Hub.moved["/m/4"] = "/m/4"
    for number in (2, 3, 4):
        with pytest.raises(ModelError, match=r"the hub (cannot be reached|answered 302)") as refused:
            resolve(f"{hub}/m/{number}")
        assert "\n" not in str(refused.value)


def test_a_hub_never_leads_out_of_https(hub: str) -> None:
    request = hub_file.urllib.request.Request("https://hub.example/m/1")
    with pytest.raises(hub_file.urllib.error.URLError, match="redirects from https to http"):
        hub_file._SameProtocol().redirect_request(request, None, 302, "Found", http.client.HTTPMessage(), f"{hub}/m/1")


@pytest.mark.parametrize(
    "place", ["https://127.0.0.1/m", "https://169.254.169.254/latest/meta-data", "https://[::1]/m"]
)
def test_a_hub_elsewhere_leads_to_no_address_of_this_machine(place: str) -> None:
    request = urllib.request.Request("https://93.184.216.34/m/1")
    follow = hub_file._SameProtocol().redirect_request
    with pytest.raises(urllib.error.URLError, match="an address within the machine or its link"):
        follow(request, io.BytesIO(), 302, "Found", http.client.HTTPMessage(), place)
    assert follow(request, io.BytesIO(), 302, "Found", http.client.HTTPMessage(), "https://93.184.216.35/m") is not None


@pytest.mark.parametrize(("name", "most"), [("MAX_ARCHIVE_BYTES", 100), ("TOTAL_SECONDS", -1)])
def test_an_archive_ends(hub: str, tiny_module: str, monkeypatch: pytest.MonkeyPatch, name: str, most: int) -> None:
    Hub.modules["/m/1"] = archive(tiny_module)
    monkeypatch.setattr(hub_file, name, most)
    with pytest.raises(ModelError, match=r"what came is no module archive: it (has more than|did not arrive within)"):
        resolve(f"{hub}/m/1")


def test_other_questions_of_a_url_stay() -> None:
    assert hub_file.archive_url("https://h/m/1") == "https://h/m/1?tf-hub-format=compressed"
    assert hub_file.archive_url("https://h/m/1?a=b%20c") == "https://h/m/1?a=b+c&tf-hub-format=compressed"


def test_no_url_is_told() -> None:
    with pytest.raises(ModelError, match="that is no URL that can be asked"):
        resolve("http://[")
