"""Ctrl-C and SIGTERM while a pipeline works in this process: what was embedded is kept, then the run ends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pipeline.console.logs import logger
from pipeline.errors import Stopped
from transforms.records import spool


@contextmanager
def stoppable() -> Iterator[None]:
    """Within it, the first of the two signals ends the block, the second one the process.

    A program that uses this one as a library keeps handlers of its own, and signals that are ignored stay so.

    Raises:
        Stopped: one came. What this process had embedded is staged, as far as stores let it be.
    """
    defaults: dict[signal.Signals, Any] = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    in_main_thread = threading.current_thread() is threading.main_thread()
    taken = [number for number, own in defaults.items() if in_main_thread and signal.getsignal(number) == own]
    came: list[int] = []

    def stop(number: int, _: FrameType | None) -> None:
        if came:
            os._exit(128 + number)
        came.append(number)
        raise Stopped(number)

    for number in taken:
        signal.signal(number, stop)
    try:
        yield
    except BaseException as e:
        if not is_interrupt(e):
            raise
        logger.info("stopping: what was embedded is being kept; once more ends at once")
        spool.keep_open()
        raise Stopped(*came) from e
    finally:
        for number in taken:
            signal.signal(number, defaults[number])


def is_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C was pressed within a DoFn: Beam wraps whatever is raised there."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False
