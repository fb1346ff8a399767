"""A store for modules: fsspec's, within one process, which no user can name."""

from __future__ import annotations

import pytest

from transforms.stores import filesystems


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has `memory://` read; objects stay for the session."""
    monkeypatch.setattr(filesystems, "SCHEMES", filesystems.SCHEMES | {"memory"})
