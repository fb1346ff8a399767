"""What several tests of stages begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import photo
from transforms.elements import ImageObject
from transforms.stores import storage


@pytest.fixture
def many(tmp_path: Path) -> list[ImageObject]:
    for i in range(40):
        photo(30 + i, 20, i).save(tmp_path / f"{i:02}.png")
    return [storage.describe(str(tmp_path / f"{i:02}.png")) for i in range(40)]
