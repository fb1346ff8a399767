"""Leases: who works at a run, as files beside what it stages.

A lease is renewed by whoever works at its run, the launcher or any worker, and is over when nobody has done so for
`EXPIRY_SECONDS`. So it belongs to the work, and lives as long as that, whatever became of the launcher.
"""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple

from transforms.records import documents, layout, removal
from transforms.stores import folders, storage

RENEWAL_SECONDS = 30.0
EXPIRY_SECONDS = 300.0
MAX_SKEW_SECONDS = 3600.0  # of a holder's clock; a lease from further ahead is none
# Of a job that has lost its lease.
LOST = (
    "the run {} is no longer this job's: it has ended, was cancelled, or was taken over when nothing was heard of it; "
    "this job publishes nothing"
)


class Lease(NamedTuple):
    """A lease, and the attempt that holds it."""

    output: str
    run_id: str
    number: int
    attempt: str

    @property
    def uri(self) -> str:
        return layout.lease_file(self.output, self.run_id, self.number)


def last_number(output: str, run_id: str) -> int:
    """Of the last lease of a run, which is the one that holds; 0 when there is none."""
    folder = layout.staging_folder(output, run_id)
    names = [name for name, _ in folders.entries(folder)]
    return max((int(match[1]) for name in names if (match := layout.LEASE.fullmatch(name))), default=0)


def write(uri: str, content: dict[str, Any], *, exclusive: bool = False, over: bool = False) -> None:
    """Writes a lease, renewed now.

    Args:
        over: as one that is over; its number is taken all the same.

    Raises:
        FileExistsError: `exclusive`, and it is there.
    """
    renewed = 0.0 if over else time.time()
    storage.write_bytes(uri, json.dumps({**content, "renewed": renewed}).encode(), exclusive=exclusive)


def holds(lease: Lease) -> bool:
    """Whether a lease is there and none is later.

    A job asks before it publishes: one that was cancelled, or was not heard of until another took its run over, has
    lost its lease, and publishes nothing, whatever its runner says of it.
    """
    return last_number(lease.output, lease.run_id) == lease.number


def renew(lease: Lease) -> bool:
    """Renews a lease for the job of its attempt, unless another has just done so; gives whether it still holds.

    A run that ends removes its lease, perhaps between the two steps of this: then what was written is removed again.

    Raises:
        OutputError: what lies there is no lease.
        OSError: of the store; others have error classes of their own.
    """
    content = documents.read_lease(lease.uri)
    if content is None or not holds(lease):
        return False
    if 0 <= age(content) < RENEWAL_SECONDS / 2:
        return True
    write(lease.uri, content)
    if storage.exists(layout.attempt_file(lease.output, lease.run_id, lease.attempt)):
        return True
    removal.release(lease.output, lease.run_id, lease.number)
    return False


def age(content: dict[str, Any]) -> float:
    """Seconds since the last sign of life; below 0 when the clock of its holder is ahead."""
    return time.time() - float(content["renewed"])


def is_over(content: dict[str, Any], silence: float = EXPIRY_SECONDS) -> bool:
    """Whether there was no sign of life for so many seconds."""
    return not -MAX_SKEW_SECONDS < age(content) < silence
