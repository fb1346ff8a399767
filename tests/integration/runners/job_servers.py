"""Job servers in processes of their own, a way to them that can be cut, and images that arrive when they are let."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from aiohttp import web

from tests.conftest import photo
from tests.integration.runners.processes import PROGRAM, end, free_port, listens, workers
from tests.waiting import wait_until
from tests.web import serving

IMAGES, FREE = 500, 320  # of a run, and of them those that arrive while the gate is closed
SHARD = 1024  # bytes: a few records
# The program, with shorter patience for a server that is gone.
IMPATIENT = "from pipeline.jobs import watching; watching.LOST_SECONDS = 3; from pipeline.cli import program; program()"


class Gate:
    """A web server of images, which holds all but the first ones back while it is closed."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self._left = 0

    def close(self) -> None:
        """Lets `FREE` more images through."""
        self._left = FREE
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    async def passed(self, _: web.Request, data: bytes) -> web.Response:
        self._left -= 1
        while self._left < 0 and not self._open.is_set():
            await asyncio.sleep(0.02)
        return web.Response(body=data)


@contextmanager
def gated(folder: Path) -> Iterator[tuple[Gate, Path]]:
    """A gate, and a manifest of the images behind it."""
    gate, answers = Gate(), {}
    for number in range(IMAGES):
        encoded = io.BytesIO()
        photo(40, 30, number).save(encoded, "JPEG")

        async def answer(request: web.Request, data: bytes = encoded.getvalue()) -> web.Response:
            return await gate.passed(request, data)

        answers[f"/{number:03}.jpg"] = answer
    with serving(answers) as site:
        manifest = folder / "images.txt"
        manifest.write_text("".join(f"{site.url}{path}\n" for path in answers))
        try:
            yield gate, manifest
        finally:
            gate.open()


class Way:
    """A port that leads to another one until it is cut."""

    def __init__(self, target: int):
        self._target = target
        self._server = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                here, _ = self._server.accept()
                there = socket.create_connection(("127.0.0.1", self._target))
                self._ends += [here, there]
                for source, target in ((here, there), (there, here)):
                    threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def drop(self) -> None:
        """Ends the connections; new ones are let through."""
        for each in self._ends:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._ends.clear()

    def cut(self) -> None:
        """Ends the connections, and takes no more."""
        with suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.drop()


class JobServer:
    """Attributes:
    kind: "python" or "prism".
    log: what it says.
    beam_args: of a job that it shall run, its workers in processes of their own, but for the endpoint.
    """

    def __init__(self, kind: str, process: subprocess.Popen[bytes], port: int, log: Path, beam_args: list[str]):
        self.kind = kind
        self.process = process
        self.port = port
        self.log = log
        self.beam_args = beam_args

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def job_server(kind: str, folder: Path) -> Iterator[JobServer]:
    """A job server and a pool of workers."""
    port, log = free_port(), folder / "server.log"
    command = [sys.executable, "-m", "apache_beam.runners.portability.local_job_service_main", f"--port={port}"]
    if kind == "prism":
        prism = os.environ.get("PRISM")
        assert prism, "PRISM names no binary: `make test-jobs` builds it and says where it is"
        command = [prism, f"-job_port={port}", "-serve_http=false"]
    with workers("EXTERNAL", folder) as beam_args, log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
        try:
            wait_until(lambda: listens(port))
            yield JobServer(kind, process, port, log, ["--runner=PortableRunner", *beam_args])
        finally:
            process.send_signal(signal.SIGCONT)
            end(psutil.Process(process.pid))
            process.wait()


class Launcher:
    """`embed-images run` in a process of its own."""

    def __init__(self, command: list[str], log: Path):
        self.command = command
        self._log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(command, stdout=file, stderr=file)

    def said(self) -> str:
        return self._log.read_text()

    def wait_for(self, words: str) -> None:
        """Waits until it says something."""
        wait_until(lambda: words in self.said() or self.process.poll() is not None)
        assert words in self.said(), self.said()

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> None:
        if self.process.poll() is None:
            end(psutil.Process(self.process.pid))
        self.process.wait()


def embed_images(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command, to its end."""
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=120, check=False)
