"""Entries of the cache that say what they were made of, and hold no byte that was not written then.

An entry is found by a digest over all that it depends on. It holds `content`, and a seal: what it was made of and the
digest of the content. What does not fit its seal, or cannot be read, was damaged by a full disk or a hand: made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pipeline.model.cache import cached, private_cache
from pipeline.model.ownership import everything_in

CONTENT, SEAL = "content", "seal.json"
# What a reader of content raises that is not what was written: missing files, broken JSON, other keys and types.
UNREADABLE = (OSError, ValueError, KeyError, TypeError)
CHUNK = 1 << 20

T = TypeVar("T")


def sealed(kind: str, made_of: Mapping[str, Any], build: Callable[[Path], object], read: Callable[[Path], T]) -> T:
    """What `read` makes of an entry's content, built where it is not there whole.

    Args:
        kind: the folder of the cache in which entries of the kind lie.
        made_of: all that the content depends on, for JSON.
        build: makes the content at a path, a folder.
        read: gives the content, checked; one of `UNREADABLE` says that it is damaged.

    Raises:
        ModelError: the cache cannot be used; what `build` raises.
    """
    depends = json.dumps(made_of, sort_keys=True)
    key = f"{kind}/{hashlib.sha256(depends.encode()).hexdigest()}"

    def build_and_seal(entry: Path) -> None:
        entry.mkdir()
        build(entry / CONTENT)
        seal = {"made_of": json.loads(depends), "content": digest_of(entry / CONTENT)}
        (entry / SEAL).write_text(json.dumps(seal))

    entry = private_cache() / key
    if entry.exists():
        try:
            _check_seal(entry, json.loads(depends))
            return read(entry / CONTENT)
        except UNREADABLE:
            _remove(entry)
    return read(cached(key, build_and_seal) / CONTENT)


def digest_of(folder: Path) -> str:
    """sha256 over names and bytes of the files; without fingerprint.pb, which is new at every export."""
    digest = hashlib.sha256()
    for file in sorted(path for path in everything_in(folder) if path.is_file()):
        name = file.relative_to(folder).as_posix()
        if name == "fingerprint.pb":
            continue
        with file.open("rb") as stream:
            digest.update(f"{len(name)} {name} {os.fstat(stream.fileno()).st_size} ".encode())
            while chunk := stream.read(CHUNK):
                digest.update(chunk)
    return digest.hexdigest()


def _check_seal(entry: Path, made_of: Mapping[str, Any]) -> None:
    seal = json.loads((entry / SEAL).read_text())
    if seal["made_of"] != made_of or seal["content"] != digest_of(entry / CONTENT):
        raise ValueError("another content than was sealed")


def _remove(entry: Path) -> None:
    """Out of the way at once, so that of two runs that find the damage none removes what the other has made."""
    aside = entry.with_name(f".{entry.name}.{uuid.uuid4().hex[:8]}")
    try:
        os.rename(entry, aside)
    except FileNotFoundError:
        return
    shutil.rmtree(aside, ignore_errors=True)
