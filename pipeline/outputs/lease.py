"""One run id, one holder: who works at a run says so beside its staged files, and keeps saying so."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.console.logs import logger
from pipeline.errors import RunError
from transforms.records import documents, layout, leases, removal
from transforms.records.leases import Lease
from transforms.records.output_error import OutputError, UnreadableError
from transforms.stores import storage


class HeldError(RunError):
    """A run id is held.

    Attributes:
        by_job: whether a job elsewhere works at it, and can be waited for.
    """

    def __init__(self, message: str, *, by_job: bool):
        super().__init__(message)
        self.by_job = by_job


_held: set[str] = set()  # attempts of this process


@dataclass
class Hold:
    """A run id that this process holds, for itself or for a job elsewhere.

    Attributes:
        number: of the lease.
        handed_over: to a job that goes on without this process, and whose workers renew the lease.
    """

    output: str
    run_id: str
    number: int
    content: dict[str, Any]
    handed_over: bool = False
    _ended: threading.Event = field(default_factory=threading.Event)

    def name_job(self, job: dict[str, str]) -> None:
        """Says in the lease which job the run is: see `shapes.Job`."""
        self.content = {**self.content, "job": job}
        self._renew()

    def hand_over(self) -> None:
        """Leaves the lease to the workers of a job: it ends when they give no sign of life."""
        self.handed_over = True
        self._ended.set()

    def keep_renewing(self) -> None:
        """Renews the lease until it is handed over or released."""
        while not self._ended.wait(leases.RENEWAL_SECONDS):
            if not self._renew():
                return

    @property
    def lease(self) -> Lease:
        """What a job needs to renew it."""
        return Lease(self.output, self.run_id, self.number, self.attempt)

    @property
    def attempt(self) -> str:
        return str(self.content["attempt"])

    def bar(self) -> None:
        """Keeps the job from publishing from here on, whatever its runner says of it: see `leases.holds`."""
        later = layout.lease_file(self.output, self.run_id, self.number + 1)
        with contextlib.suppress(FileExistsError):  # another holds it, which does as well
            leases.write(later, self.content, exclusive=True, over=True)

    def unbar(self) -> None:
        """Removes what `bar` has left, where nothing of the run is left that a job could publish."""
        removal.release(self.output, self.run_id, self.number + 1)

    def _renew(self) -> bool:
        uri = layout.lease_file(self.output, self.run_id, self.number)
        try:
            if not storage.exists(uri):
                return False  # published: staging is gone
            leases.write(uri, self.content)
        except Exception as e:  # of the store; the next renewal may succeed before the lease is over
            logger.debug("lease of %s not renewed: %s", uri, e)
        return True

    def release(self) -> None:
        """Ends the hold."""
        self._ended.set()
        try:
            removal.release(self.output, self.run_id, self.number)
        except Exception as e:  # it expires by itself
            logger.debug("lease %d of %s not removed: %s", self.number, self.run_id, e)


@contextmanager
def lease(
    output: str, run_id: str, attempt: str, *, here: bool, has_ended: Callable[[dict[str, str]], bool] | None = None
) -> Iterator[Hold]:
    """Holds a run id while the block lasts, and longer when the block hands it over.

    A lease is a file that the store lets only one create. It is renewed every `RENEWAL_SECONDS` and is over when that
    has not happened for `EXPIRY_SECONDS`; or at once, when its holder worked in a process of this machine that has
    ended, or is a job that is known to have ended.

    Args:
        here: whether the pipeline works in this process, and so ends with it.
        has_ended: whether the job that a lease names has ended, as far as can be known.

    Raises:
        HeldError: the run id is held.
        UnreadableError: it may be, by a lease that may not be read.
    """
    number, holder = last_lease(output, run_id)
    if holder is not None and is_alive(holder) and not (has_ended and "job" in holder and has_ended(holder["job"])):
        raise _refusal(output, run_id, holder)
    content = {"attempt": attempt, "host": socket.gethostname(), "pid": os.getpid(), "here": here, "since": time.time()}
    hold = Hold(output, run_id, number + 1, content)
    try:
        leases.write(layout.lease_file(output, run_id, hold.number), content, exclusive=True)
    except FileExistsError:
        other = last_lease(output, run_id)[1] or {**content, "renewed": time.time()}
        raise _refusal(output, run_id, other) from None
    _held.add(attempt)
    renewer = threading.Thread(target=hold.keep_renewing, name="lease", daemon=True)
    renewer.start()
    try:
        yield hold
    finally:
        _held.discard(attempt)
        if hold.handed_over:
            renewer.join()
        else:
            hold._ended.set()
            renewer.join()
            hold.release()


def holder_of(output: str, run_id: str, silence: float = leases.EXPIRY_SECONDS) -> str:
    """Who works at a run, as the end of a sentence; empty when nobody does.

    Args:
        silence: seconds without a sign of life after which a job elsewhere is taken for dead.
    """
    try:
        _, holder = last_lease(output, run_id)
    except UnreadableError as e:
        logger.warning("whoever wrote it may be at work: %s", e)
        return "somebody whose lease cannot be read"
    return who(holder) if holder is not None and is_alive(holder, silence) else ""


def last_lease(output: str, run_id: str) -> tuple[int, dict[str, Any] | None]:
    """Number and content of the last lease; (0, None) where there is none, None of one that no run has written.

    Raises:
        UnreadableError: it may be one, and may not be read.
    """
    number = leases.last_number(output, run_id)
    if not number:
        return 0, None
    try:
        return number, documents.read_lease(layout.lease_file(output, run_id, number))
    except UnreadableError:
        raise
    except OutputError as e:
        logger.warning("not believed: %s", e)
        return number, None


def is_alive(holder: dict[str, Any], silence: float = leases.EXPIRY_SECONDS) -> bool:
    """Whether a holder still works at its run, as far as its lease and this machine tell."""
    if holder["here"] and holder["host"] == socket.gethostname():
        own = holder["pid"] == os.getpid()  # as a restarted container may have it again
        return holder["attempt"] in _held if own else _runs(holder["pid"])
    return not leases.is_over(holder, silence)


def who(holder: dict[str, Any]) -> str:
    """A holder, as the end of a sentence."""
    since = datetime.fromtimestamp(holder["since"], UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    process = f"process {holder['pid']} on {holder['host']} since {since}"
    if holder["here"]:
        return process
    seen = f"last sign of life {max(leases.age(holder), 0):.0f} s ago"
    return f"{job_text(holder['job'])}, launched by {process}, {seen}" if "job" in holder else f"{process}, {seen}"


def job_text(job: dict[str, str]) -> str:
    """Which job, of which runner, and where to look at it."""
    named = job["name"] if job["id"] == job["name"] or not job["id"] else f"{job['name']} ({job['id']})"
    return f"job {named} of {job['runner']}" + (f" at {job['at']}" if job["at"] else "")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _refusal(output: str, run_id: str, holder: dict[str, Any]) -> HeldError:
    end = f"if it has died, its hold ends {leases.EXPIRY_SECONDS / 60:.0f} minutes after its last sign of life"
    if by_job := "job" in holder:
        end = f"`embed-images wait {output} --run_id {run_id}` waits for it; {end}"
    return HeldError(f"--run_id: {run_id!r} is being worked at by {who(holder)}; {end}", by_job=by_job)
