"""Globs: where one begins, and what it matches."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable

from fsspec.utils import glob_translate

from transforms.inputs.leaving_out import glob_takes
from transforms.inputs.rules import ListingError


def plain_part(pattern: str) -> tuple[str, list[str]]:
    """The folder in which a local pattern begins, and its steps from there."""
    steps = pattern.split("/")
    plain = next(i for i, step in enumerate(steps) if glob.has_magic(step))
    return "/".join(steps[:plain]) or "/", steps[plain:]


def before_magic(pattern: str) -> str:
    """What all names begin with that a pattern matches."""
    return re.split(r"[*?[]", pattern, maxsplit=1)[0]


def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a name is one that a pattern takes.

    Raises:
        ListingError: it is no pattern.
    """
    try:
        matches = re.compile(glob_translate(pattern)).match
    except ValueError as e:
        raise ListingError(f"{pattern}: {e}") from None
    takes = glob_takes(pattern)
    root = before_magic(pattern).rpartition("/")[0] + "/"
    return lambda name: matches(name) is not None and takes(name.removeprefix(root))
