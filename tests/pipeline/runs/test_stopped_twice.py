"""Ctrl-C once stops cleanly, twice ends at once; a program that has handlers of its own keeps them."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from pipeline.errors import Stopped
from pipeline.runs.stopping import stoppable

SLOW = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
from pipeline.runs import stopping
def keep_open():
    print("keeping", flush=True)
    time.sleep(600)
stopping.spool.keep_open = keep_open
with stopping.stoppable():
    print("working", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_what_takes_too_long(second: int) -> None:
    with subprocess.Popen([sys.executable, "-c", SLOW], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "working\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "keeping\n"
        process.send_signal(second)
        assert process.wait(60) == 128 + second


def test_a_signal_within_says_which_it_was_and_leaves_no_handler() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Stopped) as stopped, stoppable():
        signal.raise_signal(signal.SIGTERM)
    assert stopped.value.args == (signal.SIGTERM,)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_handlers_of_a_program_of_ones_own_are_kept() -> None:
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        with stoppable():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert came == [signal.SIGTERM]


def test_other_errors_are_not_taken_for_interruptions() -> None:
    with pytest.raises(ValueError, match="of another kind"), stoppable():
        raise ValueError("of another kind")
