"""What commands share that take long: how they show their progress, and what their lines are."""

from __future__ import annotations

import argparse

from pipeline.console import logs, progress
from pipeline.options.config import check_option
from pipeline.options.table import BY_NAME

NAMES = ("progress", "log_format", "verbose")


def add_showing(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `run` for what is shown."""
    for name in NAMES:
        option = BY_NAME[name]
        if option.switch:
            parser.add_argument(f"--{name}", action="store_true", help=option.help)
        else:
            parser.add_argument(f"--{name}", metavar=option.metavar, help=option.help)


def set_up_showing(given: argparse.Namespace) -> None:
    """Raises ConfigError when one of them is not allowed."""
    show(check_option("progress", given.progress), check_option("log_format", given.log_format), given.verbose)


def show(way: str | None, log_format: str, verbose: bool) -> None:
    """Called once a process."""
    progress.choose(way)
    logs.choose_format(log_format)
    logs.set_up(verbose)
