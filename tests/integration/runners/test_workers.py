"""The unchanged pipeline on Prism with workers in processes of their own, as a cluster has them, and without one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
import venv
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from pipeline.options.config import make_config
from pipeline.outputs.dataset import load_features
from pipeline.outputs.lease import EXPIRY_SECONDS
from pipeline.outputs.verify import verify_output
from pipeline.runs.run import run
from pipeline.runs.running import RunReport
from tests.conftest import photo
from transforms import loading
from transforms.elements import ImageObject

pytestmark = pytest.mark.prism
ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "run_configs/prism.yaml"
PROGRAM = str(Path(sys.executable).with_name("embed-images"))
COUNT = 1000
SHARD = 1024  # bytes: a few records
PATIENCE = 60  # seconds
WORKER, ENTRY = "apache_beam.runners.worker.sdk_worker", "--semi_persist_dir"  # in their command lines


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


@contextmanager
def workers(kind: str, folder: Path, python: Path = Path(sys.executable), **env: str) -> Iterator[list[str]]:
    """Beam's options for workers of a kind; its pool is there while the block lasts."""
    if kind == "PROCESS":
        boot = os.environ.get("BOOT")
        assert boot, "BOOT names no binary: `make test-prism` builds it and says where it is"
        command = str(ROOT / "run_configs/prism_worker.sh")
        env |= {"PATH": path_with(python), "BOOT": boot, "WORKER_FOLDER": str(folder)}
        try:
            yield ["--environment_type=PROCESS", "--environment_config=" + json.dumps({"command": command, "env": env})]
        finally:
            for process in psutil.process_iter():  # whose parents may have been killed
                with suppress(psutil.Error):
                    if process.environ().get("WORKER_FOLDER") == str(folder):
                        process.kill()
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pool_command = [str(python), "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    env = {**os.environ, **env, "PATH": path_with(python)}
    with (folder / "pool.log").open("w") as log:
        pool = subprocess.Popen(pool_command, env=env, cwd=folder, stdout=log, stderr=log)
    try:
        wait_until(lambda: listens(port))
        yield ["--environment_type=EXTERNAL", f"--environment_config=127.0.0.1:{port}"]
    finally:
        end(psutil.Process(pool.pid))
        pool.wait()


def path_with(python: Path) -> str:
    return f"{python.parent}{os.pathsep}{os.environ['PATH']}"


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def started(sign: str) -> list[psutil.Process]:
    """Living processes that this one has started, and theirs, with a sign in their command lines."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if sign in " ".join(process.cmdline()):
                found.append(process)
    return found


def lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def end(process: psutil.Process) -> None:
    """Ends a process and all that it has started, by their ids."""
    for each in [process, *process.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            each.kill()


def assert_as_here(here: RunReport, output: Path, folder: str) -> None:
    """Every image once, with the local runner's vector byte for byte; and nothing is left behind."""
    result = verify_output(str(output))
    assert result.holds, result.as_text()
    uris, vectors = load_features(folder)
    assert len(uris) == len(set(uris)) == COUNT
    found = dict(zip(uris, vectors, strict=True))
    expected = dict(zip(*load_features(here.folder), strict=True))
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
