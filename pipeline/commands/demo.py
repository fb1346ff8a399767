"""embed-images demo."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.commands.command import Command
from pipeline.commands.reading import checked, sentences
from pipeline.commands.showing import add_showing, set_up_showing
from pipeline.errors import ConfigError
from pipeline.options.values import folder_uri
from transforms.stores import filesystems, storage


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", metavar="FOLDER", default="demo-output", help="default: demo-output")
    parser.add_argument("--model", metavar="HANDLE", help="feature module (default: the untrained stand-in)")
    add_showing(parser)


def _demo(given: argparse.Namespace, _: Sequence[str]) -> bool:
    folder = checked("--output", given.output, folder_uri)
    if not filesystems.is_local(folder):
        raise ConfigError("--output", given.output, "a local folder, which the photos are written to")
    set_up_showing(given)
    from pipeline.demo.demo import demo

    with sentences(given.output):
        demo(storage.path_of(storage.normalize(folder)), given.model)
    return True


DEMO = Command(
    "demo",
    help="make a corpus of photos, embed it, show the result",
    description="Makes a corpus of variants of scikit-image's photos and runs the pipeline over it.",
    add_arguments=_add_arguments,
    execute=_demo,
)
