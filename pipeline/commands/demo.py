"""embed-images demo."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from pipeline.commands.command import Command
from pipeline.commands.showing import add_showing, set_up_showing


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="FOLDER", default="demo-output", help="default: demo-output")
    parser.add_argument("--model", metavar="HANDLE", help="feature module (default: the untrained stand-in)")
    add_showing(parser)


def _demo(given: argparse.Namespace, _: Sequence[str]) -> bool:
    set_up_showing(given)
    from pipeline.demo.demo import demo

    demo(os.path.abspath(given.output), given.model)
    return True


DEMO = Command(
    "demo",
    help="make a corpus of photos, embed it, show the result",
    description="Makes a corpus of variants of scikit-image's photos and runs the pipeline over it.",
    add_arguments=_add_arguments,
    execute=_demo,
)
