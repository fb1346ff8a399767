"""Handles, digests, conversions and refusals; the hub is a real server on loopback."""

from __future__ import annotations

import http.server
import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from pipeline import conversion, model
from pipeline.conversion import ModelError, measure_parity
from pipeline.model import STANDIN_HANDLE, digest_of, prepare_model, resolve
from tests.conftest import TINY_FEATURES, TINY_SIZE, Run, save_module


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
    from pipeline.dataset import load_features

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


def test_archives_cannot_write_outside(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../../escaped"), io.BytesIO())
    with pytest.raises(ModelError, match=r"not a \.tar\.gz"):
        prepare_model(str(tmp_path / "evil.tar.gz"), "litert")


def _images(shape: tuple[int | None, ...], dtype: str = "float32") -> dict[str, Any]:
    return {"shape": shape, "dtype": dtype}


def _flat(_: Any, images: Any) -> Any:
    import tensorflow as tf

    return {"default": tf.reduce_mean(tf.cast(images, tf.float32), axis=list(range(1, images.shape.rank)))[:, None]}


def _map(_: Any, images: Any) -> Any:
    return {"features": images[:, ::2, ::2]}


def _two(_: Any, images: Any) -> Any:
    import tensorflow as tf

    return {"a": tf.reduce_mean(images, axis=[1, 2]), "b": tf.reduce_max(images, axis=[1, 2])}


@pytest.mark.parametrize(
    ("options", "forward", "found"),
    [
        (_images((None, 32, 32, 3), "uint8"), _flat, "inputs uint8 [N, 32, 32, 3]"),
        (_images((None, 10), "int32"), _flat, "inputs int32 [N, 10]"),
        (_images((None, 100)), _flat, "inputs float32 [N, 100]"),
        (_images((None, 3, 32, 32)), _flat, "inputs float32 [N, 3, 32, 32]"),
        (_images((None, 32, 32, 1)), _flat, "inputs float32 [N, 32, 32, 1]"),
        (_images((4, 32, 32, 3)), _flat, "batch size is fixed at 4"),
        (_images((None, 32, 32, 3)), _map, "features float32 [N, 16, 16, 3]"),
        (_images((None, 32, 32, 3)), _two, "2 outputs"),
    ],
)
def test_modules_of_another_shape_are_refused(
    tmp_path: Path, options: dict[str, Any], forward: Callable[..., Any], found: str
) -> None:
    folder = save_module(tmp_path / "module", forward=forward, **options)
    for engine in ("auto", "litert", "tensorflow"):
        with pytest.raises(ModelError) as refused:
            prepare_model(str(folder), engine)
        message = str(refused.value)
        assert message.startswith(f"{folder}: ")
        assert found in message
        assert "needed: a TF2 SavedModel with one input float32 [N, height, width, 3]" in message


def test_modules_without_signatures_are_refused(tmp_path: Path) -> None:
    import tensorflow as tf

    tf.saved_model.save(tf.Module(), str(tmp_path / "module"))
    with pytest.raises(ModelError, match="no signatures"):
        prepare_model(str(tmp_path / "module"), "tensorflow")


def test_open_sizes_are_224_unless_given(tmp_path: Path) -> None:
    folder = str(save_module(tmp_path / "module", shape=(None, None, None, 3)))
    assert prepare_model(folder, "litert").input_size == (224, 224)
    assert prepare_model(folder, "litert", (48, 64)).input_size == (48, 64)


def test_fixed_sizes_are_the_modules(tiny_module: str) -> None:
    ready = prepare_model(tiny_module, "litert")
    assert ready.input_size == (TINY_SIZE, TINY_SIZE)
    assert ready.feature_dim == TINY_FEATURES
    with pytest.raises(ModelError, match="--input_size is not for this module"):
        prepare_model(tiny_module, "litert", (64, 64))


@pytest.mark.parametrize(("op", "failing"), [("digamma", "convert"), ("lgamma", "run")])
def test_auto_falls_back_to_tensorflow_when_litert_cannot(tmp_path: Path, op: str, failing: str) -> None:
    """A module with an op that LiteRT lacks runs all the same; asked for by name, LiteRT is refused."""
    import tensorflow as tf

    def forward(_: Any, images: Any) -> Any:
        return {"default": getattr(tf.math, op)(1 + tf.reduce_mean(images, axis=[1, 2]))}

    folder = str(save_module(tmp_path / "module", forward=forward))
    with pytest.raises(ModelError, match=f"litert cannot {failing} it .*; --engine tensorflow runs any module"):
        prepare_model(folder, "litert")
    assert prepare_model(folder, "auto").engine == "tensorflow"
    assert prepare_model(folder, "auto").parity["min_cosine"] > 0.999999


def test_auto_is_litert_when_it_agrees(tiny_module: str) -> None:
    ready = prepare_model(tiny_module, "auto")
    assert ready.engine == "litert"
    assert ready.parity["min_cosine"] >= 0.9999


def test_an_engine_that_disagrees_is_refused(tiny_module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EMBED_IMAGES_CACHE_DIR", str(tmp_path))
    right = conversion.load_engine

    def wrong(*arguments: Any) -> Any:
        engine = right(*arguments)
        return lambda pixels: engine(pixels) + np.arange(TINY_FEATURES, dtype=np.float32)

    monkeypatch.setattr(conversion, "load_engine", wrong)
    with pytest.raises(ModelError, match=r"engine litert gives vectors of cosine 0\.\d+ to the module's own"):
        prepare_model(tiny_module, "litert")


def test_a_conversion_happens_once_and_survives_a_race(
    tiny_module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EMBED_IMAGES_CACHE_DIR", str(tmp_path))
    conversions = []
    convert = model.convert

    def counted(*arguments: Any) -> Any:
        conversions.append(arguments)
        return convert(*arguments)

    monkeypatch.setattr(model, "convert", counted)
    with ThreadPoolExecutor(3) as pool:
        artifacts = {ready.artifact for ready in pool.map(lambda _: prepare_model(tiny_module, "litert"), range(3))}
    assert len(artifacts) == 1
    prepare_model(tiny_module, "litert")
    assert len(conversions) <= 3
    assert sorted(os.listdir(tmp_path / "artifacts")) == [Path(artifacts.pop()).parent.name]


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


def test_parity_is_what_it_says() -> None:
    expected = np.array([[1.0, 0.0], [3.0, 4.0], [0.0, 0.0]], np.float32)
    parity = measure_parity(expected, expected)
    assert parity == {"min_cosine": 1.0, "mean_cosine": 1.0, "max_relative_error": 0.0}
    turned = np.array([[0.0, 1.0], [3.0, 4.0], [0.0, 0.0]], np.float32)
    parity = measure_parity(expected, turned)
    assert parity["min_cosine"] == 0.0
    assert parity["mean_cosine"] == pytest.approx(2 / 3)
    assert parity["max_relative_error"] == 0.25
    assert np.isnan(measure_parity(expected, expected * np.nan)["min_cosine"])


@pytest.mark.parametrize("name", ["artifact", "facts.json"])
def test_a_damaged_cache_is_made_anew(
    tiny_module: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("EMBED_IMAGES_CACHE_DIR", str(tmp_path))
    before = prepare_model(tiny_module, "litert")
    file = Path(before.artifact).with_name(name)
    file.write_bytes(file.read_bytes()[:10])
    assert prepare_model(tiny_module, "litert") == before
    assert len(file.read_bytes()) > 10
