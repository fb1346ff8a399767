"""What a command is."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """A command of the command line.

    Attributes:
        name: what is typed.
        help: one line, for the list of commands.
        description, epilog: for its own --help.
        add_arguments: to its parser.
        execute: does it, given its parsed arguments, and those unknown to the parser where it `passes_on`; gives
            whether all is well. Errors of `pipeline.errors` and `ListingError` are said by the caller.
        passes_on: what its parser does not know goes to Beam.
    """

    name: str
    help: str
    description: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    execute: Callable[[argparse.Namespace, Sequence[str]], bool]
    epilog: str = ""
    passes_on: bool = False
