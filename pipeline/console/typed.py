"""The command line as it was typed, for lines that tell what to type next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from transforms.stores.secrets import redacted

PROGRAM = "embed-images"
_arguments: list[str] = []


def remember(arguments: Sequence[str]) -> None:
    """Called once, by the command line."""
    _arguments[:] = arguments


def command_with(run_id: str) -> str:
    """The same command for that run id, quoted for a shell; "" where this process was not started by one.

    What may be secret in it is taken out, before quotes could change it.
    """
    if not _arguments:
        return ""
    named = any(argument.partition("=")[0].replace("-", "_") == "__run_id" for argument in _arguments)
    return shlex.join([PROGRAM, *map(redacted, _arguments), *([] if named else ["--run_id", run_id])])
