"""The command line as a person meets it: refusals, exit codes, and what stands on the streams."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.cli import main
from tests.pipeline.commands.typed import command


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["run"], 2, "--input must be given: what to embed"),
        (
            ["run", "--input=a", "--output=o", "--engine=onnx"],
            2,
            "--engine: 'onnx' is not allowed: one of auto, litert, openvino, tensorflow",
        ),
        (["run", "--input=a", "--output=o", "--bath_size=2"], 2, "did you mean batch_size?"),
        (["run", "--input=a", "--output=o", "--config=/no.yaml"], 2, "--config: '/no.yaml' is not allowed"),
        (["run", "--input=/nothing/here", "--output=o"], 1, "/nothing/here: no such file or folder"),
        (["verify", "/nothing/here"], 1, "/nothing/here: no published run"),
        (["verify", "/nothing/here", "--frobnicate"], 2, "no such argument: --frobnicate\n"),
        (["evaluate", "/nothing/here", "--colum=a"], 2, "no such argument: --colum; did you mean --column?"),
        (["status", "/nothing/here", "--storage_optoin=a"], 2, "--storage_optoin; did you mean --storage_option?"),
        (["status", "--output", "/nothing/here"], 2, "no such argument: --output\n"),
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


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main([])
    assert exited.value.code == 2
    assert "COMMAND" in capsys.readouterr().out
