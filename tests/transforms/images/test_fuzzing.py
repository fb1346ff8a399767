"""The decoder under mutations, in a process of its own, so that a crash is seen, too; `make test-fuzz` does more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MUTATIONS = 2000


def test_mutations_give_pixels_or_an_image_error(tmp_path: Path) -> None:
    progress = tmp_path / "number"
    command = [
        sys.executable,
        "-m",
        "tests.transforms.images.fuzzing",
        f"--count={MUTATIONS}",
        f"--progress={progress}",
    ]
    ended = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    assert ended.returncode == 0, f"number {progress.read_text()}: {ended.stderr[-3000:]}"
    assert f"{MUTATIONS:,} mutations" in ended.stdout
