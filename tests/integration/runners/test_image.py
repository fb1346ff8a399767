"""The image of run_configs/dataflow/Dockerfile, as a folder: what starts in it gives the vectors of the local runner.

Run by `make test-dockerfile`; `tests/run_configs/image_folder.py` says what of the image is there and what is not.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.outputs.dataset import read_manifest
from pipeline.runs.running import RunReport
from tests.conftest import photo
from tests.integration.runners import test_workers
from tests.integration.runners.processes import listens
from tests.integration.runners.test_workers import assert_as_here, embed
from tests.run_configs.image_folder import Image, load
from tests.waiting import wait_until

pytestmark = pytest.mark.image
many, here = test_workers.many, test_workers.here
CRONJOB = "/opt/embed-images/run_configs/schedulers/nightly.sh"
POOL_PORT = 50000  # of Beam's entry program, which has no option for it


@pytest.fixture(scope="module")
def image() -> Image:
    folder = os.environ.get("IMAGE")
    assert folder, "IMAGE names no folder: `make test-dockerfile` makes it"
    return load(Path(folder))


@pytest.fixture
def shared(many: Path, tmp_path: Path, tiny_module: str) -> Iterator[list[str]]:
    """What is mounted into the image: folders that every user may write to, as this process makes them meanwhile."""
    folders = [str(many), str(tmp_path), tiny_module]
    for folder in folders:
        Path(folder).chmod(0o777)
    before = os.umask(0)
    yield folders
    os.umask(before)


def test_the_entry_point_starts_a_worker(
    many: Path,
    here: RunReport,
    image: Image,
    shared: list[str],
    tmp_path: Path,
    tiny_module: str,
    location: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As root, since Dataflow starts it so."""
    command = shlex.join(image.command(image.entry_point, user="root", binds=shared))
    script = tmp_path / "worker.sh"
    # Prism 2.77 puts the worker's id in quotes: run_configs/prism_worker.sh.
    unquote = 'for argument; do shift; set -- "$@" "$(printf %s "$argument" | tr -d "\'")"; done'
    script.write_text(f'#!/bin/sh\n{unquote}\nexec {command} "$@"\n')
    script.chmod(0o755)
    process = ["--environment_type=PROCESS", "--environment_config=" + json.dumps({"command": str(script)})]
    there, loaded = embed(many, tmp_path / "output", tiny_module, [location, *process], monkeypatch)
    assert loaded == 0
    assert there.manifest["counts"] == here.manifest["counts"]
    assert_as_here(here, tmp_path / "output", there.folder)


def test_the_entry_point_is_a_worker_pool(
    many: Path,
    here: RunReport,
    image: Image,
    shared: list[str],
    tmp_path: Path,
    tiny_module: str,
    location: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the sidecar of run_configs/flink/, and as the image's user."""
    command = image.command([*image.entry_point, "--worker_pool"], binds=shared)
    with (tmp_path / "pool.log").open("w") as log:
        pool = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_until(lambda: listens(POOL_PORT) or pool.poll() is not None)
        assert pool.poll() is None, (tmp_path / "pool.log").read_text()
        external = ["--environment_type=EXTERNAL", f"--environment_config=127.0.0.1:{POOL_PORT}"]
        there, loaded = embed(many, tmp_path / "output", tiny_module, [location, *external], monkeypatch)
    finally:
        pool.kill()
        pool.wait()
        wait_until(lambda: not listens(POOL_PORT))  # nothing of it is left
    assert loaded == 0
    assert_as_here(here, tmp_path / "output", there.folder)
    assert {path.stat().st_uid for path in Path(there.folder).iterdir()} == {int(image.user)}


def test_a_night_runs_in_it(
    many: Path, here: RunReport, image: Image, shared: list[str], tmp_path: Path, tiny_module: str
) -> None:
    """The command of run_configs/schedulers/cronjob.yaml, as the image's user."""
    output = tmp_path / "output"
    names = {"INPUT": many, "OUTPUT": output, "NIGHT": "2026-01-01"}
    night = replace(image, environment=image.environment | {f"EMBED_IMAGES_{k}": str(v) for k, v in names.items()})
    command = night.command(["/bin/sh", CRONJOB, "--model", tiny_module, "--engine", "litert"], binds=shared)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert_as_here(here, output, str(output / "runs/night-2026-01-01"))


def test_it_reads_what_its_extras_are_for(image: Image, shared: list[str], tmp_path: Path, tiny_module: str) -> None:
    """Of `[heif]` and `[jxl]`."""
    import imagecodecs
    import pillow_heif

    pixels = np.asarray(photo(40, 30, 1))
    pillow_heif.from_pillow(photo(40, 30, 1)).save(tmp_path / "a.heic")
    (tmp_path / "b.jxl").write_bytes(imagecodecs.jpegxl_encode(pixels))
    options = [f"--input={tmp_path}/*.*", f"--output={tmp_path / 'output'}", f"--model={tiny_module}", "--run_id=r"]
    command = image.command(["embed-images", "run", *options], binds=shared)
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert read_manifest(str(tmp_path / "output/runs/r"))["counts"]["embedded"] == 2


def test_the_template_s_file_takes_the_options_of_a_run(image: Image) -> None:
    """As Google's launcher calls it, which is not in this folder."""
    command = image.command(["python", image.environment["FLEX_TEMPLATE_PYTHON_PY_FILE"], "--help"], user="root")
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--no_wait" in done.stdout
