"""From a model handle to a SavedModel folder: of this machine, of a store, of a hub, or builtin."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import ModelError
from pipeline.model.archives import Allowance, ArchiveError, unpack
from pipeline.model.cache import private_cache, version_of
from pipeline.model.hub import TFHUB_CACHE, HubError, hub_module, is_hub_url
from pipeline.model.kinds import ARCHIVES, SAVED_MODEL, beginning_of, described, missing_in
from pipeline.model.sealing import sealed
from pipeline.model.standin import export_standin
from transforms.stores import filesystems, storage

STANDIN_HANDLE = "builtin:mobilenet_v2_130_224"
STANDIN_VERSION = 1


def resolve(handle: str) -> Path:
    """The SavedModel folder of a handle, fetched when it is not local.

    Raises:
        ModelError: it cannot be had; says what to do.
    """
    if handle.startswith("builtin:"):
        if handle != STANDIN_HANDLE:
            raise ModelError(f"{handle}: the only builtin module is {STANDIN_HANDLE}")
        made_of = {"version": STANDIN_VERSION, "tensorflow": version_of("tensorflow")}
        return sealed("standin", made_of, export_standin, _itself)
    if is_hub_url(handle):
        return _checked(_of_archive(_from_hub(handle)), handle)
    uri = storage.normalize(handle)
    if uri.endswith(ARCHIVES):
        return _checked(_of_archive(_extracted(handle, uri)), handle)
    if not filesystems.is_local(uri):
        return _checked(_downloaded(handle, uri), handle)
    if os.path.isfile(uri):
        told = described(uri, beginning_of(Path(uri))) or f"it is a file; a model is {_alternatives()}"
        raise ModelError(f"{handle}: {told}")
    if not os.path.isdir(uri):
        raise ModelError(f"{handle}: no such folder; a model is {_alternatives()}")
    return _checked(Path(uri), handle)


def _itself(folder: Path) -> Path:
    return folder


def _checked(folder: Path, handle: str) -> Path:
    if missing := missing_in(folder):
        raise ModelError(f"{handle}: {missing}")
    return folder


def _of_archive(folder: Path) -> Path:
    """Where the module is in what was unpacked: at the top, or in the one folder that is there."""
    inside = list(folder.iterdir())
    if len(inside) == 1 and (inside[0] / SAVED_MODEL).is_file():
        return inside[0]
    return folder


def _from_hub(handle: str) -> Path:
    try:
        return hub_module(handle)
    except HubError as e:
        cache = os.environ.get(TFHUB_CACHE) or "unset"
        raise ModelError(
            f"{handle}: {e}. A module that tensorflow_hub has kept in {TFHUB_CACHE} ({cache}) is used without a "
            f"network; else give --model {_alternatives()}"
        ) from e


def _alternatives() -> str:
    return f"a SavedModel folder or .tar.gz, local or in a bucket, or {STANDIN_HANDLE} to try without weights"


def _extracted(handle: str, uri: str) -> Path:
    with _local_file(handle, uri) as archive:
        with archive.open("rb") as packed:
            digest = hashlib.file_digest(packed, "sha256").hexdigest()

        def build(folder: Path) -> None:
            with archive.open("rb") as packed:
                unpack(packed, folder)

        try:
            return sealed("archives", {"sha256": digest}, build, _itself)
        except ArchiveError as e:
            raise ModelError(f"{handle}: {described('', beginning_of(archive)) or e}") from None


@contextmanager
def _local_file(handle: str, uri: str) -> Iterator[Path]:
    """The file itself, or a copy of a store's object for as long as it is needed."""
    try:
        if filesystems.is_local(uri):
            if not os.path.isfile(uri):
                raise FileNotFoundError(uri)
            yield Path(uri)
            return
        with tempfile.TemporaryDirectory(dir=private_cache(), prefix=".archive-") as folder:
            copy = Path(folder, "archive")
            filesystems.filesystem(uri).get_file(uri, str(copy))
            yield copy
    except FileNotFoundError:
        raise ModelError(f"{handle}: no such archive; a model is {_alternatives()}") from None


def _downloaded(handle: str, uri: str) -> Path:
    """Copies a folder of a store into the cache, anew when anything in its listing has changed."""
    fs = filesystems.filesystem(uri)
    listing = {path: info for path, info in fs.find(uri, detail=True).items() if info["type"] == "file"}
    root = fs._strip_protocol(uri).rstrip("/")
    if root in listing or not listing:
        told = described(uri) or ("it is one object" if listing else "nothing is there")
        raise ModelError(f"{handle}: {told}; a model is {_alternatives()}")
    versions = [str(storage.describe_remote(path, info)) for path, info in sorted(listing.items())]

    def build(folder: Path) -> None:
        allowance = Allowance()
        for path, info in listing.items():
            target = folder / allowance.admit(path.removeprefix(root + "/"), info["size"] or 0)
            target.parent.mkdir(parents=True, exist_ok=True)
            fs.get_file(path, str(target))

    try:
        return sealed("stores", {"uri": uri, "versions": versions}, build, _itself)
    except ArchiveError as e:
        raise ModelError(f"{handle}: {e}") from None
