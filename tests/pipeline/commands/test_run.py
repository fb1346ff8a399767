"""embed-images run in processes of its own: what stands on its streams, and what becomes of it when it is stopped."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.pipeline.commands.typed import PROGRAM, command


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
    assert "\x1b" not in result.stderr + result.stdout
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[:4] == [["listed", "13"], ["embedded", "12"], ["failed", "1"], ["NotAnImage", "1"]]
    assert ["run", f"{output}/runs/r"] in lines
    assert lines[-1][:4] == ["1", "NotAnImage,", "such", "as"]

    verified = command("verify", output)
    assert (verified.returncode, verified.stdout) == (0, "run r: 12 records, 1 dead letters: holds\n")
    shard = next(Path(output).glob("runs/r/features-*"))
    shard.write_bytes(shard.read_bytes()[:-5])
    damaged = command("verify", output, "--run_id=r", "--json")
    assert damaged.returncode == 1
    assert json.loads(damaged.stdout)["runs"][0]["problems"][0]["file"] == shard.name


@pytest.mark.parametrize("runner", ["DirectRunner", "DataflowRunner", "FlinkRunner"])
def test_a_dry_run_does_nothing_else(runner: str, tmp_path: Path) -> None:
    options = ["--input", str(tmp_path / "none"), "--output", str(tmp_path / "output"), "--model", "none"]
    command = [PROGRAM, "run", "--dry_run", *options, f"--runner={runner}"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "LoadImages" in result.stdout
    assert result.stderr == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("closing", ["| true", "> /dev/full", "2>&-"])
def test_closed_streams_change_nothing(closing: str, images: Path, tiny_module: str, tmp_path: Path) -> None:
    line = f"{PROGRAM} run --input {images} --output {tmp_path}/output --model {tiny_module} {closing}"
    shell = ["/bin/bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"]
    result = subprocess.run(shell, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    assert command("verify", f"{tmp_path}/output").returncode == 0


@pytest.mark.whole
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
    said = tmp_path / "errors.log"
    with said.open("w") as file:
        process = subprocess.Popen(
            program,
            env={**os.environ, "TMPDIR": str(spools)},
            stdout=file,
            stderr=file,
            # A shell that starts these tests in the background has Ctrl-C ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
    while " list: 13 images" not in said.read_text():  # from there on it fetches
        assert process.poll() is None, said.read_text()
        time.sleep(0.1)
    process.send_signal(signal_number)
    process.wait(timeout=60)
    errors = said.read_text()
    silent.close()
    assert process.returncode == (130 if signal_number == signal.SIGINT else -signal.SIGKILL), errors
    assert "Traceback" not in errors
    assert not (output / "runs").exists()
    if signal_number == signal.SIGINT:
        assert "interrupted; nothing is published" in errors
        assert "no image was finished yet: the same command begins with the first" in errors
        assert errors.splitlines()[-1] == shlex.join(["embed-images", *arguments, "--input", str(listing)])
        assert list(output.rglob("*")) == []
        assert not list(spools.iterdir())
    again = command(*arguments, "--input", str(images))
    assert again.returncode == 0, again.stderr
    assert command("verify", str(output)).returncode == 0
    assert not (output / ".staging").exists()
