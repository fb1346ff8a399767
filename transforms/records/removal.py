"""Deletion: the one file that removes anything of an output.

An output is a folder that people share. What is removed has the whole name of what runs write, and beside it lies what
says that a run has written it: a lease or an attempt's note in staging, a claim (run.json) in a run's folder. All else
stays, and is named. Nothing behind a link is removed, and no folder above those of a run.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
from collections.abc import Collection, Iterable

from transforms.records import documents, layout
from transforms.records.layout import REFUSED, RUNS, STAGING
from transforms.records.output_error import OutputError
from transforms.stores import filesystems, storage


def remove_staging(output: str, run_id: str, attempt: str = "", *, unfinished: bool = False) -> None:
    """Removes what an attempt at a run has staged, or all of them and their leases.

    Args:
        unfinished: leave what a later attempt can take over: finished shards of features, their ledgers, and the note
            that says what they are.
    """
    if not is_claimed(output, STAGING, run_id):
        return
    below = f"{attempt}/" if attempt else ""
    kept: set[str] = set()
    if unfinished:
        names = set(names_in(output, STAGING, run_id))
        ledgers = {name for name in names if layout.STAGED_LEDGER.fullmatch(posixpath.basename(name))}
        notes = {name for name in names if posixpath.basename(name) == layout.ATTEMPT_NOTE}
        kept = ledgers | notes | {name.removesuffix(".ledger") for name in ledgers}
    _remove(output, STAGING, run_id, below, kept)


def unpublish(output: str, run_id: str) -> None:
    """Takes a run out of the output by removing its mark; `remove_unpublished` removes the rest."""
    if is_claimed(output, RUNS, run_id):
        _delete(storage.join(layout.run_folder(output, run_id), layout.SUCCESS))


def remove_unpublished(output: str, run_id: str) -> None:
    """Removes what a publish that ended in the middle has left in the folder of its run."""
    success = storage.join(layout.run_folder(output, run_id), layout.SUCCESS)
    if not storage.exists(success) and is_claimed(output, RUNS, run_id):
        _remove(output, RUNS, run_id)


def remove_refused(output: str, run_id: str) -> None:
    """Removes the dead letters of a run that was refused."""
    if is_claimed(output, REFUSED, run_id):
        _remove(output, REFUSED, run_id)


def release(output: str, run_id: str, number: int) -> None:
    """Removes a lease."""
    _delete(layout.lease_file(output, run_id, number))
    _remove_empty(output, STAGING, run_id, ())


def foreign_names(output: str, run_id: str) -> list[str]:
    """Paths within the output, in the folders of a run that is not published, that no run has written."""
    found = []
    for place in (RUNS, REFUSED, STAGING):
        names = names_in(output, place, run_id)
        if is_claimed(output, place, run_id):
            names = [name for name in names if not layout.is_written_here(place, name)]
        found += [posixpath.join(place, run_id, name) for name in names]
    return found


def is_claimed(output: str, place: str, run_id: str) -> bool:
    """Whether a run says that the folder of that id is its own."""
    folder = storage.join(output, place, run_id)
    if link_to(output, place, run_id):
        return False
    if place == STAGING:
        return any(_holds(storage.join(folder, name)) for name in names_in(output, place, run_id))
    try:
        claim = documents.read_claim(folder)
    except OutputError:
        return False
    return claim is not None and (place == RUNS or "refused" in claim)


def names_in(output: str, place: str, run_id: str) -> list[str]:
    """The files and links below a run's folder, by their paths within it; links are not followed."""
    return sorted(sizes_in(output, place, run_id))


def sizes_in(output: str, place: str, run_id: str) -> dict[str, int]:
    """As `names_in`, with the bytes of each."""
    folder = storage.join(output, place, run_id)
    if link := link_to(output, place, run_id):
        return {link: 0}
    if not filesystems.is_local(folder):
        root = folder.partition("://")[2] + "/"
        found = filesystems.filesystem(folder).find(folder, detail=True)
        plain = {(path.partition("://")[2] or path): int(info.get("size") or 0) for path, info in found.items()}
        return {path.removeprefix(root): size for path, size in plain.items() if path.startswith(root)}
    sizes = {}
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for path in (os.path.join(parent, name) for name in (*files, *links)):
            with contextlib.suppress(FileNotFoundError):
                sizes[os.path.relpath(path, folder)] = os.lstat(path).st_size
    return sizes


def _holds(uri: str) -> bool:
    """Whether a file of a staging folder is a lease or an attempt's note."""
    name = posixpath.basename(uri)
    try:
        if layout.LEASE.fullmatch(name):
            return documents.read_lease(uri) is not None
        return name == layout.ATTEMPT_NOTE and documents.read_attempt(uri) is not None
    except OutputError:
        return False


def link_to(output: str, place: str, run_id: str = "") -> str:
    """Which of a place and a run's folder in it is a link; empty when none is."""
    if not filesystems.is_local(output):
        return ""
    folders = (storage.join(output, place), storage.join(output, place, run_id).rstrip("/"))
    return next((folder for folder in folders if os.path.islink(folder)), "")


def _remove(output: str, place: str, run_id: str, below: str = "", kept: Collection[str] = ()) -> None:
    names = (name for name in names_in(output, place, run_id) if name.startswith(below) and name not in kept)
    own = [name for name in names if layout.is_written_here(place, name)]
    # What claims the folder goes last, so that a removal that ends in the middle can be taken up.
    for name in sorted(own, key=lambda name: (name.endswith(".json"), "/" not in name, name)):
        _delete(storage.join(output, place, run_id, name))
    _remove_empty(output, place, run_id, own)


def _delete(uri: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if filesystems.is_local(uri):
            os.remove(uri)
        else:
            filesystems.filesystem(uri).rm_file(uri)


def _remove_empty(output: str, place: str, run_id: str, removed: Iterable[str]) -> None:
    """Removes the local folders that are empty now: of what was removed, of the run, and that of all staging."""
    if not filesystems.is_local(output):
        return
    run = storage.join(output, place, run_id)
    below = {parent for name in removed for parent in _parents(name)}
    folders = [storage.join(run, name) for name in sorted(below, key=len, reverse=True)]
    for folder in (*folders, run, *([storage.join(output, place)] if place == STAGING else ())):
        with contextlib.suppress(OSError):  # not empty, or gone
            os.rmdir(folder)


def _parents(name: str) -> Iterable[str]:
    while name := posixpath.dirname(name):
        yield name
