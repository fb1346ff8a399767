"""A Flink cluster of processes on loopback: a job manager, task managers with a worker pool each, Beam's job server.

A worker pool stands beside each task manager, which asks for workers at `localhost`, as in a pod. On one machine the
Java virtual machine of each has a file of hosts, by which `localhost` is an address of its own: 127.0.0.2 and so on.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from tests.integration.runners.processes import ROOT, free_port, lives, path_with
from tests.waiting import PATIENCE

HOME = "127.0.0.1"
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


@dataclass(frozen=True)
class Ports:
    """Where the cluster listens; those of run_configs/flink.yaml by default."""

    rest: int = 8081
    rpc: int = 6123
    pool: int = 50000
    job: int = 8099

    @classmethod
    def free(cls) -> Ports:
        return cls(*(free_port() for _ in range(4)))


@dataclass
class Cluster:
    """Processes of a cluster, by name, and where they write.

    Attributes:
        folder: its logs, temporary files and `cluster.json`, the list of its processes.
        flink: the folder of Flink's jars.
        slots: of each task manager.
    """

    folder: Path
    flink: Path
    ports: Ports = field(default_factory=Ports)
    slots: int = 1
    processes: dict[str, psutil.Process] = field(default_factory=dict)

    def start(self, task_managers: int) -> None:
        """Starts all but the job server, and waits until every task manager has registered.

        Raises:
            TimeoutError: one did not, or a process has ended.
        """
        for name in ("conf", "logs"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "conf/log4j.properties").write_text(LOG4J)
        (self.folder / "conf/config.yaml").write_text(self._settings())
        self._start_flink("job-manager", HOME, JOB_MANAGER, "--executionMode", "cluster")
        for number in range(1, task_managers + 1):
            self.start_task_manager(number)
            self.start_pool(number)
        self._wait(lambda: self.registered() == task_managers)

    def start_pool(self, number: int) -> None:
        scratch = self.scratch(number)
        scratch.mkdir(parents=True, exist_ok=True)
        address = _address(number)
        command = [sys.executable, "-m", "tests.integration.runners.flink_pool", f"{address}:{self.ports.pool}"]
        self._spawn(f"pool-{number}", command, {"TMPDIR": str(scratch), "PATH": path_with(Path(sys.executable))})
        self._wait(lambda: _answers(address, self.ports.pool))

    def start_task_manager(self, number: int) -> None:
        settings = {
            "taskmanager.host": HOME,
            "taskmanager.bind-host": HOME,
            "taskmanager.resource-id": f"task-manager-{number}",
            "taskmanager.numberOfTaskSlots": self.slots,
            "taskmanager.cpu.cores": self.slots,
            # Flink's scripts calculate these from one size, and its jars do not.
            "taskmanager.memory.task.heap.size": "512m",
            "taskmanager.memory.task.off-heap.size": "64m",
            "taskmanager.memory.framework.heap.size": "128m",
            "taskmanager.memory.framework.off-heap.size": "128m",
            "taskmanager.memory.managed.size": "256m",
            "taskmanager.memory.network.min": "256m",
            "taskmanager.memory.network.max": "256m",
            "taskmanager.memory.jvm-metaspace.size": "256m",
            "taskmanager.memory.jvm-overhead.min": "192m",
            "taskmanager.memory.jvm-overhead.max": "192m",
        }
        given = [word for name, value in settings.items() for word in ("-D", f"{name}={value}")]
        self._start_flink(f"task-manager-{number}", _address(number), TASK_MANAGER, *given)

    def start_job_server(self, jar: Path) -> None:
        """Starts Beam's, and waits until it answers; its expansion service is not wanted."""
        given = [f"--flink-master={HOME}:{self.ports.rest}", f"--job-port={self.ports.job}", "--artifact-port=0"]
        given += ["--expansion-port=-1", f"--artifacts-dir={self.folder / 'artifacts'}"]
        self._start_java("job-server", HOME, "-jar", str(jar), *given)
        self._wait(lambda: _answers(HOME, self.ports.job))

    def kill(self, name: str) -> None:
        """SIGKILL to one of its processes alone."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()
        self._save()

    def stop(self) -> None:
        """Ends its processes and all that these have started, by their ids."""
        started = [*self.processes.values()]
        for process in self.processes.values():
            with suppress(psutil.NoSuchProcess):
                started += process.children(recursive=True)
        for process in started:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        _, left = psutil.wait_procs(started, timeout=PATIENCE)
        if left:
            raise TimeoutError(f"processes {[process.pid for process in left]} did not end")
        self.processes.clear()
        (self.folder / "cluster.json").unlink(missing_ok=True)

    def load(self) -> None:
        """Finds what another process has started; what has ended is not there, whatever process has its id now."""
        with suppress(FileNotFoundError):
            for name, (pid, created) in json.loads((self.folder / "cluster.json").read_text()).items():
                with suppress(psutil.NoSuchProcess):
                    process = psutil.Process(pid)
                    if process.create_time() == created:
                        self.processes[name] = process

    def workers(self, number: int) -> list[psutil.Process]:
        """The living Python workers of a task manager."""
        with suppress(psutil.Error):
            return [child for child in self.processes[f"pool-{number}"].children() if lives(child)]
        return []

    def scratch(self, number: int) -> Path:
        """Where the workers of a task manager have their temporary files."""
        return self.folder / f"scratch-{number}"

    def log(self, name: str) -> str:
        return (self.folder / "logs" / f"{name}.log").read_text(errors="replace")

    def registered(self) -> int:
        """Task managers that the job manager knows."""
        with suppress(OSError):
            return int(self.ask("overview")["taskmanagers"])
        return 0

    def ask(self, path: str, method: str = "GET") -> Any:
        """What Flink's REST API answers."""
        connection = http.client.HTTPConnection(HOME, self.ports.rest, timeout=10)
        try:
            connection.request(method, f"/{path}")
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= 400:
            raise OSError(f"{path}: {answer.status} {answer.reason}")
        return json.loads(content or "{}")

    def _settings(self) -> str:
        settings = {
            "jobmanager.rpc.address": HOME,
            "jobmanager.rpc.port": self.ports.rpc,
            "jobmanager.bind-host": HOME,
            "jobmanager.memory.heap.size": "512m",
            "rest.address": HOME,
            "rest.bind-address": HOME,
            "rest.port": self.ports.rest,
            "restart-strategy.type": "none",
            "heartbeat.interval": 2000,  # milliseconds: a dead task manager is noticed the sooner
            "io.tmp.dirs": self.folder / "flink",
            "taskmanager.network.bind-policy": "ip",
        }
        return "".join(f"{name}: {value}\n" for name, value in settings.items())

    def _start_flink(self, name: str, localhost: str, *arguments: str) -> None:
        flags = [f"-Dlog4j.configurationFile={self.folder / 'conf/log4j.properties'}", "-cp", f"{self.flink}/*"]
        self._start_java(name, localhost, *flags, *arguments, "--configDir", str(self.folder / "conf"))

    def _start_java(self, name: str, localhost: str, *arguments: str) -> None:
        scratch, hosts = self.folder / "flink" / name, self.folder / "conf" / f"{name}.hosts"
        scratch.mkdir(parents=True, exist_ok=True)
        hosts.write_text(f"{localhost} localhost\n{HOME} {socket.gethostname()}\n")
        options = ["-Xmx640m", f"-Djava.io.tmpdir={scratch}", f"-Djdk.net.hosts.file={hosts}"]
        options += [f"--add-opens={package}=ALL-UNNAMED" for package in OPENS]
        self._spawn(name, ["java", *options, *arguments], {})

    def _spawn(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> None:
        with (self.folder / "logs" / f"{name}.log").open("a") as log:
            # A session of its own: Ctrl-C in the terminal of a run is not for the cluster.
            self.processes[name] = psutil.Popen(
                command, cwd=ROOT, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._save()

    def _save(self) -> None:
        known = {name: [process.pid, process.create_time()] for name, process in self.processes.items()}
        (self.folder / "cluster.json").write_text(json.dumps(known))

    def _wait(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            ended = [name for name, process in self.processes.items() if not lives(process)]
            if ended or time.monotonic() > deadline:
                raise TimeoutError(f"{', '.join(ended) or 'the cluster'} did not start: see {self.folder / 'logs'}")
            time.sleep(0.1)


def _address(number: int) -> str:
    return f"127.0.0.{number + 1}"


def _answers(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), 1):
        return True
    return False
