"""What mkdocs makes of this folder besides its pages: the reference of commands and of Python names, and links.

The reference is made from the parsers and the lists of public names when the site is built, so it cannot be old.
"""

from __future__ import annotations

import argparse
import ast
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

from pipeline.cli import COMMANDS

ROOT = Path(__file__).parents[2]
OUTSIDE = re.compile(r"\[([^\]]*)\]\((?:\.\./[^)]*)\)")  # of files of the repository that are no pages


def on_files(files: Files, config: Any) -> Files:
    """Adds the generated pages."""
    for name, text in {"reference/commands.md": commands_page(), "reference/python.md": python_page()}.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to source files lead nowhere on a site: what they are called stays."""
    return OUTSIDE.sub(lambda link: link[1] if link[1].startswith("`") else f"`{link[1]}`", markdown)


def commands_page() -> str:
    """Each command with its options, as its --help has them."""
    return "\n".join(["# Commands", "", *_commands()])


def _commands() -> Iterator[str]:
    for command in COMMANDS.values():
        parser = argparse.ArgumentParser(prog=f"embed-images {command.name}", add_help=False, allow_abbrev=False)
        command.add_arguments(parser)
        yield from (f"## embed-images {command.name}", "", command.description, "")
        if command.epilog:
            yield from (command.epilog, "")
        for group in parser._action_groups:
            if not group._group_actions:
                continue
            if group.title not in ("options", "positional arguments"):
                yield from (f"**{group.title}**", "")
            yield from ("| | |", "|---|---|")
            yield from (_row(action) for action in group._group_actions)
            yield ""


def _row(action: argparse.Action) -> str:
    """A bar would end a cell of a table, within code, too."""
    name = action.option_strings[0] if action.option_strings else str(action.metavar)
    value = f" {action.metavar}" if action.option_strings and action.metavar and action.nargs != 0 else ""
    cells = (f"<code>{html.escape(name + value)}</code>", html.escape((action.help or "").replace("%%", "%")))
    return "| " + " | ".join(cell.replace("|", "&#124;").replace("*", "&#42;") for cell in cells) + " |"


def python_page() -> str:
    """Each public name, by its docstring."""
    examples = "[In a program of your own](../library.md) has examples."
    lines = ["# Names in Python", "", f"Everything else is private. {examples}"]
    for package in ("pipeline", "transforms"):
        lines += ["", f"## `{package}`", ""]
        for module, name in public_names(package):
            lines += [f"::: {package}{module}.{name}", ""]
    return "\n".join(lines)


def public_names(package: str) -> list[tuple[str, str]]:
    """(module, name) of what a package gives."""
    stub = ast.parse((ROOT / package / "__init__.pyi").read_text())
    given = [
        (f".{node.module}", alias.name)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    return sorted(given, key=lambda place: place[1].lower())
