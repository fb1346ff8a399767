"""From a model handle to a staged artifact: resolve, digest, convert once, cache.

Workers never see the handle: they load the artifact from the run's staging folder, so a thousand
workers are one download.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import json
import os
import shutil
import tarfile
import urllib.error
import uuid
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.conversion import CONVERSION_VERSION, ModelError, convert
from pipeline.standin import export_standin
from transforms import filesystems, storage

STANDIN_HANDLE = "builtin:mobilenet_v2_130_224"
STANDIN_VERSION = 1
PRECISION = "f32"
BROKEN_ARCHIVE = (tarfile.TarError, EOFError, OSError, zlib.error)
DEFAULT_BATCH_SIZE = {"litert": 8, "tensorflow": 32}

__all__ = ["FeatureModel", "ModelError", "prepare_model"]


@dataclass(frozen=True)
class FeatureModel:
    """A module that is ready to run.

    Attributes:
        handle: as the user named it.
        digest: sha256 over the SavedModel's files.
        engine, precision: what runs it.
        input_size: (height, width) of its images.
        feature_dim: values of a feature vector.
        parity: agreement of the artifact with the untouched module, see `conversion.Conversion`.
        artifact: path of what the engine loads.
    """

    handle: str
    digest: str
    engine: str
    precision: str
    input_size: tuple[int, int]
    feature_dim: int
    parity: Mapping[str, float]
    artifact: str

    def describe(self) -> dict[str, Any]:
        """The manifest's entry: everything but the artifact's path."""
        fields = asdict(self)
        del fields["artifact"]
        return {**fields, "input_size": list(self.input_size)}


def cache_folder() -> Path:
    """Where modules and artifacts are kept between runs: EMBED_IMAGES_CACHE_DIR, else the user's cache."""
    if own := os.environ.get("EMBED_IMAGES_CACHE_DIR"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "embed-images"


def prepare_model(handle: str, engine: str, input_size: tuple[int, int] | None = None) -> FeatureModel:
    """Resolves a handle and makes, or finds in the cache, the artifact of an engine.

    Args:
        handle: a hub URL, a SavedModel folder or .tar.gz (local or of any fsspec store), or
            `STANDIN_HANDLE`.
        engine: "litert", "tensorflow", or "auto": tensorflow where there is a GPU, else litert when the
            module converts and passes the parity check, else tensorflow.
        input_size: (height, width), for modules whose signature leaves it open.

    Raises:
        ModelError: no such module, or one that cannot be used.
    """
    saved_model = resolve(handle)
    digest = digest_of(saved_model)
    if engine != "auto":
        return _artifact(handle, saved_model, digest, engine, input_size)
    if has_gpu():
        return _artifact(handle, saved_model, digest, "tensorflow", input_size)
    try:
        return _artifact(handle, saved_model, digest, "litert", input_size)
    except ModelError:
        # Where the module itself is at fault, TensorFlow refuses it as well and says so better.
        return _artifact(handle, saved_model, digest, "tensorflow", input_size)


def has_gpu() -> bool:
    """Whether TensorFlow sees a GPU; it is not imported on machines without an NVIDIA device."""
    if not os.path.exists("/dev/nvidia0"):
        return False
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def resolve(handle: str) -> Path:
    """The SavedModel folder of a handle, fetched when it is not local.

    Raises:
        ModelError: it cannot be had; says what to do.
    """
    if handle.startswith("builtin:"):
        if handle != STANDIN_HANDLE:
            raise ModelError(f"{handle}: the only builtin module is {STANDIN_HANDLE}")
        return _cached(f"standin-v{STANDIN_VERSION}-tf{_version('tensorflow')}", export_standin)
    if handle.startswith(("http://", "https://")):
        return _resolve_hub(handle)
    uri = storage.normalize(handle)
    if uri.endswith((".tar.gz", ".tgz")):
        return _checked(_extract(handle, uri), handle)
    if filesystems.is_local(uri):
        if not os.path.isdir(uri):
            raise ModelError(f"{handle}: no such folder; a model is {_alternatives()}")
        return _checked(Path(uri), handle)
    return _checked(_download_folder(handle, uri), handle)


def digest_of(saved_model: Path) -> str:
    """sha256 over names and bytes of the files; without fingerprint.pb, which is new at every export."""
    digest = hashlib.sha256()
    for file in sorted(path for path in saved_model.rglob("*") if path.is_file()):
        name = file.relative_to(saved_model).as_posix()
        if name == "fingerprint.pb":
            continue
        data = file.read_bytes()
        digest.update(f"{len(name)} {name} {len(data)} ".encode())
        digest.update(data)
    return digest.hexdigest()


def _artifact(
    handle: str, saved_model: Path, digest: str, engine: str, input_size: tuple[int, int] | None
) -> FeatureModel:
    """The artifact from the cache, where it is converted once per module, engine and version."""
    size = "x".join(map(str, input_size)) if input_size else "own-size"
    recipe = f"v{CONVERSION_VERSION}-tf{_version('tensorflow')}-litert{_version('ai-edge-litert')}"

    def build(folder: Path) -> None:
        conversion = convert(saved_model, handle, engine, input_size)
        folder.mkdir(parents=True)
        (folder / "artifact").write_bytes(conversion.artifact)
        facts = {
            "sha256": hashlib.sha256(conversion.artifact).hexdigest(),
            "input_size": conversion.input_size,
            "feature_dim": conversion.feature_dim,
            "parity": dict(conversion.parity),
        }
        (folder / "facts.json").write_text(json.dumps(facts))

    key = f"artifacts/{digest[:32]}-{engine}-{PRECISION}-{size}-{recipe}"
    folder = _cached(key, build)
    facts = _facts(folder)
    if not facts:  # damaged, by a full disk or a hand: made anew
        shutil.rmtree(folder, ignore_errors=True)
        folder = _cached(key, build)
        facts = _facts(folder)
    return FeatureModel(
        handle=handle,
        digest=digest,
        engine=engine,
        precision=PRECISION,
        input_size=(facts["input_size"][0], facts["input_size"][1]),
        feature_dim=facts["feature_dim"],
        parity=facts["parity"],
        artifact=str(folder / "artifact"),
    )


def _facts(folder: Path) -> dict[str, Any]:
    """What was learnt when an artifact was made; empty when the folder is not what was written there."""
    try:
        facts: dict[str, Any] = json.loads((folder / "facts.json").read_text())
        whole = hashlib.sha256((folder / "artifact").read_bytes()).hexdigest() == facts["sha256"]
    except (OSError, ValueError, KeyError):
        return {}
    return facts if whole else {}


def _resolve_hub(handle: str) -> Path:
    import tensorflow_hub as hub

    try:
        return _checked(Path(hub.resolve(handle)), handle)
    except urllib.error.HTTPError as e:
        reason = f"the hub answered {e.code} {e.reason}"
    except (urllib.error.URLError, TimeoutError, ConnectionError) as e:
        reason = f"the hub cannot be reached ({getattr(e, 'reason', e)})"
    except (*BROKEN_ARCHIVE, ValueError) as e:
        reason = f"what came is no module archive ({type(e).__name__}: {e})"
    cache = os.environ.get("TFHUB_CACHE_DIR") or "unset: a folder of the system's temporary files"
    raise ModelError(
        f"{handle}: {reason}. Modules are kept in TFHUB_CACHE_DIR ({cache}), and one that was fetched there "
        f"before is used without a network; else give --model {_alternatives()}"
    )


def _alternatives() -> str:
    return f"a SavedModel folder or .tar.gz, local or in a bucket, or {STANDIN_HANDLE} to try without weights"


def _extract(handle: str, uri: str) -> Path:
    try:
        data = storage.read_bytes(uri)
    except FileNotFoundError:
        raise ModelError(f"{handle}: no such archive; a model is {_alternatives()}") from None

    def build(folder: Path) -> None:
        folder.mkdir(parents=True)
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            archive.extractall(folder, filter="data")

    try:
        return _cached(f"modules/{hashlib.sha256(data).hexdigest()[:32]}", build)
    except BROKEN_ARCHIVE as e:
        raise ModelError(f"{handle}: not a .tar.gz that can be read ({type(e).__name__}: {e})") from None


def _download_folder(handle: str, uri: str) -> Path:
    """Copies a folder of a store into the cache, anew when anything in its listing has changed."""
    fs = filesystems.filesystem(uri)
    listing = fs.find(uri, detail=True)
    if not listing:
        raise ModelError(f"{handle}: nothing is there; a model is {_alternatives()}")
    versions = "\n".join(str(storage.describe_remote(path, info)) for path, info in sorted(listing.items()))
    key = hashlib.sha256(f"{uri}\n{versions}".encode()).hexdigest()[:32]
    return _cached(f"modules/{key}", lambda folder: fs.get(uri + "/", str(folder) + "/", recursive=True))


def _checked(folder: Path, handle: str) -> Path:
    if (folder / "saved_model.pb").exists():
        return folder
    raise ModelError(f"{handle}: not a TF2 SavedModel: there is no saved_model.pb in {folder}")


def _cached(key: str, build: Callable[[Path], object]) -> Path:
    """A folder of the cache, built when it is not there; concurrent runs may build it twice, not badly."""
    target = cache_folder() / key
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
        try:
            build(partial)
            os.rename(partial, target)
        except OSError:
            if not target.exists():  # not another run that was faster
                raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target


def _version(package: str) -> str:
    return importlib.metadata.version(package)
