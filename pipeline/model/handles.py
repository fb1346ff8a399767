"""From a model handle to a SavedModel folder, and its digest."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import urllib.error
import zlib
from pathlib import Path

from pipeline.errors import ModelError
from pipeline.model.cache import cached, version_of
from pipeline.model.standin import export_standin
from transforms.stores import filesystems, storage

STANDIN_HANDLE = "builtin:mobilenet_v2_130_224"
STANDIN_VERSION = 1
BROKEN_ARCHIVE = (tarfile.TarError, EOFError, OSError, zlib.error)


def resolve(handle: str) -> Path:
    """The SavedModel folder of a handle, fetched when it is not local.

    Raises:
        ModelError: it cannot be had; says what to do.
    """
    if handle.startswith("builtin:"):
        if handle != STANDIN_HANDLE:
            raise ModelError(f"{handle}: the only builtin module is {STANDIN_HANDLE}")
        return cached(f"standin-v{STANDIN_VERSION}-tf{version_of('tensorflow')}", export_standin)
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
        return cached(f"modules/{hashlib.sha256(data).hexdigest()[:32]}", build)
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
    return cached(f"modules/{key}", lambda folder: fs.get(uri + "/", str(folder) + "/", recursive=True))


def _checked(folder: Path, handle: str) -> Path:
    if (folder / "saved_model.pb").exists():
        return folder
    raise ModelError(f"{handle}: not a TF2 SavedModel: there is no saved_model.pb in {folder}")
