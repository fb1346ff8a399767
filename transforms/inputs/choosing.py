"""What is left out of inputs though it is an image: by patterns of its name, or as not of a sample."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from urllib.parse import unquote

from transforms.inputs.containers.naming import container_of, kind_of, member_of
from transforms.inputs.rules import Rules
from transforms.records.uris import share_of
from transforms.stores import filesystems, storage

EXCLUDED, NOT_SAMPLED = "excluded", "not sampled"


def kind_not_chosen(uri: str, rules: Rules) -> str:
    """As what an image is counted that is left out; "" of one that is taken.

    Which images are in a sample depends on their uris alone: the same ones every night, and in a larger sample these
    and more. Of a container its members are sampled.
    """
    if rules.exclude and _excluder(rules.exclude)(uri):
        return EXCLUDED
    is_sampled = rules.sample == 1 or kind_of(uri) or share_of(uri) < rules.sample
    return "" if is_sampled else NOT_SAMPLED


def compiled(pattern: str) -> re.Pattern[str]:
    """What a pattern matches: with a slash the whole uri, as a glob of an input; else any step of its path.

    Raises:
        ValueError: it is none.
    """
    from fsspec.utils import glob_translate  # when there is a pattern: the command line has none to tell of

    if "/" in pattern and not pattern.startswith("**"):
        pattern = storage.normalize(pattern)
    return re.compile(glob_translate(pattern))


@functools.lru_cache(maxsize=8)
def _excluder(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    of_steps = [compiled(pattern).match for pattern in patterns if "/" not in pattern]
    of_uris = [compiled(pattern).match for pattern in patterns if "/" in pattern]

    def is_excluded(uri: str) -> bool:
        if container := container_of(uri):
            steps = member_of(uri).split("/")
            return (
                any(match(uri) for match in of_uris)
                or any(match(step) for step in steps for match in of_steps)
                or (is_excluded(container))
            )
        name = storage.path_of(uri) if filesystems.is_local(uri) else uri
        if any(match(name) for match in of_uris):
            return True
        steps = name.partition("://")[2].split("/")[1:] if "://" in name else name.split("/")
        if filesystems.scheme_of(uri) in storage.WEB_SCHEMES:
            steps = [unquote(step) for step in "/".join(steps).partition("?")[0].split("/")]
        return any(match(step) for step in steps for match in of_steps)

    return is_excluded
