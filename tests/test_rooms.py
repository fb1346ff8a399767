"""docs/architecture.md tells every room of the house, and no other."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def is_file(name: str) -> bool:
    return name.endswith(".py")


def test_the_rooms_are_the_folders_and_files_that_there_are() -> None:
    (tree,) = re.findall(r"^## The rooms.*?^```\n(.*?)^```", (ROOT / "docs/architecture.md").read_text(), re.M | re.S)
    told: list[str] = []
    folders: list[str] = []
    for line in tree.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        names = line.split()
        if names[0].endswith("/"):
            folders = [*folders[:depth], names[0]]
        told += ["".join([*folders[:depth], name]) for name in takewhile(is_file, names)]
    packages = ("pipeline", "transforms")
    there = [path for package in packages for path in (ROOT / package).rglob("*.py") if path.name != "__init__.py"]
    assert sorted(told) == sorted(str(path.relative_to(ROOT)) for path in there)
