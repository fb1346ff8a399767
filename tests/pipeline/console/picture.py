"""docs/progress.svg: what a terminal shows in the middle of a run, drawn from what the program writes to one.

`python -m tests.pipeline.console.picture docs/progress.svg run --input … --output …` runs the program with these
arguments, and draws the screen that it has when half of its images are done.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from tests.pipeline.commands.typed import PROGRAM
from tests.pipeline.console.screens import COLUMNS, Terminal, terminal

HALF = re.compile(r" (5\d|6\d)% ")
NAMES = {"default": "", "brown": "yellow"}  # pyte's for rich's
FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)  # which a reader's browser would fetch


def drawn(screen: Terminal) -> str:
    """The lines of a screen, in its colours, as SVG."""
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), force_terminal=True)  # noqa: SIM115
    for line in screen.coloured():
        text = Text()
        for (colour, is_bold), letters in groupby(line, key=lambda cell: cell[1:]):
            style = f"#{colour}" if re.fullmatch("[0-9a-f]{6}", colour) else NAMES.get(colour, colour)
            text.append("".join(letter for letter, *_ in letters), f"{style} {'bold' if is_bold else ''}".strip())
        text.rstrip()
        console.print(text, soft_wrap=True)
    return FONTS.sub("", console.export_svg(title="embed-images run", theme=SVG_EXPORT_THEME, unique_id="progress"))


def main(target: str, arguments: list[str]) -> None:
    with terminal() as screen:
        environment = {**os.environ, "TERM": "xterm-256color"}
        process = subprocess.Popen(
            [PROGRAM, *arguments], stdout=screen.follower, stderr=screen.follower, env=environment
        )
        while process.poll() is None and not any(HALF.search(line) for line in screen.lines()):
            time.sleep(0.05)
        Path(target).write_text("\n".join(line.rstrip() for line in drawn(screen).splitlines()) + "\n")
        process.wait()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
