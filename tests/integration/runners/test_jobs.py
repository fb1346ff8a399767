"""A launcher and its job in different processes: interrupted, cut off, killed. What it says is true, whatever happens.

On Beam's own job server of Python, which says that a job is cancelled and lets it go on, and on Prism.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.outputs.lease import holder_of
from pipeline.outputs.verify import verify_output
from tests.integration.runners.job_servers import (
    IMAGES,
    IMPATIENT,
    SHARD,
    Gate,
    JobServer,
    Launcher,
    Way,
    embed_images,
    gated,
    job_server,
)
from tests.integration.runners.processes import PROGRAM, WORKER, end, started
from tests.reading import run_vectors
from tests.waiting import wait_until
from transforms.records import leases

pytestmark = pytest.mark.jobs


@pytest.fixture(params=["python", "prism"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[JobServer]:
    with job_server(request.param, tmp_path) as each:
        yield each


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Gate, Path]]:
    with gated(tmp_path) as each:
        yield each


class Night:
    """A run at a gate, on a job server."""

    def __init__(self, server: JobServer, site: tuple[Gate, Path], folder: Path, module: str):
        self.server = server
        self.gate, manifest = site
        self.output = folder / "output"
        self.folder = folder
        self.launchers: list[Launcher] = []
        options = [f"--input={manifest}", f"--output={self.output}", f"--model={module}", f"--shard_size={SHARD}"]
        more = ["--fetch_concurrency=8", "--batch_size=8"]
        self.options = ["run", "--run_id=r", *options, *more, *server.beam_args]

    def command(self, port: int = 0) -> list[str]:
        return [*self.options, f"--job_endpoint=127.0.0.1:{port or self.server.port}"]

    def launch(self, port: int = 0, program: tuple[str, ...] = (PROGRAM,)) -> Launcher:
        """Starts it, and waits until it has finished a shard and is held up at the gate."""
        launcher = Launcher([*program, *self.command(port)], self.folder / "launcher.log")
        self.launchers.append(launcher)
        launcher.wait_for("model: ")
        self.gate.close()
        launcher.wait_for("submitted: job embed-images-r (")
        wait_until(lambda: len(self.shards()) >= 3)
        return launcher

    def shards(self) -> list[Path]:
        return list(self.output.glob(".staging/r/*/features-*.ledger"))

    def is_published(self) -> bool:
        return (self.output / "runs/r/_SUCCESS").exists()

    def publishes(self, launcher: Launcher) -> None:
        """The images arrive, and a launcher that waits for the run tells of it."""
        self.gate.open()
        assert launcher.process.wait(90) == 0, launcher.said()
        assert f"run       {self.output}/runs/r" in launcher.said()
        self.is_whole()

    def goes_on(self) -> None:
        """The same command publishes, from the shards that are there; nothing is lost, doubled or left behind."""
        kept = len(self.shards())
        again = embed_images(*self.command())
        assert again.returncode == 0, again.stderr
        assert f"resuming: {kept} finished shards" in again.stderr
        self.is_whole()

    def is_whole(self) -> None:
        result = verify_output(str(self.output))
        assert result.holds, result.as_text()
        uris, _ = run_vectors(str(self.output / "runs/r"))
        assert len(uris) == len(set(uris)) == IMAGES
        assert not (self.output / ".staging").exists()


@pytest.fixture
def night(server: JobServer, site: tuple[Gate, Path], tmp_path: Path, tiny_module: str) -> Iterator[Night]:
    each = Night(server, site, tmp_path, tiny_module)
    yield each
    for launcher in each.launchers:
        launcher.end()


def test_a_launcher_says_what_its_job_is_and_does(night: Night) -> None:
    launcher = night.launch()
    night.publishes(launcher)
    said = launcher.said()
    assert f"of PortableRunner at 127.0.0.1:{night.server.port}" in said
    assert "job embed-images-r: running" in said
    assert "job embed-images-r: done" in said
    assert ", job " in said.partition("seconds ")[2].partition("\n")[0]
    assert "images/s" in said


def test_ctrl_c_cancels_the_job_and_nothing_is_published(night: Night) -> None:
    """Also where the server says that it has cancelled the job and lets it go on."""
    launcher = night.launch()
    launcher.interrupt()
    assert launcher.process.wait(60) == 130, launcher.said()
    assert "interrupted, the job is cancelled; nothing is published" in launcher.said()
    assert "finished shards kept: the same command with --run_id r goes on from there" in launcher.said()
    assert holder_of(str(night.output), "r") == ""
    assert not list(night.output.glob(".staging/r/*/model"))
    night.gate.open()
    if night.server.kind == "python":  # which goes on with the job until that finds its lease or its files gone
        wait_until(lambda: "Error running pipeline." in night.server.log.read_text())
    assert not night.is_published()
    night.goes_on()


def test_ctrl_c_twice_leaves_the_job_and_keeps_its_hold(night: Night) -> None:
    launcher = night.launch()
    night.server.pause()
    launcher.interrupt()
    launcher.wait_for("cancelling job embed-images-r")
    launcher.interrupt()
    assert launcher.process.wait(60) == 130, launcher.said()
    assert "left at work: the job may go on and publish" in launcher.said()
    assert f"`embed-images wait {night.output} --run_id r` waits for it" in launcher.said()
    held = embed_images("runs", str(night.output), "--prune").stdout
    assert "left behind: r: " in held
    assert "; held by job embed-images-r (" in held
    night.gate.open()  # for its look at the input; the job waits for its server
    rival = Launcher([PROGRAM, *night.command()], night.folder / "rival.log")  # as a scheduler would start it again
    night.launchers.append(rival)
    rival.wait_for("'r' is being worked at by job embed-images-r (")
    night.server.go_on()
    if night.server.kind == "prism":  # which may have heard that it shall cancel
        return
    night.publishes(rival)


def test_a_connection_that_is_lost_for_a_moment_changes_nothing(night: Night) -> None:
    way = Way(night.server.port)
    launcher = night.launch(way.port)
    way.drop()
    time.sleep(3)  # in which the launcher has to connect anew
    night.publishes(launcher)
    assert "job embed-images-r: done" in launcher.said()


def test_a_job_that_is_not_heard_of_any_more_is_waited_for_by_its_output(night: Night) -> None:
    way = Way(night.server.port)
    launcher = night.launch(way.port, (sys.executable, "-c", IMPATIENT))
    way.cut()
    launcher.wait_for("The job may go on, so its output is watched instead")
    assert "job embed-images-r (" in holder_of(str(night.output), "r")
    night.publishes(launcher)


def test_a_launcher_that_is_killed_leaves_a_job_that_holds_its_run(night: Night) -> None:
    """Its workers renew the lease: here, one that was last renewed just before it would be over."""
    launcher = night.launch()
    launcher.process.send_signal(signal.SIGKILL)
    launcher.process.wait()
    (lease,) = night.output.glob(".staging/r/lease-*.json")
    content = json.loads(lease.read_text())
    lease.write_text(json.dumps({**content, "renewed": time.time() - leases.EXPIRY_SECONDS + 60}))
    old = json.loads(lease.read_text())["renewed"]
    wait_until(lambda: json.loads(lease.read_text())["renewed"] > old)
    assert "job embed-images-r (" in holder_of(str(night.output), "r")
    waiting = Launcher([PROGRAM, "wait", str(night.output), "--run_id=r"], night.folder / "wait.log")
    night.launchers.append(waiting)
    night.publishes(waiting)


def test_a_killed_worker_is_named_and_what_it_had_finished_is_kept(night: Night) -> None:
    launcher = night.launch()
    for worker in started(WORKER):
        end(worker)
    night.gate.open()
    assert launcher.process.wait(60) == 1, launcher.said()
    assert "the pipeline failed: a worker process has ended: " in launcher.said()
    assert "finished shards kept: the same command with --run_id r goes on from there" in launcher.said()
    assert not list(night.output.glob(".staging/r/*/model"))
    assert holder_of(str(night.output), "r") == ""
    night.goes_on()
