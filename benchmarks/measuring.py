"""What a command costs, seen from outside: its seconds, those of cores, its processes' memory; and the machine."""

from __future__ import annotations

import os
import platform
import resource
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

TIMEOUT = 4 * 3600
SAMPLE_SECONDS = 0.1
SAMPLE_SHARE = 0.02  # of one core, at most, goes into looking at memory


class Cost(NamedTuple):
    """Attributes:
    seconds: from start to end.
    core_seconds: of processors, user and system, of all processes; others that share the machine add little to it.
    peak_mb: of all processes together.
    last_line: of stdout.
    """

    seconds: float
    core_seconds: float
    peak_mb: float
    last_line: str


def run_command(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> Cost:
    """Runs a command in a folder.

    Raises:
        RuntimeError: it failed; ends with what it said.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as log:
        started, before = time.monotonic(), _core_seconds()
        process = subprocess.Popen(command, env=environment, stdout=out, stderr=log, cwd=folder)
        try:
            with peak_memory(process.pid) as sums:
                code = process.wait(TIMEOUT)
                seconds = time.monotonic() - started
        finally:
            process.kill()
        out.seek(0)
        log.seek(0)
        if code:
            raise RuntimeError(f"{' '.join(command)} ended with {code}:\n{log.read().decode()[-3000:]}")
        return Cost(seconds, _core_seconds() - before, max(sums) / 1e6, out.read().decode().splitlines()[-1])


def _core_seconds() -> float:
    """Of children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@contextmanager
def peak_memory(pid: int) -> Iterator[list[int]]:
    """Bytes of a process and all below it, a value a sample, until the block ends."""
    sums = [0]
    ended = threading.Event()

    def watch() -> None:
        pause = SAMPLE_SECONDS
        while not ended.wait(pause):
            started = time.thread_time()
            sums.append(memory_of_tree(pid))
            pause = max(SAMPLE_SECONDS, (time.thread_time() - started) / SAMPLE_SHARE)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield sums
    finally:
        ended.set()
        watcher.join()


def memory_of_tree(pid: int) -> int:
    """Proportional set sizes, in which memory that several processes share is counted once."""
    total = 0
    try:
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:  # it has ended
            continue
    return total


def machine() -> dict[str, Any]:
    """What a result has to be read with."""
    cpu = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(": ")[2] for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        cpu = next(iter(names), cpu)
    memory = round(psutil.virtual_memory().total / 1e9)
    return {"cpu": cpu, "cores": os.cpu_count(), "memory_gb": memory, "python": platform.python_version()}
