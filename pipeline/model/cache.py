"""What is kept between runs: modules, artifacts, measurements, in a folder that this user alone writes to."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import ModelError
from pipeline.model.ownership import refuse_others

VARIABLE = "EMBED_IMAGES_CACHE_DIR"
PRIVATE = 0o700
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


def cache_folder() -> Path:
    """Where modules and artifacts are kept between runs: EMBED_IMAGES_CACHE_DIR, else the user's cache.

    Raises:
        ModelError: there is neither.
    """
    if own := os.environ.get(VARIABLE):
        return Path(own)
    users = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if users.startswith("~"):
        raise ModelError(f"this user has no home folder to keep modules in; name a folder in {VARIABLE}")
    return Path(users) / "embed-images"


def private_cache() -> Path:
    """`cache_folder`, made with mode 0700 where it is not there.

    Raises:
        ModelError: it cannot be made, or others can write to it.
    """
    folder = cache_folder()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=PRIVATE, exist_ok=True)
    except OSError as e:
        raise _unusable(folder, e) from e
    remedy = f"name another folder in {VARIABLE} (one that is not there yet is made), or remove this one"
    refuse_others(folder, f"{remedy}, or `chmod -R go-w` it if you know what it holds")
    return folder


def cached(key: str, build: Callable[[Path], object]) -> Path:
    """A folder of the cache, built when it is not there; concurrent runs may build it twice, not badly.

    A build that fails leaves nothing behind.

    Raises:
        ModelError: the cache cannot be written, or others can write to it.
    """
    target = private_cache() / key
    if target.exists():
        return target
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()  # tells a cache that cannot be written before anything is fetched or converted for it
        partial.rmdir()
    except OSError as e:
        raise _unusable(cache_folder(), e) from e
    try:
        build(partial)
        os.rename(partial, target)
    except OSError as e:
        if target.exists():  # another run was faster
            return target
        if e.errno in FULL:
            raise _unusable(cache_folder(), e) from e
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _unusable(folder: Path, error: OSError) -> ModelError:
    reason = error.strerror or type(error).__name__
    return ModelError(f"the cache {folder} cannot be written ({reason}); name a folder that can be in {VARIABLE}")


def version_of(package: str) -> str:
    """For the names of what another version of the package might make differently."""
    return importlib.metadata.version(package)


def is_installed(package: str) -> bool:
    try:
        version_of(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
