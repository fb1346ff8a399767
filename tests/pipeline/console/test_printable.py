"""What a terminal is shown of names: nothing that it obeys, and nothing that rich takes for markup."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.cli import main
from pipeline.console import logs
from pipeline.console.printable import printable, printable_lines
from pipeline.console.results import say
from pipeline.runs.housekeeping import Contents, LeftBehind, RunEntry
from pipeline.runs.running import RunReport
from pipeline.runs.summary import summary

EVIL = "a\x1b[2J\x1b]0;owned\x07\r\u202egpj.\u2028b[/][bold]:smile:\\"
COUNTS = {
    "listed": 3, "unchanged": 0, "failed_before": 0, "outside": 0, "over_limit": 0, "embedded": 3, "failed": 0,
    "failed_by_error": {}, "duplicates": 0, "deleted": 0,
}  # fmt: skip


@given(st.text())
def test_a_line_stays_one_and_holds_nothing_to_obey(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert printable(shown) == shown
    assert printable_lines(text).count("\n") == text.count("\n")


def test_names_of_any_alphabet_are_left_as_they_are() -> None:
    assert printable("/photos/写真 naïve #1 [x]\\.jpg") == "/photos/写真 naïve #1 [x]\\.jpg"
    assert printable("\x1b[31m\udce9\u202e") == "\\x1b[31m\\udce9\\u202e"


def report(folder: str, **counts: Any) -> RunReport:
    model = {"engine": "litert", "precision": "f32", "feature_dim": 8}
    return RunReport(folder, {"counts": COUNTS | counts, "model": model}, {})


def test_a_summary_shows_names_as_they_are() -> None:
    lines = summary(report(f"/out/{EVIL}", left_out={EVIL: 2})).splitlines()
    assert all(line.isprintable() for line in lines)
    assert lines[-2].endswith(f"/out/{printable(EVIL)}")
    assert f"2 files of other kinds ({printable(EVIL)} 2)" in lines[-3]
    assert lines[-1].startswith("3 images: 3 embedded; ")


def test_a_summary_tells_what_was_left_out() -> None:
    left_out = {".txt": 1200, ".json": 30, "none": 4, "._*": 3, ".a": 2, ".b": 1, ".c": 1, "other": 9}
    assert (
        "left out  1,250 files of other kinds (.txt 1,200, .json 30, no extension 4, ._* 3, .a 2, .b 1, 2 more kinds)"
        in summary(report("/out", left_out=left_out))
    )
    assert "left out" not in summary(report("/out"))  # a run of an earlier version


def test_what_an_output_holds_is_shown_as_it_is() -> None:
    run = RunEntry(EVIL, EVIL, 1, EVIL, 2, None, None, 2, 0, 0, 100, held_by=EVIL)
    shown = Contents([run], [LeftBehind(EVIL, 0, 0, EVIL)], [EVIL], [EVIL], [EVIL]).as_text().splitlines()
    assert len(shown) == 8
    assert all(line.isprintable() for line in shown)
    assert shown[1].count(printable(EVIL)) == 3
    assert shown[2] == f"generation 1: {printable(EVIL)}"
    assert shown[5].startswith(f"left behind: {printable(EVIL)}: ")


def test_logs_and_results_and_refusals_are_shown_so(capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.makeLogRecord({"msg": "run %s", "args": (f"x\n{EVIL}",)})
    assert logs._Formatter("%(message)s").format(record) == f"run x\n{printable(EVIL)}"
    say(EVIL)
    assert capsys.readouterr().out == f"{printable(EVIL)}\n"
    with pytest.raises(SystemExit) as exited:
        main(["verify", f"/nowhere/{EVIL}"])
    assert exited.value.code == 1
    assert printable(EVIL) in capsys.readouterr().err.rstrip("\n")
