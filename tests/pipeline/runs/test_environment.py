"""Clocks that go back, disks that are full, job servers that are dead: one sentence, and nothing left."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from pipeline.errors import ConfigError, RunError
from pipeline.options.beam import runner_options
from pipeline.outputs.latest import latest
from pipeline.runs import launching
from pipeline.runs.launching import check_endpoint, check_scratch
from pipeline.runs.summary import summary
from tests.conftest import Run, photo
from tests.full_disk import full_after
from tests.waiting import wait_until

pytestmark = pytest.mark.whole

PROGRAM = str(Path(sys.executable).with_name("embed-images"))


@pytest.mark.parametrize("ahead", [timedelta(days=2), timedelta(days=365 * 900)])
def test_a_night_whose_clock_is_behind_comes_after_the_newest_all_the_same(
    ahead: timedelta, images: Path, run_pipeline: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    output = tmp_path / "output"
    run_pipeline(input=str(images), run_id="night-1", incremental=True)
    path = output / "runs/night-1/run.json"
    manifest = json.loads(path.read_text())
    turned = datetime.fromisoformat(manifest["as_of"]) + ahead
    path.write_text(json.dumps(manifest | {"as_of": turned.isoformat().replace("+00:00", "Z")}))
    photo(50, 50, 77).save(images / "00.jpg")
    report = run_pipeline(input=str(images), run_id="night-2", incremental=True)
    assert report.manifest["counts"]["embedded"] == 1
    (newest,) = [row for row in latest(str(output)).to_pylist() if row["uri"].endswith("00.jpg")]
    assert newest["run_id"] == "night-2"
    assert "the newest run, night-1, is of" in caplog.text
    assert run_pipeline(input=str(images), run_id="night-3", incremental=True).manifest["counts"]["embedded"] == 0


def test_a_full_disk_of_temporary_files_is_named_and_left_clean(images: Path, tiny_module: str, tmp_path: Path) -> None:
    """No file may grow beyond 1,000 bytes, as on a disk that is full then; what is written before is shorter."""
    (tmp_path / "scratch").mkdir()
    command = [PROGRAM, "run", "--input", str(images), "--output", str(tmp_path / "output"), "--model", tiny_module]
    subprocess.run([*command, "--run_id=first"], check=True, capture_output=True)  # fills the cache

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4200, 4200))

    for i in range(12, 90):
        photo(40, 30, i).save(images / f"{i}.jpg")
    environment = os.environ | {"TMPDIR": str(tmp_path / "scratch")}
    result = subprocess.run(
        [*command, "--run_id=second", "--engine=litert"],
        env=environment, preexec_fn=limited, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("embed-images: ")
    assert "File too large" in last
    assert str(tmp_path / "scratch") in last
    assert "Traceback" not in result.stderr
    assert list((tmp_path / "scratch").iterdir()) == []
    assert not (tmp_path / "output/.staging").exists()


def test_a_folder_of_temporary_files_that_cannot_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nothing"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nothing"))
    with pytest.raises(RunError, match=r"folder for temporary files, .*/nothing, cannot be written to"):
        check_scratch()


def test_a_dead_job_server_is_told_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"127.0.0.1:{server.getsockname()[1]}"
        check_endpoint(endpoint)
    with pytest.raises(RunError, match=rf"--job_endpoint: nothing answers at {endpoint} \(ConnectionRefusedError"):
        check_endpoint(endpoint)
    check_endpoint("")


@pytest.mark.parametrize(
    "option", ["--type_check_strictness=ALL_REQUIRED", "--runtime_type_check", "--performance_runtime_type_check"]
)
def test_checks_of_types_that_stop_the_pipeline_are_refused_by_name(option: str) -> None:
    with pytest.raises(ConfigError, match=f"^{option.partition('=')[0]}: .*not written for it"):
        runner_options([option])


def test_usage_of_beam_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"^an option of Beam: not allowed: argument --direct_num_workers: invalid"):
        runner_options(["--direct_num_workers=x"])


def test_images_a_second_are_those_of_the_run_itself(tmp_path: Path, run_pipeline: Run) -> None:
    """What a killed attempt had embedded is not counted again."""
    (tmp_path / "many").mkdir()
    for i in range(60):
        photo(40, 30, i).save(tmp_path / "many" / f"{i:02}.jpg")
    with full_after(8), pytest.raises(RunError):
        run_pipeline(input=str(tmp_path / "many"), run_id="r", shard_size=512)
    report = run_pipeline(input=str(tmp_path / "many"), run_id="r", shard_size=512)
    assert report.manifest["counts"]["embedded"] == 60
    assert 0 < report.images < 60
    assert report.images_per_second == report.images / report.seconds["embed"]
    assert f"{report.images_per_second:,.1f}" in summary(report)


def test_stores_that_do_not_answer_are_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(launching, "PATIENCE_SECONDS", 0.01)
    caplog.set_level("INFO")
    with launching.patiently(["gs://bucket/photos", "/local", "s3://other"]):
        wait_until(lambda: bool(caplog.text))
    assert "still waiting for gs:// or s3:// after 0 s" in caplog.text
    caplog.clear()
    with launching.patiently(["/local"]):
        time.sleep(0.1)
    assert caplog.text == ""
