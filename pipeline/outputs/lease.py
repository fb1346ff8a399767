"""One run id, one holder: who works at a run says so beside its staged files, and keeps saying so."""

from __future__ import annotations

import json
import os
import posixpath
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from pipeline.console.logs import logger
from pipeline.errors import RunError
from transforms.records import documents, layout, removal
from transforms.records.output_error import OutputError
from transforms.stores import filesystems, storage

RENEWAL_SECONDS = 30.0
EXPIRY_SECONDS = 300.0
MAX_SKEW_SECONDS = 3600.0  # of a holder's clock; a lease from further ahead is none
_held: set[str] = set()  # attempts of this process


@contextmanager
def lease(output: str, run_id: str, attempt: str, *, here: bool, kept: bool = False) -> Iterator[None]:
    """Holds a run id while the block lasts, against other launchers at the same one.

    A lease is a file that the store lets only one create. It is renewed every `RENEWAL_SECONDS` and is over when that
    has not happened for `EXPIRY_SECONDS`; or at once, when its holder worked in a process of this machine that has
    ended.

    Args:
        here: whether the pipeline works in this process, and so ends with it.
        kept: leave the lease to end by itself, for a job that goes on after the block.

    Raises:
        RunError: the run id is held.
    """
    number, holder = _last(output, run_id)
    if holder is not None and _is_alive(holder):
        raise RunError(_described(run_id, holder))
    content = {"attempt": attempt, "host": socket.gethostname(), "pid": os.getpid(), "here": here, "since": time.time()}
    uri = layout.lease_file(output, run_id, number + 1)
    try:
        storage.write_bytes(uri, _encoded(content), exclusive=True)
    except FileExistsError:
        raise RunError(_described(run_id, _last(output, run_id)[1] or content)) from None
    _held.add(attempt)
    ended = threading.Event()
    renewer = threading.Thread(target=_renew, args=(uri, content, ended), name="lease", daemon=True)
    renewer.start()
    try:
        yield
    finally:
        ended.set()
        renewer.join()
        _held.discard(attempt)
        if not kept:
            _release(output, run_id, number + 1)


def holder_of(output: str, run_id: str) -> str:
    """Who works at a run, as the end of a sentence; empty when nobody does."""
    _, holder = _last(output, run_id)
    return _who(holder) if holder is not None and _is_alive(holder) else ""


def _renew(uri: str, content: dict[str, Any], ended: threading.Event) -> None:
    while not ended.wait(RENEWAL_SECONDS):
        try:
            if not storage.exists(uri):
                return  # published: staging is gone
            storage.write_bytes(uri, _encoded(content))
        except Exception as e:  # of the store; the next renewal may succeed before the lease is over
            logger.debug("lease of %s not renewed: %s", uri, e)


def _release(output: str, run_id: str, number: int) -> None:
    try:
        removal.release(output, run_id, number)
    except Exception as e:  # it expires by itself
        logger.debug("lease %d of %s not removed: %s", number, run_id, e)


def _encoded(content: dict[str, Any]) -> bytes:
    return json.dumps({**content, "renewed": time.time()}).encode()


def _last(output: str, run_id: str) -> tuple[int, dict[str, Any] | None]:
    """Number and content of the last lease; (0, None) where there is none, None of one that no launcher has written."""
    folder = layout.staging_folder(output, run_id)
    fs = filesystems.filesystem(folder)
    if not fs.isdir(folder):
        return 0, None
    names = (posixpath.basename(path.rstrip("/")) for path in fs.ls(folder, detail=False))
    number = max((int(match[1]) for name in names if (match := layout.LEASE.fullmatch(name))), default=0)
    if not number:
        return 0, None
    try:
        return number, documents.read_lease(layout.lease_file(output, run_id, number))
    except OutputError as e:
        logger.warning("not believed: %s", e)
        return number, None


def _is_alive(holder: dict[str, Any]) -> bool:
    if holder["here"] and holder["host"] == socket.gethostname():
        own = holder["pid"] == os.getpid()  # as a restarted container may have it again
        return holder["attempt"] in _held if own else _runs(holder["pid"])
    return -MAX_SKEW_SECONDS < time.time() - float(holder["renewed"]) < EXPIRY_SECONDS


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _who(holder: dict[str, Any]) -> str:
    since = datetime.fromtimestamp(holder["since"], UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return f"process {holder['pid']} on {holder['host']} since {since}"


def _described(run_id: str, holder: dict[str, Any]) -> str:
    expiry = f"if it has died, its hold ends {EXPIRY_SECONDS / 60:.0f} minutes after its last sign of life"
    return f"--run_id: {run_id!r} is being worked at by {_who(holder)}; {expiry}"
