"""The display of a run on a terminal: a few lines, drawn anew four times a second, below those of the log."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from pipeline.console import logs, terminal
from pipeline.console.pace import Pace
from pipeline.console.printable import printable
from pipeline.console.sight import Sight, clock, failures_text, figures_text, left_text, pace_text
from transforms.stores.secrets import redacted

LOOK_SECONDS = 0.25
BAR_COLUMNS = 24
ECHO = 3  # columns that are left for a terminal's own `^C`, which would go on in a line that is not taken away


class Display:
    """Drawn until it is stopped.

    Args:
        look: gives what is to be seen by now.
        pace: of it.
    """

    def __init__(self, look: Callable[[], Sight], pace: Pace):
        self._look = look
        self._pace = pace
        self._spinner = Spinner("dots")

    def show(self, finished: threading.Event) -> None:
        """Until `finished`; then its lines are gone, and those of the log stay."""
        console = terminal.console_of(sys.stderr)
        live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False)
        with logs.beside(console), live:
            while not finished.wait(LOOK_SECONDS):
                live.update(self.drawn(self._look(), console), refresh=True)

    def drawn(self, sight: Sight, console: Console) -> Group:
        """What a moment looks like, in lines that are cut where the terminal ends."""
        head = Table.grid(padding=(0, 1))
        total = sight.total if sight.phase != "list" else 0
        cells: list[RenderableType] = [self._spinner, Text(sight.state or sight.phase, "bold")]
        if total and sight.phase != "publish":
            cells += [ProgressBar(total, sight.done, width=BAR_COLUMNS), f"{sight.done / total:4.0%}"]
        figures = [figures_text(sight), left_text(sight, self._pace)]
        cells.append(", ".join(part for part in figures if part))
        head.add_row(*cells)
        lines: list[RenderableType] = [head]
        pace = [pace_text(sight, self._pace), f"{clock(sight.seconds)} so far" if sight.counts else ""]
        for text, style in (
            (", ".join(part for part in pace if part), ""),
            (failures_text(sight), "red"),
            (sight.said, ""),
            (sight.job, "dim"),
        ):
            if text:
                line = Text(f"  {printable(redacted(text))}", style, no_wrap=True)
                line.truncate(console.width - ECHO, overflow="ellipsis")
                lines.append(line)
        return Group(*lines)
