"""The unchanged pipeline on Prism with workers in processes of their own, as a cluster has them, and without one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pipeline.options.config import make_config
from pipeline.outputs.verify import verify_output
from pipeline.runs.run import run
from pipeline.runs.running import RunReport
from tests.conftest import photo
from tests.integration.runners.processes import ENTRY, PROGRAM, ROOT, WORKER, end, lives, started, workers
from tests.reading import run_vectors
from tests.waiting import PATIENCE, wait_until
from transforms import loading
from transforms.elements import ImageObject
from transforms.records.leases import EXPIRY_SECONDS

pytestmark = pytest.mark.prism
CONFIG = ROOT / "run_configs/prism.yaml"
COUNT = 1000
SHARD = 1024  # bytes: a few records


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("many")
    for number in range(COUNT):
        photo(40 + number % 7, 30, number).save(folder / f"{number:03}.jpg", quality=90)
    (folder / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def here(many: Path, tmp_path_factory: pytest.TempPathFactory, tiny_module: str) -> RunReport:
    """The same images by the local runner."""
    output = str(tmp_path_factory.mktemp("here"))
    report = run(make_config({"input": str(many), "output": output, "model": tiny_module}, []))
    assert report is not None
    return report


def assert_as_here(here: RunReport, output: Path, folder: str) -> None:
    """Every image once, with the local runner's vector byte for byte; and nothing is left behind."""
    result = verify_output(str(output))
    assert result.holds, result.as_text()
    uris, vectors = run_vectors(folder)
    assert len(uris) == len(set(uris)) == COUNT
    found = dict(zip(uris, vectors, strict=True))
    expected = dict(zip(*run_vectors(here.folder), strict=True))
    assert expected.keys() == found.keys()
    assert all(np.array_equal(expected[uri], found[uri]) for uri in expected)
    assert not (output / ".staging").exists()


def embed(
    many: Path, output: Path, module: str, beam_args: list[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[RunReport, int]:
    """A run, and how many of its images this process has loaded: others have the DoFn as it is, not as patched here."""
    loaded: list[str] = []
    process = loading._Load.process

    def noted(self: loading._Load, element: ImageObject) -> Iterator[Any]:
        loaded.append(element.uri)
        return process(self, element)

    options = {"input": str(many), "output": str(output), "model": module, "config": str(CONFIG)}
    with monkeypatch.context() as patch:
        patch.setattr(loading._Load, "process", noted)
        report = run(make_config(options, beam_args))
    assert report is not None
    return report, len(loaded)


def test_workers_of_the_run_config_are_threads_of_the_launcher(
    many: Path, tmp_path: Path, tiny_module: str, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the next tests would notice a launcher that does the work itself."""
    _, loaded = embed(many, tmp_path / "output", tiny_module, [location], monkeypatch)
    assert loaded == COUNT + 1


def test_a_worker_pool_gives_the_vectors_of_the_local_runner(
    many: Path, here: RunReport, tmp_path: Path, tiny_module: str, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with workers("EXTERNAL", tmp_path) as beam_args:
        there, loaded = embed(many, tmp_path / "output", tiny_module, [location, *beam_args], monkeypatch)
    assert loaded == 0
    assert there.manifest["counts"] == here.manifest["counts"]
    assert_as_here(here, tmp_path / "output", there.folder)
    assert "Starting worker with command" in (tmp_path / "pool.log").read_text()


def test_a_worker_installs_the_package_that_the_launcher_staged(
    many: Path, here: RunReport, tmp_path: Path, tiny_module: str, location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In an environment that has what the package needs but not the package, as an image of Beam's may be."""
    source, environment, scratch = tmp_path / "source", tmp_path / "environment", tmp_path / "scratch"
    for folder in ("pipeline", "transforms"):
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, source)
    scratch.mkdir()
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    # In a folder that is named like this no .pth files are read, and so no editable installation is found.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    python = environment / "bin/python"
    assert imported(python, scratch) == ""

    with workers("PROCESS", scratch, python, PIP_NO_INDEX="1") as beam_args:
        beam_args = [location, *beam_args, f"--setup_file={source / 'setup.py'}"]
        there, loaded = embed(many, tmp_path / "output", tiny_module, beam_args, monkeypatch)
    assert loaded == 0
    assert there.manifest["counts"] == here.manifest["counts"]
    assert_as_here(here, tmp_path / "output", there.folder)
    (installed,) = scratch.glob("venv/lib/python*/site-packages/transforms/__init__.py")
    assert imported(scratch / "venv/bin/python", scratch) == str(installed)
    assert imported(python, scratch) == ""  # what a machine's own environment has stays as it was


def imported(python: Path, folder: Path) -> str:
    """The file that a Python takes this package from; empty when it has Beam and not the package."""
    script = "import apache_beam, importlib.util as u; print(getattr(u.find_spec('transforms'), 'origin', ''))"
    done = subprocess.run([str(python), "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("kind", "victim"), [("EXTERNAL", WORKER), ("PROCESS", ENTRY)], ids=["a pool's worker", "the entry program"]
)
def test_a_worker_that_is_killed_loses_and_doubles_nothing(
    kind: str, victim: str, many: Path, here: RunReport, tmp_path: Path, tiny_module: str, location: str
) -> None:
    """Its run fails, or waits for ever and is killed; the same command goes on from the finished shards."""
    output, log = tmp_path / "output", tmp_path / "log"
    options = [f"--input={many}", f"--output={output}", f"--model={tiny_module}", f"--shard_size={SHARD}"]
    command = [PROGRAM, "run", "--run_id=r", f"--config={CONFIG}", *options, location]

    def finished_shards() -> int:
        return len(list(output.glob(".staging/r/*/features-*.ledger")))

    with workers(kind, tmp_path) as beam_args:
        command += beam_args
        with log.open("w") as file:
            launcher = subprocess.Popen(command, stdout=file, stderr=file)
        try:
            wait_until(lambda: finished_shards() >= 2 or launcher.poll() is not None)
            assert launcher.poll() is None, log.read_text()
            (worker,), (killed,) = started(WORKER), started(victim)
            killed.kill()
            if victim == WORKER:
                assert launcher.wait(PATIENCE) == 1
                assert "SDK worker disconnected" in log.read_text()
            else:  # Prism lets the worker go, and waits
                wait_until(lambda: not lives(worker))
        finally:
            if launcher.poll() is None:
                end(psutil.Process(launcher.pid))
                launcher.wait()
        kept = finished_shards()
        assert 2 <= kept < COUNT
        assert not (output / "runs").exists()

        for lease in output.glob(".staging/r/lease-*.json"):  # as if its time were over
            content = json.loads(lease.read_text())
            lease.write_text(json.dumps({**content, "renewed": content["renewed"] - EXPIRY_SECONDS}))
        again = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert again.returncode == 0, again.stderr
    assert f"{kept} finished shards of an earlier attempt are taken over" in again.stdout + again.stderr
    assert_as_here(here, output, str(output / "runs/r"))
