"""What of all that a process logs reaches its error stream, as text and as JSON."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import logging, os, threading, warnings
from pipeline.console import logs
from pipeline.errors import RunError
logs.choose_format({format!r})
logs.set_up({verbose})
other = logging.getLogger("apache_beam.of.prism")
other.setLevel(logging.INFO)
other.info("chatter of Beam")
os.write(2, b"chatter of native code\\n")
warnings.warn("chatter of a library")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
logs.logger.info("our own")
logs.logger.warning("our warning")
try:
    raise RunError("our refusal")
except RunError as e:
    logs.refuse(e)
"""


def said(format: str, verbose: bool) -> list[str]:
    program = [sys.executable, "-c", SCRIPT.format(format=format, verbose=verbose)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_our_own_lines_alone_are_shown() -> None:
    lines = said("text", False)
    assert [line.partition(" ")[2] for line in lines] == ["our own", "our warning", "our refusal"]
    assert lines[-1] == "embed-images: our refusal"


def test_chatter_and_tracebacks_are_shown_when_asked_for() -> None:
    text = "\n".join(said("text", True))
    for words in (
        "chatter of Beam",
        "chatter of native code",
        "chatter of a library",
        "ZeroDivisionError",
        "Traceback",
    ):
        assert words in text


@pytest.mark.parametrize("verbose", [False, True])
def test_as_json_each_line_is_an_object(verbose: bool) -> None:
    lines = [json.loads(line) for line in said("json", verbose)]
    found = [(line["severity"], line["message"]) for line in lines]
    assert found[-3:] == [("INFO", "our own"), ("WARNING", "our warning"), ("ERROR", "our refusal")]
    assert lines[-1]["event"] == "error"
    if verbose:
        assert ("INFO", "chatter of Beam") in found
        assert any(severity == "WARNING" and "chatter of a library" in message for severity, message in found)
    else:
        assert len(found) == 3


def test_as_json_a_fault_of_the_program_itself_is_one_too() -> None:
    program = SCRIPT.format(format="json", verbose=False) + "raise KeyError('a fault')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    last = json.loads(done.stderr.splitlines()[-1])
    assert (done.returncode, last["severity"], last["message"]) == (1, "CRITICAL", "KeyError: 'a fault'")
