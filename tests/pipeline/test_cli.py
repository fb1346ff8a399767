"""The command line as a person meets it: its own processes, exit codes, and what stands on the streams."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.console.progress import line_of_this_process, progress_line
from transforms import tally

PROGRAM = str(Path(sys.executable).with_name("embed-images"))


def command(*arguments: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=timeout, check=False)


def test_a_run_prints_lines_of_its_own_only(images: Path, tiny_module: str, tmp_path: Path) -> None:
    """No chatter of TensorFlow, absl or Beam, even from native code; the summary on stdout."""
    (images / "bad.jpg").write_text("no image")
    output = str(tmp_path / "output")
    arguments = ["run", "--input", str(images), "--output", output, "--model", tiny_module, "--engine=tensorflow"]
    result = command(*arguments, "--run_id=r")
    assert result.returncode == 0, result.stderr
    first_words = [line.split(" ")[1].rstrip(":") for line in result.stderr.splitlines()]
    phases = [word for word in first_words if not word[0].isdigit()]  # a slow machine shows progress, in figures
    assert phases == ["run", "model", "list", "embed", "publish"]
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[:4] == [["listed", "13"], ["embedded", "12"], ["failed", "1"], ["NotAnImage", "1"]]
    assert lines[-1] == ["run", f"{output}/runs/r"]

    verified = command("verify", output)
    assert (verified.returncode, verified.stdout) == (0, "run r: 12 records, 1 dead letters: holds\n")
    shard = next(Path(output).glob("runs/r/features-*"))
    shard.write_bytes(shard.read_bytes()[:-5])
    damaged = command("verify", output, "--run_id=r", "--json")
    assert damaged.returncode == 1
    assert json.loads(damaged.stdout)["runs"][0]["problems"][0]["file"] == shard.name


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["run"], 2, "--input: () is not allowed: it must be given"),
        (
            ["run", "--input=a", "--output=o", "--engine=onnx"],
            2,
            "--engine: 'onnx' is not allowed: one of auto, litert, openvino, tensorflow",
        ),
        (["run", "--input=a", "--output=o", "--bath_size=2"], 2, "did you mean batch_size?"),
        (["run", "--input=a", "--output=o", "--config=/no.yaml"], 2, "--config: '/no.yaml' is not allowed"),
        (["run", "--input=/nothing/here", "--output=o"], 1, "/nothing/here: no such file or folder"),
        (["verify", "/nothing/here"], 1, "/nothing/here: no published run"),
        (["verify", "/nothing/here", "--frobnicate"], 2, "no such argument: --frobnicate"),
    ],
)
def test_refusals_are_one_sentence(
    arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.console.logs.set_up", lambda verbose: None)  # which is the whole process's business
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == status
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert error.splitlines()[-1].startswith("embed-images: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--frobnicate=1"],
            "--frobnicate: not allowed: neither an option of this program nor one of Beam's",
        ),
        (["--model=http://127.0.0.1:9/m/1"], "http://127.0.0.1:9/m/1: the hub cannot be reached"),
    ],
)
def test_refusals_after_beam_is_loaded_are_one_sentence_too(
    arguments: list[str], message: str, images: Path, tmp_path: Path
) -> None:
    result = command("run", "--input", str(images), "--output", str(tmp_path / "output"), *arguments)
    assert result.returncode in (1, 2)
    assert result.stderr.splitlines()[-1].startswith("embed-images: ")
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert list((tmp_path / "output").rglob("*")) == []


@pytest.mark.parametrize("closing", ["| true", "> /dev/full", "2>&-"])
def test_closed_streams_change_nothing(closing: str, images: Path, tiny_module: str, tmp_path: Path) -> None:
    line = f"{PROGRAM} run --input {images} --output {tmp_path}/output --model {tiny_module} {closing}"
    shell = ["/bin/bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"]
    result = subprocess.run(shell, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert command("verify", f"{tmp_path}/output").returncode == 0


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main([])
    assert exited.value.code == 2
    assert "COMMAND" in capsys.readouterr().out


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_run_publishes_nothing_and_can_be_run_again(
    signal_number: int, tmp_path: Path, images: Path, tiny_module: str
) -> None:
    """Stopped in the middle of its work: a server that never answers keeps it there."""
    silent = socket.create_server(("127.0.0.1", 0))
    listing = tmp_path / "list.txt"
    never = f"http://127.0.0.1:{silent.getsockname()[1]}/never.jpg"
    first, *others = map(str, images.iterdir())
    listing.write_text("\n".join([first, never, *others]))  # the second is no probe, which the launch would wait for
    output = tmp_path / "output"
    arguments = ["run", "--output", str(output), "--model", tiny_module, "--run_id=r"]
    program = [PROGRAM, *arguments, "--input", str(listing)]
    spools = tmp_path / "spools"
    spools.mkdir()
    process = subprocess.Popen(
        program,
        env={**os.environ, "TMPDIR": str(spools)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts these tests in the background has Ctrl-C ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    while not list(output.glob(".staging/r/*/model/*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    time.sleep(1.5)
    process.send_signal(signal_number)
    _, errors = process.communicate(timeout=60)
    silent.close()
    assert process.returncode == (130 if signal_number == signal.SIGINT else -signal.SIGKILL), errors
    assert "Traceback" not in errors
    assert not (output / "runs").exists()
    if signal_number == signal.SIGINT:
        assert "interrupted; nothing is published" in errors
        assert list(output.rglob("*")) == []
        assert not list(spools.iterdir())
    again = command(*arguments, "--input", str(images))
    assert again.returncode == 0, again.stderr
    assert command("verify", str(output)).returncode == 0
    assert not (output / ".staging").exists()


def test_the_progress_line_tells_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100, 200))
    monkeypatch.setattr(tally.time, "monotonic", lambda: float(next(clock)))
    tally.reset()
    assert line_of_this_process() == "0 images listed"
    tally.count("objects_listed", 5000)
    tally.count("images_selected")
    tally.count("images_embedded", 1190)
    tally.count("images_failed", 10)
    first = tally.first_counted("images_selected")
    assert first is not None
    line = progress_line(tally.counts(), first, now=first + 10)
    assert line == "1,200 of 5,000 images, 10 failed, 120.0 images/s, 0:32 left"
    tally.reset()
