"""What a process that is killed leaves in the folder of temporary files: nothing of ours."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.graph import UNITS_HERE
from tests.conftest import photo
from transforms.records.uris import unit_of

pytestmark = pytest.mark.whole

PROGRAM = str(Path(sys.executable).with_name("embed-images"))
IMAGES = 400  # some batches of `EncodeExamples`


def open_spools(process: int, folder: Path) -> list[str]:
    """The files in `folder` that a process has open, with a name or without."""
    found = []
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
            size = descriptor.stat().st_size
        except FileNotFoundError:  # closed just now
            continue
        if target.startswith(str(folder)) and size:
            found.append(target)
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc here to tell which files a process has open")
@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_in_the_folder_of_temporary_files(
    signal_number: int, compression: str, tmp_path: Path, tiny_module: str
) -> None:
    """Killed while it has written to a spool; a server that never answers keeps it from finishing."""
    images, scratch = tmp_path / "images", tmp_path / "scratch"
    images.mkdir()
    scratch.mkdir()
    for i in range(IMAGES):
        photo(40, 30, i).save(images / f"{i}.jpg")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        listed = sorted(map(str, images.iterdir()))
        # Units are worked on in the order in which they are met, so one of its own is the last.
        others = {unit_of(uri, UNITS_HERE) for uri in listed}
        never = (f"http://127.0.0.1:{silent.getsockname()[1]}/{i}.jpg" for i in range(10_000))
        last = next(uri for uri in never if unit_of(uri, UNITS_HERE) not in others)
        (tmp_path / "list.txt").write_text("\n".join([*listed, last]))
        options = ["--input", str(tmp_path / "list.txt"), "--output", str(tmp_path / "output"), "--model", tiny_module]
        process = subprocess.Popen(
            [PROGRAM, "run", *options, f"--compression={compression}"],
            env={**os.environ, "TMPDIR": str(scratch)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            staged = ".staging/*/*/model/*"  # before it, the launch has temporary files of its own
            while not list((tmp_path / "output").glob(staged)) or not open_spools(process.pid, scratch):
                assert process.poll() is None
                time.sleep(0.05)
        finally:
            process.send_signal(signal_number)
            process.wait(60)
    assert process.returncode == -signal_number
    # Beam makes a folder for each pipeline, with nothing in it on this runner.
    assert [path for path in scratch.rglob("*") if not path.name.startswith("beam-pipeline-temp")] == []
