"""The display of a run, as a terminal shows it: beside the lines of the log, within 80 columns, and gone at its end."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Iterator

import pytest

from pipeline.console import logs, progress
from pipeline.console.results import say
from pipeline.console.sight import Sight
from tests.pipeline.console.screens import COLUMNS, Terminal, terminal
from tests.waiting import wait_until

FAILED = {"failed_" + name * 3: 100 - number for number, name in enumerate(("NotAnImage", "TooLarge", "Truncated"))}
SAID = "a line that a person reads and that is longer than a terminal is wide, so that it goes on in a second one"
URI = "s3://" + "/".join(["a-folder-with-a-long-name"] * 4)


@pytest.fixture(autouse=True)
def as_it_is(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process is left as it was, and no variable of the caller's counts."""
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    progress.choose(None)  # what a test before has chosen
    logs.choose_format(None)
    yield
    progress.choose(None)
    logs.choose_format(None)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    """A terminal that the log goes to; and, from `in_front` on, the error stream."""
    with terminal() as screen:
        handler = logs._Handler(screen.stream)
        handler.setFormatter(logs._Formatter("%(asctime)s %(message)s", logs.STAMP))
        monkeypatch.setattr(logs.logger, "handlers", [handler])
        monkeypatch.setattr(logs.logger, "propagate", False)
        # Levels are kept by loggers for what was asked of them before: `setLevel` clears that.
        levels = {each: each.level for each in (logs.logger, logging.getLogger())}
        logs.logger.setLevel(logging.INFO)
        logging.getLogger().setLevel(logging.WARNING)
        yield screen
        for logger, level in levels.items():
            logger.setLevel(level)


def in_front(screen: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """To be called by the test itself: pytest sets streams of its own after fixtures."""
    monkeypatch.setattr(sys, "stdout", screen.stream)
    monkeypatch.setattr(sys, "stderr", screen.stream)


def embedding(**more: str) -> Sight:
    counts = {
        "objects_listed": 5000,
        "images_selected": 5000,
        "images_embedded": 900,
        "bytes_read": 9_000_000,
        **FAILED,
    }
    return Sight("embed", 65, counts, time.monotonic() - 60, **more)


def test_the_display_is_drawn_below_the_lines_of_the_log_and_is_gone_at_the_end(
    screen: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_front(screen, monkeypatch)
    with progress.progress(lambda: embedding(job=f"job j of FlinkRunner at {URI}")):
        screen.wait_for("1,197 of 5,000 images")
        for number in range(5):
            logs.logger.info("line %d: %s", number, SAID)
        logs.logger.warning("look at %s", URI)
        screen.wait_for("line 4")
        wait_until(lambda: any("24%" in line for line in screen.lines()[-4:]))
        shown = screen.lines()
    assert re.search(r"embed ━+╸?━+  24% 1,197 of 5,000 images, 3:\d\d left$", shown[-4]), shown[-4]
    assert re.fullmatch(r"  \d\d\.\d images/s now, \d\d\.\d on the whole, 0\.\d MB/s, 1:05 so far", shown[-3]), shown[
        -3
    ]
    assert shown[-2].startswith("  297 failed (NotAnImageNotAnImageNotAnImage 100, ")
    assert shown[-1].startswith("  job j of FlinkRunner at s3://a-folder")
    assert all(len(line) <= COLUMNS for line in shown)
    assert all(len(line) <= COLUMNS - 3 for line in shown[-4:])  # where a terminal writes ^C
    assert shown[-2].endswith("…")
    assert shown[-1].endswith("…")
    wait_until(lambda: not any("━" in line for line in screen.lines()))
    left = screen.lines()
    # Cut at words, and whole, each in its place.
    for number in range(5):
        first = next(index for index, line in enumerate(left) if f"line {number}: a line" in line)
        assert left[first][9:] + " " + left[first + 1][9:] == f"line {number}: {SAID}"
        assert left[first + 1].startswith(" " * 9)
    assert "".join(left[-2:]).endswith(URI)  # what is copied from a terminal has no break in it
    assert not any("images" in line for line in left)
    assert b"\x1b[?25l" not in screen.raw  # the cursor is not hidden: who is killed could not show it again


def test_failures_and_warnings_have_colours_and_the_rest_has_none(
    screen: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_front(screen, monkeypatch)
    with progress.progress(embedding):
        screen.wait_for("297 failed")
        assert screen.colour_of("297 failed") == "red"
    logs.logger.warning("a warning")
    logs.logger.info("embed: 3 embedded, 2 failed, 0.1 MB read")
    logs.logger.info("embed: 3 embedded, 0 failed, 9.1 MB read")
    logs.refuse(ValueError("no [bold]such[/] thing"))
    screen.wait_for("embed-images: no [bold]such[/] thing")
    screen.wait_for("9.1 MB")
    assert screen.colour_of("a warning") in ("brown", "yellow")
    assert screen.colour_of("2 failed") == "red"
    assert screen.colour_of("0 failed") == "default"
    assert screen.colour_of("embed: 3") == "default"
    assert screen.colour_of("embed-images: no") == "red"


def test_results_have_colours(screen: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    in_front(screen, monkeypatch)
    say("run a: 12 records, 1 dead letters: holds\nrun b: 3 records, 0 dead letters: 2 problems")
    say("listed    12\nembedded  9\nfailed    3\n  NotAnImage  3\nimages/s  1\nrun       /holds")
    screen.wait_for("/holds")
    assert screen.colour_of("holds") == "green"
    assert screen.colour_of("2 problems") == "red"
    assert screen.colour_of("failed    3") == "red"
    assert screen.colour_of("NotAnImage") == "red"
    assert screen.colour_of("listed") == screen.colour_of("images/s") == screen.colour_of("/holds") == "default"


def test_no_color_leaves_the_display_without_colours(screen: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    in_front(screen, monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    with progress.progress(embedding):
        screen.wait_for("297 failed")
        assert screen.colour_of("297 failed") == "default"
    logs.logger.warning("a warning")
    screen.wait_for("a warning")
    assert screen.colour_of("a warning") == "default"


@pytest.mark.parametrize("term", ["dumb", "", "unknown"])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
    term: str, screen: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_front(screen, monkeypatch)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.1)
    with progress.progress(embedding):
        screen.wait_for("1,197 of 5,000 images, 297 failed")
    assert b"\x1b" not in screen.raw


@pytest.mark.parametrize(
    ("way", "log_format", "is_terminal", "expected"),
    [
        (None, None, True, "rich"),
        (None, None, False, "plain"),
        ("rich", None, True, "rich"),
        ("rich", None, False, "plain"),
        ("plain", None, True, "plain"),
        ("none", None, True, "none"),
        ("json", None, True, "json"),
        (None, "json", True, "json"),
        ("plain", "json", False, "json"),
        ("none", "json", False, "none"),
    ],
)
def test_the_way_that_suits(
    way: str | None, log_format: str | None, is_terminal: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.console.terminal.is_terminal", lambda _: is_terminal)
    progress.choose(way)
    logs.choose_format(log_format)
    assert progress.chosen() == expected
    monkeypatch.setattr(logs, "is_verbose", lambda: True)
    assert progress.chosen() == ("plain" if (way, expected) == (None, "rich") else expected)


@pytest.mark.parametrize("way", ["none", "plain", "json"])
def test_lines_of_progress_come_as_asked_for(way: str, monkeypatch: pytest.MonkeyPatch, screen: Terminal) -> None:
    in_front(screen, monkeypatch)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.1)
    progress.choose(way)
    looks: list[int] = []
    with progress.progress(lambda: looks.append(1) or embedding()):  # type: ignore[func-returns-value]
        wait_until(lambda: len(looks) >= 3)
        if way != "none":
            screen.wait_for("5,000")
    said = "".join(line for line in screen.lines())
    if way == "none":
        assert said == ""
    elif way == "plain":
        assert "1,197 of 5,000 images, 297 failed" in said
    else:
        fields = json.loads(screen.raw.decode().splitlines()[0])
        assert (fields["event"], fields["done"], fields["total"], fields["failed"]) == ("progress", 1197, 5000, 297)
        assert b"\x1b" not in screen.raw
