"""What an input covers: of which objects it can be said that they are gone, since it would list them."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable

from transforms.inputs import globs, walking
from transforms.inputs.choosing import kind_not_chosen
from transforms.inputs.containers.naming import container_of
from transforms.inputs.inputs import normalized, sentences, store_listing
from transforms.inputs.leaving_out import kind_left_out
from transforms.inputs.rules import DEFAULT_RULES, Rules
from transforms.stores import filesystems, storage


def coverage(text: str, rules: Rules = DEFAULT_RULES) -> Callable[[str], bool]:
    """Tells of a uri whether `list_input` would give it if it existed; of a member, whether its container.

    A manifest covers nothing: that it does not name an image does not say that it is gone. Nor does an inventory, which
    does not tell of what part of a bucket it is, and lags behind it; nor a folder that may not be listed.

    Raises:
        ListingError: as `list_input`.
    """
    covers = _coverage(text, rules)
    return lambda name: covers(container_of(name) or name) and not kind_not_chosen(name, rules)


def _coverage(text: str, rules: Rules) -> Callable[[str], bool]:
    uri = normalized(text)
    with sentences(text):
        if filesystems.is_local(uri):
            return _local_coverage(storage.path_of(uri), rules)
        if (found := store_listing(text, rules)) is not None:
            return lambda name: name.startswith(found.prefix) and not found.left_out(name)
        return lambda name: False


def _local_coverage(path: str, rules: Rules) -> Callable[[str], bool]:
    if os.path.isdir(path):
        below = path.rstrip("/") + "/"

        def covers(name: str) -> bool:
            found = storage.path_of(name) if filesystems.is_local(name) else ""
            return (
                found.startswith(below)
                and not kind_left_out(found.removeprefix(below), rules.all_files)
                and walking.accessible(os.path.dirname(found), path)
            )

        return covers
    if glob.has_magic(path) and not os.path.lexists(path):
        matches = globs.matcher(path)
        root, _ = globs.plain_part(path)
        return lambda name: (
            filesystems.is_local(name)
            and matches(storage.path_of(name))
            and walking.accessible(os.path.dirname(storage.path_of(name)), root)
        )
    return lambda name: False
