"""What a command gives, on stdout."""

from __future__ import annotations

import os
import sys

from pipeline.console.printable import printable_lines
from transforms.stores.secrets import redacted


def say(text: str) -> None:
    """Prints a result. A closed or full stdout does not change what was done, nor the exit code."""
    try:
        print(printable_lines(redacted(text)), flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the interpreter flushes it at its exit
