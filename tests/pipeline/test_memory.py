"""Memory is bounded by `--prefetch_bytes`, whatever the size of the objects."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import photo

pytestmark = pytest.mark.whole

PROGRAM = """
import atexit
from pipeline.cli import program
atexit.register(lambda: print(open("/proc/self/status").read()))
program()
"""
OBJECT_BYTES = 64 << 20
PREFETCH_BYTES = 128 << 20
OBJECTS = 16
# Beside the budget: allocator and page-aligned leftovers, and what two runs differ by.
SLACK = 48 << 20


def test_objects_of_64_mib_stay_within_prefetch_bytes(tiny_module: str, tmp_path: Path) -> None:
    """The same images, once as they are and once filled up to 64 MiB: 1 GiB, of which 128 MiB may be held at once."""
    peaks = {}
    for name, size in (("warm", None), ("small", None), ("large", OBJECT_BYTES)):
        folder = tmp_path / name
        folder.mkdir()
        for number in range(OBJECTS):
            image = folder / f"{number}.jpg"
            photo(320, 240, number).save(image, quality=90)
            if size:
                os.truncate(image, size)  # decoders stop at the end of the image; the file has holes, not blocks
        peaks[name] = peak_bytes_of_run(folder, tmp_path / f"{name}-output", tiny_module)
    assert peaks["large"] - peaks["small"] < PREFETCH_BYTES + SLACK, peaks
    # And the objects were held whole, so that the comparison says something.
    assert peaks["large"] - peaks["small"] > OBJECT_BYTES // 2, peaks


def peak_bytes_of_run(images: Path, output: Path, module: str) -> int:
    """Largest resident set of `embed-images run` in a process of its own."""
    options = [f"--input={images}", f"--output={output}", f"--model={module}", f"--prefetch_bytes={PREFETCH_BYTES}"]
    command = [sys.executable, "-c", PROGRAM, "run", *options]
    said = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    found = re.search(r"VmHWM:\s+(\d+) kB", said)
    assert found
    return int(found[1]) * 1024
