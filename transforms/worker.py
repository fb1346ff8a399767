"""What a worker process of Beam's imports in its main thread when it starts (`--beam_plugin`): how it ends.

On SIGTERM, as clusters and spot machines end their workers, it stages what it has embedded, for the next attempt at the
run.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from types import FrameType

SPOOLS = "transforms.records.spool"


def _end(number: int, _: FrameType | None) -> None:
    """Of a worker that has not written yet there is nothing to keep, and nothing is imported for it."""
    signal.signal(number, signal.SIG_DFL)
    if SPOOLS in sys.modules:
        sys.modules[SPOOLS].keep_open()
    os.kill(os.getpid(), number)


gc.freeze()  # see `collecting`; a worker process has nothing else to do
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGTERM, _end)
