"""What an option of a run is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Option:
    """One option of a run.

    Attributes:
        check: turns a given value into the one that is used, or raises `NotAllowedError`.
        default: of the checked value.
        help: for --help and for the Dataflow template.
        metavar: what stands for the value in --help.
        repeatable: may be given several times; the value is then a tuple.
        switch: true when it is given; a launcher that must give a value may say true or false.
        flag: the name on the command line, where it is another one.
    """

    name: str
    check: Callable[[Any], Any]
    default: Any
    help: str
    metavar: str = ""
    repeatable: bool = False
    switch: bool = False
    flag: str = ""
