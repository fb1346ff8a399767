"""What a command gives, on stdout."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from pipeline.console import logs, terminal
from pipeline.console.printable import printable_lines
from transforms.stores.secrets import redacted


def say(text: str) -> None:
    """Prints a result. A closed or full stdout does not change what was done, nor the exit code."""
    shown = printable_lines(redacted(text))
    try:
        if terminal.is_terminal(sys.stdout):
            terminal.show(terminal.console_of(sys.stdout), shown)
        else:
            print(shown, flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the interpreter flushes it at its exit


def conclude(text: str, message: str, figures: Mapping[str, Any], event: str = "end") -> None:
    """Prints what came out of a run; where lines are JSON, tells it as their last one, its figures as fields."""
    if logs.is_json():
        logs.tell(event, figures, "%s", message)
    else:
        say(text)
