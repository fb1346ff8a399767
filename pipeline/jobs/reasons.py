"""Why a job failed: one sentence out of what runners of several languages say, stack traces and all."""

from __future__ import annotations

import re

# What runners say of their own troubles, and what that means.
_KNOWN = (
    (
        re.compile("client cancelled|SDK worker disconnected|Channel closed prematurely|Multiplexer hanging up"),
        "a worker process has ended: killed, perhaps for its memory; the logs of workers and machines tell more",
    ),
    (
        re.compile("TaskManager with id .{1,100} (is no longer reachable|timed out)"),
        "a TaskManager was lost; its log and its machine's tell more",
    ),
    (
        re.compile("NoResourceAvailableException|Could not acquire the minimum required resources"),
        "the cluster had too few free slots: give a smaller --parallelism, or start more TaskManagers",
    ),
    (
        re.compile("ConnectException: Connection refused"),
        "the job server does not reach Flink; is its JobManager running, where --flink_master says?",
    ),
)
_CANCELLED = re.compile(r"JobCancellationException|Job was cancelled|^CANCELLED\b")
_TRACEBACK = "Traceback (most recent call last)"
_PYTHON = re.compile(r"^(?:\w+\.)*\w+(?:: .*)?$", re.MULTILINE)  # a line of a traceback that is not indented
_CAUSE = re.compile(r"^\s*Caused by: (?:[\w.$]+(?:Exception|Error): )?(.+)$", re.MULTILINE)


def reason_of(text: str, state: str = "failed") -> str:
    """The last cause that a message names, as the end of a sentence.

    Args:
        text: what the runner said; "" when it said nothing.
        state: what is said then.
    """
    text = text.strip()
    if not text:
        return f"its runner says {state.lower()}, and not why; its log and those of its workers tell more"
    said = _said_in(text)
    for pattern, meaning in _KNOWN:
        if found := pattern.search(said):
            return f"{meaning} ({found[0]!r}, says its runner)"
    return said.splitlines()[0] if "\n\tat " in said else said.splitlines()[-1]


def was_cancelled(text: str) -> bool:
    """Whether a message of a job that failed says that someone has cancelled it."""
    return _CANCELLED.search(_said_in(text.strip())) is not None


def _said_in(text: str) -> str:
    """The last error of Python's that a message quotes, else the last cause that a stack trace of Java's names."""
    if _TRACEBACK in text and (errors := _PYTHON.findall(text.rpartition(_TRACEBACK)[2])):
        return str(errors[0])
    if causes := _CAUSE.findall(text):
        return str(causes[-1])
    return text
