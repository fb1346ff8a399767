"""The options of a run as arguments of a command line, and what a misspelt one was probably meant to be."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Sequence
from typing import Any

from pipeline.options.option import Option
from pipeline.options.table import BY_NAME, GROUPS, PIPELINE_OPTIONS
from pipeline.options.values import byte_size


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `OPTIONS` to a parser. Values stay as given; the default None says that one was not."""
    for title, options in GROUPS.items():
        group = parser.add_argument_group(title)
        for option in options:
            _add_argument(group, option)


def _add_argument(group: argparse._ArgumentGroup, option: Option) -> None:
    kind: dict[str, Any] = {"nargs": "?", "const": True, "metavar": "true|false"}
    if not option.switch:
        kind = {"action": "append" if option.repeatable else "store", "metavar": option.metavar}
    default = "" if option.default in (None, (), False, {}) else f" (default: {_shown(option)})"
    again = "; may be given several times" if option.repeatable else ""
    name, words = option.flag or option.name, option.help.replace("%", "%%") + again + default
    group.add_argument(f"--{name}", dest=option.name, default=None, help=words, **kind)


def _shown(option: Option) -> str:
    if option.check is byte_size:
        return f"{option.default >> 20}MiB"
    return str(option.default)


def with_underscores(arguments: Sequence[str]) -> list[str]:
    """Arguments with `_` for each `-` within the names of options, this program's and Beam's alike: --run-id."""
    return [_with_underscores(argument) for argument in arguments]


def _with_underscores(argument: str) -> str:
    name, equals, value = argument.partition("=")
    is_name = re.fullmatch(r"--[a-zA-Z][a-zA-Z0-9_-]*", name)
    return f"--{name[2:].replace('-', '_')}{equals}{value}" if is_name else argument


def closest_option(name: str) -> str:
    """A hint at the option that was probably meant, as the end of a sentence; empty when none is near."""
    near = difflib.get_close_matches(name, [*BY_NAME, "config", PIPELINE_OPTIONS], n=1, cutoff=0.8)
    return f"; did you mean {near[0]}?" if near else ""
