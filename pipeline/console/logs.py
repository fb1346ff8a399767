"""What a person sees: our own lines; the chatter of TensorFlow, absl and Beam only when asked for."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import warnings

from pipeline.console.printable import printable_lines
from transforms.stores.secrets import redacted

logger = logging.getLogger("embed_images")


def set_up(verbose: bool) -> None:
    """Configures logging of the whole process; called once, by the command line.

    Native libraries write to file descriptor 2 behind Python's back (and TensorFlow's settings do not
    stop all of it). Unless `verbose`, that descriptor leads nowhere, and Python keeps the real one.
    """
    if sys.stderr is None:  # closed, as some schedulers do
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the life of the process
    elif not verbose:
        _divert_native_stderr()
    if not verbose:
        warnings.simplefilter("ignore")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL, handlers=[handler], force=True)
    logger.setLevel(logging.INFO)


def keep_quiet() -> None:
    """For commands that need no `set_up`: of what is logged, our own warnings are shown, and nothing of libraries.

    Those of stores log a traceback for each request that fails, which Python shows where nobody has set anything up.
    """
    if logging.getLogger().handlers:
        return
    warnings.simplefilter("ignore")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=logging.CRITICAL, handlers=[handler])
    logger.setLevel(logging.WARNING)


class _Formatter(logging.Formatter):
    """Lines, tracebacks and all, without what may be secret, and without what a terminal would obey."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(redacted(super().format(record)))


def _divert_native_stderr() -> None:
    sys.stderr.flush()
    real = os.dup(2)
    sys.stderr = os.fdopen(real, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    with open(os.devnull, "wb") as sink:
        os.dup2(sink.fileno(), 2)
    faulthandler.enable(sys.stderr)  # a crash of native code still shows where


def is_verbose() -> bool:
    """Whether the chatter is shown."""
    return logging.getLogger().isEnabledFor(logging.INFO)
