"""What a terminal gets more than a pipe: colours, lines that end at words, and a display that moves.

NO_COLOR and TERM=dumb are respected: https://no-color.org. rich is imported for a terminal only.
"""

from __future__ import annotations

import os
import textwrap
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

DUMB = ("", "dumb", "unknown")
LEAST_WIDTH = 40
# Words of ours, and how they are shown.
STYLES = (
    (r"(?<=: )[\d,]+ problems?\b.*", "red"),
    (r"\b(?!0 failed)[\d,]+ failed(?: \([^)]*\))?", "red"),
    (r"(?m)^ *failed +[1-9][\d,]*(?:\n {2}\S+ +[\d,]+$)*", "red"),
    (r"(?m)(?<=: )holds$", "green"),
)


def is_terminal(stream: IO[str] | None) -> bool:
    """Whether a stream ends at a terminal that moves a cursor."""
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM", "") not in DUMB
    except ValueError:  # a closed one
        return False


def console_of(stream: IO[str]) -> Console:
    """rich's console of a terminal: it shows what it is given, and takes nothing for markup."""
    from rich.console import Console

    class CursorKeeping(Console):
        def show_cursor(self, show: bool = True) -> bool:
            """It is never hidden: a process that is killed could not show it again."""
            return False

    return CursorKeeping(file=stream, force_terminal=True, highlight=False, markup=False, emoji=False)


def show(console: Console, text: str, style: str = "") -> None:
    """Prints lines as they are, wherever they end, with our words in colour."""
    console.print(styled(text, style), soft_wrap=True)


def styled(text: str, style: str = "") -> Text:
    """A text with our words in colour."""
    from rich.text import Text

    shown = Text(text, style)
    for pattern, colour in STYLES if not style else ():
        shown.highlight_regex(pattern, colour)
    return shown


def fitted(text: str, width: int, indent: int) -> str:
    """A line cut at words, the further ones indented. A word that is too long, such as a URI, stays whole."""
    cut = textwrap.TextWrapper(
        max(width, LEAST_WIDTH), subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join("\n".join(cut.wrap(line)) for line in text.split("\n"))
