"""The documentation, held against the program: commands, names, links, and classes of errors."""

from __future__ import annotations

import ast
import importlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.cli import COMMANDS, _parser
from pipeline.options.beam import _unknown_to_beam
from pipeline.options.config import make_config

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
MAKERS = ("ImageError", "FetchError", "Refusal", "DeadLetter", "refused")
CLASS = r"(?:[A-Z][a-z]*){2,}"


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """(language, text) of a page's code."""
    yield from FENCE.findall(page.read_text())


def commands() -> Iterator[tuple[str, list[str]]]:
    """(page, arguments) of each command line that a page shows."""
    for page in PAGES:
        for _, text in blocks(page):
            plain = re.sub(r"\$\([^)]*\)", "FOUND", text.replace("\\\n", " "))
            for line in plain.splitlines():
                if found := re.match(r"\s*(?:\$ )?(?:\.venv/bin/)?embed-images +(.*)", line):
                    yield page.name, shlex.split(found[1].partition(" > ")[0], comments=True)


@pytest.mark.parametrize(
    ("page", "arguments"), [*commands()], ids=lambda value: value if isinstance(value, str) else ""
)
def test_each_command_is_one(page: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its options are known, and those of runs have values that are allowed."""
    monkeypatch.chdir(ROOT)  # where the run configs are
    given, unknown = _parser().parse_known_args(arguments)
    command = COMMANDS[given.command]
    assert command.passes_on or not unknown
    assert _unknown_to_beam(unknown) == []
    if command.name in ("run", "plan") and not any("…" in argument for argument in arguments):
        make_config(vars(given), unknown)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_a_page_is_python_and_imports_what_there_is(page: Path) -> None:
    for language, text in blocks(page):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module in ("pipeline", "transforms"):
                given = importlib.import_module(node.module)
                assert {alias.name for alias in node.names} <= set(given.__all__)


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as its readers make them."""
    text = FENCE.sub("", page.read_text())
    titles = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.replace("`", "").lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """To files that are there, and to headings of pages; the pages of the reference are made with the site."""
    text = FENCE.sub("", page.read_text())
    for target in (link or image for link, image in LINK.findall(text)):
        if "://" in target or target.startswith("reference/"):
            continue
        name, _, anchor = target.partition("#")
        path = page if not name else (page.parent / name).resolve()
        assert path.exists(), target
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), target


def classes_in_code() -> set[str]:
    """The classes of errors that dead letters are given, by the calls that make them."""
    found = set()
    for path in (ROOT / "transforms").rglob("*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in MAKERS:
                found |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "error":
                found |= {node.value.value} if isinstance(node.value, ast.Constant) else set()
    errors = ast.parse((ROOT / "transforms/stores/store_errors.py").read_text())
    (told_apart,) = (node for node in errors.body if isinstance(node, ast.FunctionDef) and node.name == "error_class")
    for node in ast.walk(told_apart):
        if isinstance(node, ast.Return) and node.value is not None:
            found |= {each.value for each in ast.walk(node.value) if isinstance(each, ast.Constant)}
    return {name for name in found if isinstance(name, str) and re.fullmatch(CLASS, name)}


def told(page: str, heading: str) -> set[str]:
    """The classes in the first cells of a table."""
    text = (ROOT / "docs" / page).read_text().partition(heading)[2].partition("\n## ")[0]
    rows = re.findall(r"^\|(.*?)\|(.*?)\|", text, re.MULTILINE)
    return {name for row in rows for cell in row for name in re.findall(f"`({CLASS})`", cell)}


def test_each_class_of_errors_is_told() -> None:
    """In the format, with its stage; and with what to do about it."""
    there = classes_in_code()
    assert len(there) > 20
    assert told("output-format.md", "\n## Dead letters") >= there
    assert told("errors.md", "\n## One image") == told("output-format.md", "\n## Dead letters")
