"""What is said of a handle that is no TF2 SavedModel: what was found, and what to do."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import ModelError
from pipeline.model.handles import resolve

HDF5, ZIP = b"\x89HDF\r\n\x1a\n", b"PK\x03\x04"


def told_of(handle: Path | str) -> str:
    with pytest.raises(ModelError) as refused:
        resolve(str(handle))
    message = str(refused.value)
    assert message.startswith(f"{handle}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("name", "content", "what", "remedy"),
    [
        ("m.keras", ZIP, "it is a Keras model (.keras)", "load_model(FILE).export(FOLDER)"),
        ("m.h5", HDF5, "it is a Keras model or its weights (HDF5)", "load_model(FILE).export(FOLDER)"),
        ("weights", HDF5, "it is a Keras model or its weights (HDF5)", "load_model(FILE).export(FOLDER)"),
        ("m.zip", ZIP, "it is a zip archive", "pack the SavedModel folder as a .tar.gz"),
        ("module", ZIP, "it is a zip archive", "name the unpacked folder"),
        ("m.tar.bz2", b"BZh9", "it is an archive of another kind", "as a .tar.gz"),
        ("m.tar.xz", b"\xfd7zXZ\x00", "it is an archive of another kind", "as a .tar.gz"),
        (
            "m.tflite",
            b"\x1c\0\0\0TFL3",
            "it is a TensorFlow Lite model (.tflite)",
            "the SavedModel that it was converted",
        ),
        ("model.bin", b"\x1c\0\0\0TFL3", "it is a TensorFlow Lite model (.tflite)", "the SavedModel that it was"),
        ("m.onnx", b"\x08\x07", "it is an ONNX model (.onnx)", "onnx2tf"),
        ("m.pt", ZIP, "it is a PyTorch model", "export it as a SavedModel"),
        ("M.PTH", b"\x80\x02", "it is a PyTorch model", "export it as a SavedModel"),
        ("m.safetensors", b"\0", "it is weights without a graph", "export it as a SavedModel"),
        ("frozen.pb", b"\n", "it is a graph by itself (.pb)", "name the SavedModel folder"),
        ("saved_model.pb", b"\n", "it is a graph by itself (.pb)", "name the SavedModel folder"),
        ("notes.txt", b"hello", "it is a file", "a model is a SavedModel folder or .tar.gz"),
        ("m.tar.gz", ZIP, "it is a zip archive", "pack the SavedModel folder as a .tar.gz"),
        ("m.tgz", HDF5, "it is a Keras model", "export(FOLDER)"),
    ],
)
def test_files_are_told_by_name_and_first_bytes(
    tmp_path: Path, name: str, content: bytes, what: str, remedy: str
) -> None:
    (tmp_path / name).write_bytes(content)
    message = told_of(tmp_path / name)
    assert what in message
    assert remedy in message


def test_files_in_a_store_are_told_too() -> None:
    import fsspec

    fsspec.filesystem("memory").pipe_file("/kinds/m.onnx", b"\x08\x07")
    assert "it is an ONNX model (.onnx)" in told_of("memory://kinds/m.onnx")


def touch(*names: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"")

    return make


FOLDERS = {
    "a module of TF1": (
        touch("tfhub_module.pb", "saved_model.pb"),
        "TF1 Hub format (tfhub_module.pb)",
        "its TF2 version",
    ),
    "a split graph": (touch("saved_model.cpb"), "its graph is split (saved_model.cpb)", "above 2 GB"),
    "a folder above": (touch("m/1/x", "m/saved_model.pb"), "no saved_model.pb in it, but in m/", "name that folder"),
    "an archive": (touch("m.tar.gz"), "it holds an archive, m.tar.gz", "name that archive"),
    "a Keras model": (touch("m.keras", "readme.md"), "but m.keras: it is a Keras model", "export(FOLDER)"),
    "text": (touch("saved_model.pbtxt"), "but saved_model.pbtxt: it is a graph as text", "tf.saved_model.save"),
    "a checkpoint": (touch("model.ckpt.index", "model.ckpt"), "it is a checkpoint", "tf.saved_model.save"),
    "safetensors": (touch("config.json", "model.safetensors"), "weights without a graph", "the library that made them"),
    "images": (touch(*"abcdefg"), "there is no saved_model.pb in", "(it holds a, b, c, d, e, …)"),
    "nothing": (touch(), "not a TF2 SavedModel", "(it holds nothing)"),
}


@pytest.mark.parametrize("name", FOLDERS)
@pytest.mark.parametrize("packed", [False, True])
def test_folders_are_told_by_what_is_in_them(tmp_path: Path, name: str, packed: bool) -> None:
    make, what, remedy = FOLDERS[name]
    handle = folder = tmp_path / "module"
    folder.mkdir()
    make(folder)
    if packed:
        handle = tmp_path / "module.tar.gz"
        with tarfile.open(handle, "w:gz") as tar:
            tar.add(folder, arcname=".")
        if name == "a folder above":  # which is taken, of an archive
            assert resolve(str(handle)).name == "m"
            return
    message = told_of(handle)
    assert what in message
    assert remedy in message


def test_a_real_keras_file_is_told(tmp_path: Path) -> None:
    """As Keras saves it, and as it is when its name says nothing."""
    with zipfile.ZipFile(tmp_path / "m", "w") as file:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            file.writestr(name, b"{}")
    assert "it is a zip archive" in told_of(tmp_path / "m")
    (tmp_path / "m").rename(tmp_path / "m.keras")
    assert "it is a Keras model (.keras)" in told_of(tmp_path / "m.keras")
