"""What is kept between runs: modules, artifacts, measurements."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path


def cache_folder() -> Path:
    """Where modules and artifacts are kept between runs: EMBED_IMAGES_CACHE_DIR, else the user's cache."""
    if own := os.environ.get("EMBED_IMAGES_CACHE_DIR"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "embed-images"


def cached(key: str, build: Callable[[Path], object]) -> Path:
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


def version_of(package: str) -> str:
    """For the names of what another version of the package might make differently."""
    return importlib.metadata.version(package)


def is_installed(package: str) -> bool:
    try:
        version_of(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
