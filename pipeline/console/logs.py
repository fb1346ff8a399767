"""What a person sees: our own lines; the chatter of TensorFlow, absl and Beam only when asked for."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pipeline.console import terminal
from pipeline.console.printable import printable, printable_lines
from pipeline.console.structured import JsonFormatter
from pipeline.errors import ConfigError
from transforms.stores.secrets import redacted

if TYPE_CHECKING:
    from rich.console import Console

logger = logging.getLogger("embed_images")
FORMATS = ("text", "json")
STAMP = "%H:%M:%S"
INDENT = len("00:00:00 ")
COLOURS = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red"}

_format = "text"
_console: Console | None = None  # that shows a display at the moment, beside which lines are written


def choose_format(name: str | None) -> None:
    """Has all lines of this process be "text", or "json". Other names are refused elsewhere."""
    global _format
    _format = name if name in FORMATS else "text"


def is_json() -> bool:
    return _format == "json"


def set_up(verbose: bool) -> None:
    """Configures logging of the whole process; called once, by the command line.

    Native libraries write to file descriptor 2 behind Python's back (and TensorFlow's settings do not
    stop all of it). Unless `verbose`, that descriptor leads nowhere, and Python keeps the real one; and
    where every line is JSON, too.
    """
    if sys.stderr is None:  # closed, as some schedulers do
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the life of the process
    elif not verbose or is_json():
        _divert_native_stderr()
    if not verbose:
        warnings.simplefilter("ignore")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    if not verbose or is_json():
        # Threads of Beam's that are cut off, by Ctrl-C or a lost worker, tell nothing that the main one does not.
        threading.excepthook = sys.unraisablehook = _pass_over
    if is_json():
        sys.excepthook = lambda kind, error, trace: logger.critical("%s: %s", kind.__name__, error)
    logging.captureWarnings(is_json())
    handler = _Handler(sys.stderr)
    handler.setFormatter(JsonFormatter() if is_json() else _Formatter("%(asctime)s %(message)s", STAMP))
    if not verbose:  # some of Beam's loggers have levels of their own, such as that of Prism's output
        handler.addFilter(lambda record: record.name == logger.name or record.levelno >= logging.CRITICAL)
    logging.basicConfig(level=logging.INFO if verbose else logging.CRITICAL, handlers=[handler], force=True)
    logger.setLevel(logging.INFO)


def tell(event: str, figures: Mapping[str, Any], message: str, *arguments: object) -> None:
    """A line of ours that tells of an event of a run, whose figures become fields where lines are JSON."""
    logger.info(message, *arguments, extra={"event": event, "figures": figures})


def tell_whole(message: str, command: str) -> None:
    """A line of ours, and below it a command that is to be copied: no stamp before it, and cut nowhere."""
    if is_json():
        tell("command", {"command": command}, "%s %s", message, command)
        return
    logger.info("%s", message)
    logger.info("%s", command, extra={"whole": True})


def refuse(error: Exception, said: str = "") -> None:
    """The last words of a command: why it failed, by the error itself or as `said`."""
    said = said or str(error)
    if is_json():
        record = logging.makeLogRecord({"levelname": "ERROR", "msg": said, "event": "error"})
        print(JsonFormatter().format(record), file=sys.stderr)
        return
    if is_verbose() and not isinstance(error, ConfigError):
        print(printable_lines(redacted(traceback.format_exc())), file=sys.stderr)
    text = printable(redacted(f"embed-images: {said}"))
    if terminal.is_terminal(sys.stderr):
        terminal.show(terminal.console_of(sys.stderr), text, "red")
    else:
        print(text, file=sys.stderr)


@contextmanager
def beside(console: Console) -> Iterator[None]:
    """Writes lines beside what a console displays, for as long as the block runs."""
    global _console
    _console = console
    try:
        yield
    finally:
        _console = None


class _Handler(logging.StreamHandler[Any]):
    """Lines to a stream; to a terminal in colour, cut at words, and above a display."""

    def emit(self, record: logging.LogRecord) -> None:
        if is_json() or getattr(record, "json", False) or not (_console or terminal.is_terminal(self.stream)):
            return super().emit(record)
        try:
            console = _console or terminal.console_of(self.stream)
            text = self.format(record)
            if not getattr(record, "whole", False):
                text = terminal.fitted(text, console.width, INDENT)
            terminal.show(console, text, COLOURS.get(record.levelno, ""))
        except Exception:  # as its base does
            self.handleError(record)


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
        if getattr(record, "json", False):
            return JsonFormatter().format(record)
        if getattr(record, "whole", False):
            return printable_lines(redacted(record.getMessage()))
        return printable_lines(redacted(super().format(record)))


def _divert_native_stderr() -> None:
    sys.stderr.flush()
    real = os.dup(2)
    sys.stderr = os.fdopen(real, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    with open(os.devnull, "wb") as sink:
        os.dup2(sink.fileno(), 2)
    faulthandler.enable(sys.stderr)  # a crash of native code still shows where


def _pass_over(error: object) -> None:
    logger.debug("in a thread: %s", error)


def is_verbose() -> bool:
    """Whether the chatter is shown."""
    return logging.getLogger().isEnabledFor(logging.INFO)
