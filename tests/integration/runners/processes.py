"""Workers and programs in processes of their own, as a cluster has them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
PROGRAM = str(Path(sys.executable).with_name("embed-images"))
WORKER, ENTRY = "apache_beam.runners.worker.sdk_worker", "--semi_persist_dir"  # in their command lines


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
    port = free_port()
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


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


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
