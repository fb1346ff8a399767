"""A job elsewhere, asked for its state and counters every few seconds until it has ended."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from pipeline.console.logs import logger, tell
from pipeline.console.progress import progress
from pipeline.console.sight import Sight, phase_of
from pipeline.jobs.job import ForgottenError, Job, NoAnswerError, has_ended

POLL_SECONDS = 2.0
LOST_SECONDS = 60.0
STAGED_SECONDS = 10.0  # between two looks at what is staged, which a store lists in pages
NOW_SECONDS = 60.0  # that "now" is: counters of a runner come in lumps
WAKE_SECONDS = 0.2  # between two looks at whether it is over, so that Ctrl-C is heard


class LostError(Exception):
    """Nobody answers for a job any more, which may go on."""


class Watch:
    """What is known of a job by now.

    Attributes:
        state: one of Beam's `PipelineState`.
        counters: of `transforms.tally`, summed.
        first: when images were first seen to be counted, on the clock of `time.monotonic`.
    """

    def __init__(self, job: Job, staged: Callable[[], str], *, what: str = "", limit: int = 0):
        """
        Args:
            staged: what a job whose counters are not told has finished, in words.
            what: which job it is, and where it is looked at.
            limit: images that are embedded at most; 0: all.
        """
        self.job = job
        self._what = what
        self._limit = limit
        self._began = time.monotonic()
        self.state = ""
        self.counters: Counter[str] = Counter()
        self.first: float | None = None
        self._staged = staged
        self._details = self._staged_then = ""
        self._staged_due = 0.0
        self._answered = time.monotonic()
        self._over = threading.Event()
        self._failure: Exception | None = None

    def look(self) -> Sight:
        """What a person sees of it."""
        seconds, state = time.monotonic() - self._began, self.state.lower() or "submitted"
        if (silence := time.monotonic() - self._answered) > 5 * POLL_SECONDS:
            return Sight("job", seconds, state=state, job=self._what, said=f"no answer for {silence:.0f} s")
        if self.counters:
            phase = phase_of(self.counters, self.first)
            return Sight(phase, seconds, self.counters, self.first, self._limit, state, self._what)
        said = ", ".join(part for part in (self._details, self._staged_then) if part)
        return Sight("job", seconds, state=state, job=self._what, said=said)

    def wait(self) -> str:
        """Waits until the job has ended, and shows how it gets on; gives its last state.

        Raises:
            LostError: nobody has answered for `LOST_SECONDS`, or knows the job.
            KeyboardInterrupt: Ctrl-C.
        """
        self._answered = time.monotonic()
        self._over.clear()
        stopped = threading.Event()
        threading.Thread(target=self._poll, args=(stopped,), name="watch", daemon=True).start()
        try:
            with progress(self.look, NOW_SECONDS):
                while not self._over.wait(WAKE_SECONDS):
                    if time.monotonic() - self._answered > LOST_SECONDS:
                        raise LostError(f"no answer for {LOST_SECONDS:.0f} s")
        finally:
            stopped.set()
        if self._failure is not None:
            raise LostError(_told(self._failure)) from self._failure
        return self.state

    def _poll(self, stopped: threading.Event) -> None:
        while not stopped.is_set():
            try:
                self._look()
            except NoAnswerError as e:
                logger.debug("job %s: %s", self.job.id, e)
            except Exception as e:  # whatever its runner raises: nobody answers for the job then
                self._failure = e
                self._over.set()
                return
            if has_ended(self.state):
                self._over.set()
                return
            stopped.wait(POLL_SECONDS)

    def _look(self) -> None:
        state = self.job.state()
        self._answered = time.monotonic()
        if state != self.state:
            tell("state", {**self.job.describe(), "state": state}, "job %s: %s", self.job.name, state.lower())
            self.state = state
        counters = self.job.counters()
        if counters["images_selected"] and self.first is None:
            self.first = time.monotonic()
        self.counters = counters
        if not counters and self._answered > self._staged_due:
            self._details, self._staged_then = self.job.details(), self._staged()
            self._staged_due = time.monotonic() + STAGED_SECONDS + 10 * (time.monotonic() - self._answered)


def _told(failure: Exception) -> str:
    return "it is not known there any more" if isinstance(failure, ForgottenError) else str(failure)
