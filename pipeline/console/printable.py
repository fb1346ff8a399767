"""Texts for a person. Names of others hold what they like, and a terminal obeys what it is shown."""

from __future__ import annotations


def printable(text: str) -> str:
    """One line that does nothing but be read: controls, line ends and what turns text around are spelled out.

    Such as `\\x1b` for the escape that begins a terminal's commands.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def printable_lines(text: str) -> str:
    """As `printable`, line by line, for texts that have lines of their own."""
    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str, most: int) -> str:
    """A text, or its beginning and an ellipsis where it has more characters than `most`."""
    return text if len(text) <= most else text[: most - 1] + "…"


def counted(number: int, noun: str) -> str:
    """Such as: 1 run, 2,000 runs."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
