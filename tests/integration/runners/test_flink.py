"""The unchanged pipeline on a Flink cluster of processes on loopback, of which one after the other is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipeline.options.config import make_config
from pipeline.outputs.dataset import read_manifest
from pipeline.outputs.verify import verify_output
from pipeline.runs.run import run
from tests.conftest import photo
from tests.integration.runners.flink_cluster import Cluster, Ports
from tests.integration.runners.processes import PROGRAM, ROOT, end
from tests.reading import newest_vectors, run_vectors
from tests.waiting import wait_until

pytestmark = pytest.mark.flink
CONFIG = ROOT / "run_configs/flink.yaml"
COUNT, MORE = 2000, 100
SHARD = 512  # bytes: two records
RUN_SECONDS = 240  # of which most go to the start of workers, stage by stage
CONNECTIONS = 3  # of a worker that is at work: those for its orders, data and state


@pytest.fixture(scope="module")
def flink() -> Path:
    found = os.environ.get("FLINK")
    assert found, "FLINK names no folder of Flink's jars: `make test-flink` fetches them and says where they are"
    return Path(found)


@pytest.fixture(scope="module")
def job_server() -> Path:
    found = os.environ.get("FLINK_JOB_SERVER_JAR")
    if not found:
        pytest.skip("FLINK_JOB_SERVER_JAR names no job server of Beam's, and it could not be fetched")
    return Path(found)


@pytest.fixture(scope="module")
def cluster(flink: Path, job_server: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two task managers, and the job server."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), flink, Ports.free())
    try:
        cluster.start(2)
        cluster.start_job_server(job_server)
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a folder of images for each of two nights."""
    folder = tmp_path_factory.mktemp("many")
    for night, numbers in (("first", range(COUNT)), ("second", range(COUNT, COUNT + MORE))):
        (folder / night).mkdir()
        for number in numbers:
            photo(40 + number % 7, 30, number).save(folder / night / f"{number:04}.jpg", quality=90)
    (folder / "first/broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def expected(many: Path, tmp_path_factory: pytest.TempPathFactory, tiny_module: str) -> dict[str, np.ndarray]:
    """The vectors of both nights' images by the local runner."""
    report = run(
        make_config({"input": str(many), "output": str(tmp_path_factory.mktemp("here")), "model": tiny_module}, [])
    )
    assert report is not None
    return dict(zip(*run_vectors(report.folder), strict=True))


def beam_args(cluster: Cluster) -> list[str]:
    """Where this cluster is, as the run config says where it is by default."""
    ports = cluster.ports
    return [
        f"--flink_master=localhost:{ports.rest}",
        f"--job_endpoint=localhost:{ports.job}",
        f"--environment_config=localhost:{ports.pool}",
    ]


def command(cluster: Cluster, images: Path, output: Path, module: str, run_id: str = "r") -> list[str]:
    options = [f"--input={images}", f"--output={output}", f"--model={module}", f"--run_id={run_id}"]
    return [PROGRAM, "run", f"--config={CONFIG}", f"--shard_size={SHARD}", *options, *beam_args(cluster)]


@contextmanager
def launched(arguments: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command at work, which ends with the block."""
    with log.open("w") as file:
        launcher = subprocess.Popen(arguments, stdout=file, stderr=file)
    try:
        yield launcher
    finally:
        if launcher.poll() is None:
            end(psutil.Process(launcher.pid))
        launcher.wait()


def completed(arguments: list[str]) -> str:
    """What a command says that succeeds."""
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def assert_whole(output: Path, vectors: tuple[list[str], np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Every image once, with the local runner's vector to the bit; the output holds, and nothing is left beside it."""
    uris, found = vectors
    assert len(uris) == len(set(uris))
    assert set(uris) == expected.keys()
    assert all(np.array_equal(expected[uri], vector) for uri, vector in zip(uris, found, strict=True))
    result = verify_output(str(output))
    assert result.holds, result.as_text()
    assert not (output / ".staging").exists()


def assert_nothing_left(cluster: Cluster) -> None:
    """No worker, and no file in its temporary folder."""
    wait_until(lambda: not cluster.workers(1) + cluster.workers(2))
    assert [file for number in (1, 2) for file in cluster.scratch(number).iterdir()] == []


def of_the_first_night(expected: dict[str, np.ndarray], many: Path) -> dict[str, np.ndarray]:
    return {uri: vector for uri, vector in expected.items() if Path(uri).parent == many / "first"}


def finished_shards(output: Path) -> int:
    return len(list(output.glob(".staging/r/*/features-*.ledger")))


def is_at_work(cluster: Cluster, number: int) -> bool:
    try:
        return any(len(worker.net_connections("tcp")) >= CONNECTIONS for worker in cluster.workers(number))
    except psutil.Error:
        return False


def in_the_middle(
    cluster: Cluster, launcher: subprocess.Popen[bytes], output: Path, log: Path, before: int = 0
) -> None:
    """Waits until workers of both task managers are at work, and have finished shards."""

    def is_there() -> bool:
        at_work = is_at_work(cluster, 1) and is_at_work(cluster, 2) and finished_shards(output) >= before + 2
        return at_work or launcher.poll() is not None

    wait_until(is_there, RUN_SECONDS)
    assert launcher.poll() is None, log.read_text()


def test_task_managers_register_and_another_process_ends_them(flink: Path, tmp_path: Path) -> None:
    """What needs no job server."""
    folder = tmp_path / "cluster"
    cluster = Cluster(folder, flink, Ports.free())
    try:
        cluster.start(2)
        started = {**cluster.processes}
        assert started.keys() == {"job-manager", "task-manager-1", "pool-1", "task-manager-2", "pool-2"}
        wait_until(lambda: cluster.ask("overview")["slots-total"] == 2)
        assert cluster.ask("overview")["flink-version"] == "1.20.3"
        with ThreadPoolExecutor() as threads:  # in which their parent hears of their end
            ended = [threads.submit(process.wait) for process in started.values()]
            subprocess.run(
                [sys.executable, "-m", "tests.integration.runners.flink_command", "down", str(folder)],
                check=True,
                cwd=ROOT,
            )
            assert {future.result() for future in ended} == {-signal.SIGKILL}
        assert not folder.exists()
    finally:
        cluster.stop()


def test_nights_on_both_task_managers(
    cluster: Cluster, many: Path, expected: dict[str, np.ndarray], tmp_path: Path, tiny_module: str
) -> None:
    """A first night, a second one that embeds what is new, and a compaction."""
    completed(command(cluster, many / "first", tmp_path, tiny_module, "night-1"))
    assert_whole(tmp_path, run_vectors(str(tmp_path / "runs/night-1")), of_the_first_night(expected, many))
    counts = read_manifest(str(tmp_path / "runs/night-1"))["counts"]
    assert (counts["listed"], counts["embedded"], counts["failed"]) == (COUNT + 1, COUNT, 1)
    by_task_manager = images_read(cluster)
    assert set(by_task_manager) == {"task-manager-1", "task-manager-2"}
    assert min(by_task_manager.values()) > COUNT / 4

    completed(command(cluster, many, tmp_path, tiny_module, "night-2"))
    counts = read_manifest(str(tmp_path / "runs/night-2"))["counts"]
    assert (counts["unchanged"], counts["failed_before"], counts["embedded"]) == (COUNT, 1, MORE)
    assert_whole(tmp_path, newest_vectors(str(tmp_path)), expected)

    where = ["--runner=FlinkRunner", "--parallelism=2", "--environment_type=EXTERNAL", *beam_args(cluster)]
    completed([PROGRAM, "compact", str(tmp_path), "--run_id=compacted", *where])
    assert_whole(tmp_path, run_vectors(str(tmp_path / "runs/compacted")), expected)
    assert_nothing_left(cluster)


def images_read(cluster: Cluster) -> dict[str, int]:
    """How many images the newest job has embedded, by task manager."""
    newest = max(cluster.ask("jobs/overview")["jobs"], key=lambda job: job["start-time"])["jid"]
    (embedding,) = (
        vertex["id"] for vertex in cluster.ask(f"jobs/{newest}")["vertices"] if "EmbedImages" in vertex["name"]
    )
    found = cluster.ask(f"jobs/{newest}/vertices/{embedding}/taskmanagers")["taskmanagers"]
    return {each["taskmanager-id"]: each["metrics"]["read-records"] for each in found}


def test_what_is_killed_or_cancelled_is_finished_by_the_same_command(
    cluster: Cluster, many: Path, expected: dict[str, np.ndarray], tmp_path: Path, tiny_module: str
) -> None:
    """One run that is stopped four times, and each time says what has happened."""
    output, log = tmp_path / "output", tmp_path / "log"
    again = command(cluster, many / "first", output, tiny_module)
    kept = 0
    for stop, status, said in STOPS:
        with launched(again, log) as launcher:
            in_the_middle(cluster, launcher, output, log, kept)
            stop(cluster, launcher)
            assert launcher.wait(RUN_SECONDS) == status
        assert cluster.ask("overview")["jobs-running"] == 0
        assert said in log.read_text()
        assert "finished shards kept: the same command with --run_id r goes on from there" in log.read_text()
        assert not (output / "runs").exists()
        before, kept = kept, finished_shards(output)
        assert before < kept < COUNT
        if cluster.registered() < 2:
            cluster.start_task_manager(2)
            wait_until(lambda: cluster.registered() == 2)
    said = completed(again)
    assert f"{kept} finished shards of an earlier attempt are taken over" in said
    assert_whole(output, run_vectors(str(output / "runs/r")), of_the_first_night(expected, many))
    assert_nothing_left(cluster)


def kill_task_manager(cluster: Cluster, _: subprocess.Popen[bytes]) -> None:
    cluster.kill("task-manager-2")
    wait_until(lambda: cluster.registered() == 1)


def kill_worker(cluster: Cluster, _: subprocess.Popen[bytes]) -> None:
    cluster.workers(2)[0].kill()


def cancel(cluster: Cluster, _: subprocess.Popen[bytes]) -> None:
    """As a person does in Flink's own page."""
    (running,) = (job["jid"] for job in cluster.ask("jobs/overview")["jobs"] if job["state"] == "RUNNING")
    cluster.ask(f"jobs/{running}?mode=cancel", "PATCH")


def interrupt(_: Cluster, launcher: subprocess.Popen[bytes]) -> None:
    launcher.send_signal(signal.SIGINT)


STOPS = (
    (interrupt, 130, "interrupted, the job is cancelled; nothing is published"),
    (cancel, 1, "the job was cancelled, and nothing is published (job embed-images-r ("),
    (kill_worker, 1, "the pipeline failed: a worker process has ended"),
    (kill_task_manager, 1, "the pipeline failed: a TaskManager was lost"),  # noticed after seconds
)


@pytest.mark.parametrize("victim", ["launcher", "job server"])
def test_a_job_publishes_without_its_launcher_or_job_server(
    victim: str,
    cluster: Cluster,
    job_server: Path,
    many: Path,
    expected: dict[str, np.ndarray],
    tmp_path: Path,
    tiny_module: str,
) -> None:
    output, log = tmp_path / "output", tmp_path / "log"
    again = command(cluster, many / "first", output, tiny_module)
    with launched(again, log) as launcher:
        in_the_middle(cluster, launcher, output, log)
        if victim == "launcher":
            launcher.kill()
            completed([PROGRAM, "wait", str(output), "--run_id=r"])
        else:
            cluster.kill("job-server")
            assert launcher.wait(RUN_SECONDS) == 0, log.read_text()
    if victim == "job server":
        cluster.start_job_server(job_server)
    wait_until(lambda: cluster.ask("overview")["jobs-running"] == 0)
    assert_whole(output, run_vectors(str(output / "runs/r")), of_the_first_night(expected, many))
    assert "is published already" in completed(again)
    assert_nothing_left(cluster)
