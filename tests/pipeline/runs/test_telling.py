"""What a run tells of itself, as JSON: an event a phase, its figures at the end, and no secret."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.console import logs, typed
from pipeline.console.results import conclude
from pipeline.console.structured import JsonFormatter
from tests.conftest import Run
from transforms import tally
from transforms.stores import secrets


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What the log gets, with `--log_format json`."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    monkeypatch.setattr(logs.logger, "handlers", [handler])
    level = logs.logger.level
    logs.logger.setLevel(logging.INFO)  # which clears what it keeps of levels, too
    logs.choose_format("json")
    yield stream
    logs.choose_format(None)
    logs.logger.setLevel(level)


def events(stream: io.StringIO) -> dict[str, dict[str, Any]]:
    """The last of each name."""
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert all({"severity", "message", "time"} <= line.keys() for line in lines)
    return {line["event"]: line for line in lines if "event" in line and line["event"] != "progress"}


def test_a_run_is_an_event_a_phase(told: io.StringIO, images: Path, run_pipeline: Run) -> None:
    (images / "bad.jpg").write_text("no image")
    (images / "notes.txt").write_text("no image either")
    report = run_pipeline(input=str(images), run_id="r")
    conclude("a table", *report.told())
    found = events(told)
    assert [*found] == ["start", "model", "list", "embed", "publish", "end"]
    assert (found["start"]["run_id"], found["start"]["input"]) == ("r", [str(images)])
    assert (found["model"]["features"], found["model"]["engine"]) == (8, report.manifest["model"]["engine"])
    assert (found["list"]["listed"], found["list"]["left_out"]) == (13, 1)
    assert (found["embed"]["embedded"], found["embed"]["failed_by_error"]) == (12, {"NotAnImage": 1})
    assert found["embed"]["bytes_read"] == sum(file.stat().st_size for file in images.glob("*.jpg"))
    assert found["end"]["counts"] == report.manifest["counts"]
    assert found["end"]["folder"] == report.folder
    assert found["end"]["seconds"].keys() == {"start", "model", "list", "embed", "publish"}
    assert all(line["severity"] == "INFO" for line in found.values())


def test_a_night_without_news_tells_what_it_listed(told: io.StringIO, images: Path, run_pipeline: Run) -> None:
    run_pipeline(input=str(images), run_id="r")
    report = run_pipeline(input=str(images), run_id="s", incremental=True)
    found = events(told)
    assert (found["start"]["run_id"], found["list"]["listed"], found["embed"]["embedded"]) == ("s", 12, 0)
    assert report.images == 0
    assert tally.counts()["objects_settled"] == 12  # by which the display knows that there is nothing left to do


def test_a_record_is_one_line_without_secrets_and_tracebacks() -> None:
    secrets.remember("correct-horse-battery")
    try:
        raise ValueError("correct-horse-battery\nstaple")
    except ValueError as e:
        record = logging.LogRecord("n", logging.WARNING, "f", 1, "it failed: %s\x1b", (e,), (type(e), e, None))
    record.figures = {"input": ["https://a/b?sig=XYZ"], "rate": float("nan"), "severity": "mine", "n": 1}
    record.created = 1_785_542_400.25
    line = JsonFormatter().format(record)
    assert json.loads(line) == {
        "severity": "WARNING", "message": "it failed: …\nstaple\\x1b", "time": "2026-08-01T00:00:00.250Z",
        "input": ["https://a/b?…"], "rate": None, "n": 1,
    }  # fmt: skip
    assert "\n" not in line


def test_the_command_that_goes_on_is_quoted_and_names_the_run(
    told: io.StringIO, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(typed, "_arguments", [])
    assert typed.command_with("r") == ""
    typed.remember(["run", "--input", "photos/*.jpg", "--output=a b"])
    command = "embed-images run --input 'photos/*.jpg' '--output=a b' --run_id r"
    assert typed.command_with("r") == command
    logs.tell_whole("to go on:", command)
    assert events(told)["command"]["command"] == command
    for given in (["--run_id=q"], ["--run_id", "q"], ["--run-id", "q"]):
        typed.remember(["run", *given])
        assert typed.command_with("q") == " ".join(["embed-images run", *given])


def test_the_command_that_goes_on_tells_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(typed, "_arguments", [])
    value = "it's a 'secret' of mine"
    secrets.remember(value)
    typed.remember(["run", "--storage_option", f"s3.secret={value}", "--input=https://u:p@h/a?sig=b", "--run_id=r"])
    command = "embed-images run --storage_option 's3.secret=…' '--input=https://…@h/a?…' --run_id=r"
    assert typed.command_with("r") == command
