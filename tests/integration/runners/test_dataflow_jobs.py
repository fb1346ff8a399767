"""A launcher and its job on Dataflow, whose API is a stand-in's: what it says, and that it cancels and leaves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.outputs.lease import holder_of
from tests.conftest import photo
from tests.integration.conftest import Server
from tests.integration.runners.dataflow_service import IMAGE, DataflowService
from tests.integration.runners.job_servers import IMPATIENT, Launcher
from tests.integration.runners.processes import ROOT
from transforms.stores import filesystems, storage

pytestmark = pytest.mark.jobs
CONSOLE = "https://console.cloud.google.com/dataflow/jobs/europe-west1/job-1 in project my-project"


@pytest.fixture
def launcher(store: Server, service: DataflowService, tiny_module: str, tmp_path: Path) -> Iterator[Launcher]:
    """Of a job that the service has taken and says to be queued."""
    photo(60, 50).save(tmp_path / "a.jpg", quality=90)
    storage.write_bytes(store.uri("photos/a.jpg"), (tmp_path / "a.jpg").read_bytes())
    options = [f"--input={store.uri('photos')}", f"--output={store.uri('features')}", f"--model={tiny_module}"]
    options += [f"--storage_option=gs.{key}={value}" for key, value in store.options["gs"].items()]
    beam_args = ["--project=my-project", "--region=europe-west1", "--no_auth", f"--sdk_container_image={IMAGE}"]
    beam_args += [f"--dataflow_endpoint=http://localhost:{service.server_port}", f"--temp_location={store.uri('temp')}"]
    command = ["run", f"--config={ROOT / 'run_configs/dataflow.yaml'}", "--run_id=night-1", *options, *beam_args]
    started = Launcher([sys.executable, "-c", IMPATIENT, *command], tmp_path / "launcher.log")
    started.wait_for("job embed-images-night-1: ")
    yield started
    started.end()


def test_a_job_is_named_and_its_state_and_counts_are_told(launcher: Launcher, service: DataflowService) -> None:
    assert f"submitted: job embed-images-night-1 (job-1) of DataflowRunner at {CONSOLE}" in launcher.said()
    assert service.jobs[0]["name"] == "embed-images-night-1"
    launcher.wait_for("job embed-images-night-1: queued")
    service.state = "JOB_STATE_RUNNING"
    service.counters = {"objects_listed": 500, "images_selected": 500, "images_embedded": 100, "images_failed": 2}
    launcher.wait_for("job embed-images-night-1: running")
    launcher.wait_for("running, 102 of 500 images, 2 failed, ")


def test_a_job_that_fails_says_why(launcher: Launcher, service: DataflowService, store: Server) -> None:
    service.messages = ["Workflow failed.", 'Traceback (most recent call last):\n  File "a.py", line 1\nOSError: full']
    service.state = "JOB_STATE_FAILED"
    assert launcher.process.wait(60) == 1
    assert launcher.said().endswith("embed-images: the pipeline failed: OSError: full\n")
    assert holder_of(store.uri("features"), "night-1") == ""
    assert not filesystems.filesystem("gs://").find(store.uri("features"))


def test_a_job_that_is_done_and_has_published_nothing_is_no_success(
    launcher: Launcher, service: DataflowService
) -> None:
    service.state = "JOB_STATE_DONE"
    assert launcher.process.wait(60) == 1
    assert "the runner says that the job is done, and nothing is published" in launcher.said()


def test_ctrl_c_cancels(launcher: Launcher, service: DataflowService, store: Server) -> None:
    launcher.interrupt()
    assert launcher.process.wait(60) == 130
    assert "PUT job-1" in service.asked
    assert "interrupted, the job is cancelled; nothing is published" in launcher.said()
    assert holder_of(store.uri("features"), "night-1") == ""


def test_a_service_that_does_not_answer_leaves_the_job_with_its_hold(
    launcher: Launcher, service: DataflowService, store: Server
) -> None:
    service.is_up = False
    launcher.wait_for("The job may go on, so its output is watched instead")
    launcher.interrupt()
    assert launcher.process.wait(60) == 130
    assert f"job embed-images-night-1 (job-1) of DataflowRunner at {CONSOLE}" in holder_of(
        store.uri("features"), "night-1"
    )


def test_the_same_command_asks_whether_the_job_has_ended(
    launcher: Launcher, service: DataflowService, tmp_path: Path
) -> None:
    """A launcher that was killed cannot say so; the service can, and a new one need not wait for the lease's end."""
    launcher.process.kill()
    launcher.process.wait()
    waiting = Launcher(launcher.command, tmp_path / "second.log")
    waiting.wait_for("'night-1' is being worked at by job embed-images-night-1 (job-1)")
    waiting.end()
    service.state = "JOB_STATE_FAILED"
    again = Launcher(launcher.command, tmp_path / "third.log")
    again.wait_for("submitted: job embed-images-night-1 (job-2)")
    again.end()
    assert len(service.jobs) == 2
