"""What was given where a SavedModel was needed: told from name and first bytes, in one sentence with the way out."""

from __future__ import annotations

from pathlib import Path

SAVED_MODEL = "saved_model.pb"
ARCHIVES = (".tar.gz", ".tgz", ".tar")
EXPORT = "export it as a SavedModel, with {}, and name that folder"
KERAS = EXPORT.format("keras.models.load_model(FILE).export(FOLDER)")
PACK = "pack the SavedModel folder as a .tar.gz, or name the unpacked folder"
# A SavedModel of more than 2 GB of graph, which TensorFlow splits into chunks.
SPLIT_GRAPH = "saved_model.cpb"

# By the end of a file's name: what it is, and what to do.
BY_NAME = {
    ".keras": ("a Keras model (.keras)", KERAS),
    ".h5": ("a Keras model or its weights (HDF5)", KERAS),
    ".hdf5": ("a Keras model or its weights (HDF5)", KERAS),
    ".zip": ("a zip archive", PACK),
    ".tar.bz2": ("an archive of another kind", PACK),
    ".tar.xz": ("an archive of another kind", PACK),
    ".tar.zst": ("an archive of another kind", PACK),
    ".7z": ("an archive of another kind", PACK),
    ".tflite": (
        "a TensorFlow Lite model (.tflite)",
        "name the SavedModel that it was converted from, against which its vectors are measured",
    ),
    ".onnx": ("an ONNX model (.onnx)", EXPORT.format("onnx2tf")),
    ".pt": ("a PyTorch model", EXPORT.format("litert-torch or by way of ONNX and onnx2tf")),
    ".pth": ("a PyTorch model", EXPORT.format("litert-torch or by way of ONNX and onnx2tf")),
    ".safetensors": ("weights without a graph (.safetensors)", EXPORT.format("the library that made them")),
    ".ckpt": ("a checkpoint, weights without a graph", EXPORT.format("tf.saved_model.save")),
    ".pb": ("a graph by itself (.pb)", "name the SavedModel folder, which holds saved_model.pb and variables/"),
    ".pbtxt": ("a graph as text (.pbtxt)", EXPORT.format("tf.saved_model.save")),
}
# By the first bytes of a file, for those whose name tells nothing.
BY_MAGIC = {
    b"\x89HDF\r\n\x1a\n": ".h5",
    b"PK\x03\x04": ".zip",
    b"BZh": ".tar.bz2",
    b"\xfd7zXZ\x00": ".tar.xz",
    b"\x28\xb5\x2f\xfd": ".tar.zst",
    b"7z\xbc\xaf\x27\x1c": ".7z",
}
TFLITE_MAGIC = slice(4, 8), b"TFL3"


def described(name: str, beginning: bytes = b"") -> str:
    """A sentence on a file that is no module, such as: it is an ONNX model (.onnx); export …; "" if it is unknown."""
    ends = [suffix for suffix in BY_NAME if name.lower().rstrip("/").endswith(suffix)]
    ends += [suffix for magic, suffix in BY_MAGIC.items() if beginning.startswith(magic)]
    place, magic = TFLITE_MAGIC
    ends += [".tflite"] if beginning[place] == magic else []
    if not ends:
        return ""
    what, remedy = BY_NAME[ends[0]]
    return f"it is {what}; {remedy}"


def beginning_of(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(16)


def missing_in(folder: Path) -> str:
    """Why a folder is no TF2 SavedModel that is taken, and what to do; "" when nothing is missing."""
    if (folder / "tfhub_module.pb").exists():
        return (
            "it is a module of the TF1 Hub format (tfhub_module.pb), which is not read here; take its TF2 version, or "
            + EXPORT.format("tf.saved_model.save, in TF1's own Python")
        )
    if (folder / SAVED_MODEL).is_file():
        return ""
    if (folder / SPLIT_GRAPH).exists():
        return (
            f"its graph is split ({SPLIT_GRAPH}), as TensorFlow does above 2 GB, and is not read here; "
            f"save it with its weights as variables, which are in files of their own"
        )
    found = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
    within = [name for name in found if (folder / name / SAVED_MODEL).is_file()]
    if within:
        return f"there is no {SAVED_MODEL} in it, but in {', '.join(within)}; name that folder"
    packed = [name for name in found if name.endswith(ARCHIVES)]
    if packed:
        return f"it holds an archive, {packed[0]}, and no {SAVED_MODEL}; name that archive"
    if (folder / "saved_model.pbtxt").exists():
        found = ["saved_model.pbtxt"]
    for name in found:
        if told := described(name):
            return f"there is no {SAVED_MODEL} in it but {name}: {told}"
    shown = ", ".join(found[:5]) + (", …" if len(found) > 5 else "") if found else "nothing"
    return f"not a TF2 SavedModel: there is no {SAVED_MODEL} in {folder} (it holds {shown})"
