"""What is said of a full disk, as the device that is always full has it."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import pytest

from transforms.stores.spooling import naming

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="Linux alone has this device")
@pytest.mark.parametrize(
    ("path", "remedy"),
    [(None, "free some, or name another folder in TMPDIR"), ("features/part", "free some")],
)
def test_a_full_disk_is_named_with_its_remedy(path: str | None, remedy: str) -> None:
    with pytest.raises(OSError, match=f"; {remedy}: ") as refused, naming(path), FULL.open("wb", buffering=0) as file:
        file.write(b"x")
    assert refused.value.errno == errno.ENOSPC
    assert refused.value.filename == (path or tempfile.gettempdir())
