"""A disk that is full after some files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pytest

from transforms.stores import storage


@contextmanager
def full_after(files: int) -> Iterator[None]:
    """Uploads after so many fail, as they do on a full disk. A shard is two files: itself and its ledger."""
    upload, finished = storage.upload, []

    def full_later(file: IO[bytes], uri: str) -> None:
        if len(finished) >= files:
            raise OSError(28, "No space left on device")
        finished.append(uri)
        upload(file, uri)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(storage, "upload", full_later)
        yield
