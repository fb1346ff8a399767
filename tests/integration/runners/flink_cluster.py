"""A Flink cluster of processes on loopback: a job manager, task managers with a worker pool each, Beam's job server.

    python -m tests.integration.runners.flink_cluster up FOLDER     # and down FOLDER

A worker pool stands beside each task manager, and each asks for its own at `localhost`, as in a pod. On one machine
`localhost` of each is an address of its own, 127.0.0.2 and so on, by the Java virtual machine's file of hosts.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

HOME = "127.0.0.1"
JAVA = "java"
# What Flink's own configuration asks of Java 17.
OPENS = ["java.base/java.lang", "java.base/java.net", "java.base/java.io", "java.base/java.nio", "java.base/sun.nio.ch",
         "java.base/java.lang.reflect", "java.base/java.text", "java.base/java.time", "java.base/java.util",
         "java.base/java.util.concurrent", "java.base/java.util.concurrent.atomic",
         "java.base/java.util.concurrent.locks"]  # fmt: skip
JOB_MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
TASK_MANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
LOG4J = """\
rootLogger.level = INFO
rootLogger.appenderRef.out.ref = out
appender.out.name = out
appender.out.type = Console
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} - %m%n
"""
PATIENCE = 60  # seconds


@dataclass(frozen=True)
class Ports:
    """Where the cluster listens; those of run_configs/flink.yaml by default."""

    rest: int = 8081
    rpc: int = 6123
    pool: int = 50000
    job: int = 8099

    @classmethod
    def free(cls) -> Ports:
        servers = [socket.create_server((HOME, 0)) for _ in range(4)]
        ports = cls(*(server.getsockname()[1] for server in servers))
        for server in servers:
            server.close()
        return ports


@dataclass
class Cluster:
    """Processes of a cluster, by name, and where they write.

    Attributes:
        folder: its logs, temporary files and `cluster.json`, the list of its processes.
        flink: the folder of Flink's jars.
    """

    folder: Path
    flink: Path
    ports: Ports = field(default_factory=Ports)
    slots: int = 1
    processes: dict[str, psutil.Process] = field(default_factory=dict)

    def start(self, task_managers: int) -> None:
        """Starts all but the job server, and waits until every task manager has registered.

        Raises:
            TimeoutError: one did not, or ended.
        """
        for name in ("conf", "logs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "conf/log4j.properties").write_text(LOG4J)
        (self.folder / "conf/config.yaml").write_text(self._common())
        self._java("job-manager", [*self._classpath(), JOB_MANAGER, "--executionMode", "cluster"], HOME)
        for number in range(1, task_managers + 1):
            self.start_pool(number)
            self.start_task_manager(number)
        self._wait(lambda: self.registered() == task_managers)

    def start_pool(self, number: int) -> None:
        scratch = self.scratch(number)
        scratch.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "tests.integration.runners.flink_pool", f"{_address(number)}:{self.ports.pool}"]
        python = str(Path(sys.executable).parent)
        env = {"TMPDIR": str(scratch), "PATH": f"{python}{os.pathsep}{os.environ['PATH']}"}
        self._spawn(f"pool-{number}", command, env)
        self._wait(lambda: listens(_address(number), self.ports.pool))

    def start_task_manager(self, number: int) -> None:
        settings = {
            "taskmanager.host": HOME,
            "taskmanager.bind-host": HOME,
            "taskmanager.resource-id": f"task-manager-{number}",
            "taskmanager.numberOfTaskSlots": self.slots,
            "taskmanager.cpu.cores": self.slots,
            "taskmanager.memory.task.heap.size": "512m",
            "taskmanager.memory.task.off-heap.size": "64m",
            "taskmanager.memory.framework.heap.size": "128m",
            "taskmanager.memory.framework.off-heap.size": "128m",
            "taskmanager.memory.jvm-metaspace.size": "256m",
            "taskmanager.memory.jvm-overhead.min": "192m",
            "taskmanager.memory.jvm-overhead.max": "192m",
            "taskmanager.memory.managed.size": "256m",
            # One slot does with Flink's default, 64 MiB of a small task manager; two want more.
            "taskmanager.memory.network.min": "256m",
            "taskmanager.memory.network.max": "256m",
        }
        given = [word for name, value in settings.items() for word in ("-D", f"{name}={value}")]
        self._java(f"task-manager-{number}", [*self._classpath(), TASK_MANAGER, *given], _address(number), "-Xmx640m")

    def start_job_server(self, jar: Path) -> None:
        """Starts Beam's, without the expansion service, which listens at all addresses; and waits until it answers."""
        artifacts = self.folder / "artifacts"
        given = [f"--flink-master={HOME}:{self.ports.rest}", f"--job-port={self.ports.job}", "--artifact-port=0"]
        given += ["--expansion-port=-1", f"--artifacts-dir={artifacts}"]
        self._java("job-server", ["-jar", str(jar), *given], HOME, "-Xmx512m", configured=False)
        self._wait(lambda: listens(HOME, self.ports.job))

    def scratch(self, number: int) -> Path:
        """Where the workers of a task manager have their temporary files."""
        return self.folder / f"scratch-{number}"

    def log(self, name: str) -> str:
        return (self.folder / "logs" / f"{name}.log").read_text(errors="replace")

    def workers(self, number: int) -> list[psutil.Process]:
        """The living Python workers of a task manager."""
        with suppress(psutil.Error):
            return [child for child in self.processes[f"pool-{number}"].children() if lives(child)]
        return []

    def registered(self) -> int:
        with suppress(OSError):
            return len(self.rest("taskmanagers")["taskmanagers"])
        return 0

    def rest(self, path: str, method: str = "GET") -> Any:
        """What Flink's REST API answers."""
        request = urllib.request.Request(f"http://{HOME}:{self.ports.rest}/{path}", method=method)  # noqa: S310
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return json.loads(answer.read() or "{}")

    def kill(self, name: str) -> None:
        """SIGKILL to one of its processes alone."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """Ends its processes and all that these have started, by their ids."""
        ending = [*self.processes.values()]
        for process in list(ending):
            with suppress(psutil.NoSuchProcess):
                ending += process.children(recursive=True)
        for process in ending:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(ending, timeout=PATIENCE)
        self.processes.clear()
        self._save()

    def _save(self) -> None:
        known = {name: [process.pid, process.create_time()] for name, process in self.processes.items()}
        (self.folder / "cluster.json").write_text(json.dumps(known))

    def load(self) -> None:
        """Finds the processes that another process has started; one that has ended is none, whoever has its id now."""
        with suppress(FileNotFoundError):
            for name, (pid, created) in json.loads((self.folder / "cluster.json").read_text()).items():
                with suppress(psutil.NoSuchProcess):
                    process = psutil.Process(pid)
                    if process.create_time() == created:
                        self.processes[name] = process

    def _common(self) -> str:
        settings = {
            "jobmanager.rpc.address": HOME,
            "jobmanager.rpc.port": self.ports.rpc,
            "jobmanager.bind-host": HOME,
            "jobmanager.memory.heap.size": "512m",
            "rest.address": HOME,
            "rest.bind-address": HOME,
            "rest.port": self.ports.rest,
            "parallelism.default": 1,
            "restart-strategy.type": "none",
            "heartbeat.interval": 2000,
            "io.tmp.dirs": self.folder / "flink",
            "taskmanager.network.bind-policy": "ip",
        }
        return "".join(f"{name}: {value}\n" for name, value in settings.items())

    def _classpath(self) -> list[str]:
        return ["-cp", f"{self.flink}/*"]

    def _java(self, name: str, arguments: Sequence[str], localhost: str, *flags: str, configured: bool = True) -> None:
        scratch, hosts = self.folder / "flink" / name, self.folder / "conf" / f"{name}.hosts"
        scratch.mkdir(parents=True, exist_ok=True)
        hosts.write_text(f"{localhost} localhost\n{HOME} {socket.gethostname()}\n")
        options = [f"-Djava.io.tmpdir={scratch}", f"-Djdk.net.hosts.file={hosts}", *flags]
        options += [f"--add-opens={package}=ALL-UNNAMED" for package in OPENS]
        if configured:
            options.append(f"-Dlog4j.configurationFile={self.folder / 'conf/log4j.properties'}")
            arguments = [*arguments, "--configDir", str(self.folder / "conf")]
        self._spawn(name, [JAVA, *options, *arguments], {})

    def _spawn(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        with (self.folder / "logs" / f"{name}.log").open("a") as log:
            started = subprocess.Popen(
                command, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self.processes[name] = psutil.Process(started.pid)
        self._save()

    def _wait(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            ended = [name for name, process in self.processes.items() if not lives(process)]
            if ended or time.monotonic() > deadline:
                raise TimeoutError(f"{', '.join(ended) or 'the cluster'} did not start: see {self.folder / 'logs'}")
            time.sleep(0.1)


def _address(number: int) -> str:
    return f"127.0.0.{number + 1}"


def listens(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False


def lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["up", "down"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--flink", type=Path, required=True)
    parser.add_argument("--job_server", type=Path)
    parser.add_argument("--task_managers", type=int, default=2)
    parser.add_argument("--slots", type=int, default=1)
    given = parser.parse_args()
    cluster = Cluster(given.folder.absolute(), given.flink, slots=given.slots)
    cluster.load()
    cluster.stop() if given.folder.exists() else None
    if given.command == "down":
        shutil.rmtree(given.folder, ignore_errors=True)
        return
    cluster.start(given.task_managers)
    if given.job_server:
        cluster.start_job_server(given.job_server)


if __name__ == "__main__":
    main()
