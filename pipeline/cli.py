"""embed-images: the command line. Arguments in, sentences and exit codes out; each command is a file of `commands/`."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import difflib
import os
import re
import signal
import sys
from collections.abc import Sequence

from pipeline import __version__
from pipeline.commands.compact import COMPACT
from pipeline.commands.demo import DEMO
from pipeline.commands.duplicates import DUPLICATES
from pipeline.commands.evaluate import EVALUATE
from pipeline.commands.export import EXPORT
from pipeline.commands.latest import LATEST
from pipeline.commands.plan import PLAN
from pipeline.commands.report import REPORT
from pipeline.commands.run import RUN
from pipeline.commands.runs import RUNS
from pipeline.commands.search import SEARCH
from pipeline.commands.status import STATUS
from pipeline.commands.verify import VERIFY
from pipeline.commands.wait import WAIT
from pipeline.console import logs, typed
from pipeline.console.printable import printable
from pipeline.errors import ConfigError, ModelError, OutputError, RunError
from pipeline.options import lean
from pipeline.options.arguments import with_underscores
from pipeline.options.table import OWN_FLAGS
from transforms import collecting
from transforms.inputs.rules import ListingError
from transforms.stores.store_errors import describe_error

ALL = (RUN, PLAN, WAIT, STATUS, VERIFY, RUNS, LATEST, COMPACT, EXPORT, SEARCH, DUPLICATES, EVALUATE, REPORT, DEMO)
COMMANDS = {command.name: command for command in ALL}

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def program() -> None:
    """The console script: `main`, and an end that is not left to native libraries.

    About one of forty ends of a process that had used Arrow and tfx-bsl was seen to abort in a C++ destructor
    ("terminate called without an active exception"), with its work done and its exit status lost. So
    Python's own exit functions are run, and the process ends there.
    """
    try:
        main()
        status: object = 0
    except SystemExit as e:
        status = e.code or 0
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, AttributeError):  # closed ones
            stream.flush()
    os._exit(status if isinstance(status, int) else EXIT_FAILED)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses arguments and runs a command.

    Exits 0 when all went well, 1 when a run did not publish or a verification failed, 2 when an option
    is refused, 130 when it is interrupted.
    """
    if arguments is None:  # a process of ours
        lean.begin()
        collecting.seldom()
    try:
        status = _main(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt as e:
        sys.stderr.flush()
        if e.args == (signal.SIGTERM,):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        os._exit(EXIT_INTERRUPTED)  # at once: a normal exit would wait for fetches that may never end
    sys.exit(status)


def _main(arguments: list[str]) -> int:
    parser = _parser()
    given, unknown = parser.parse_known_args(with_underscores(arguments))
    if given.command is None:
        parser.print_help()
        return EXIT_USAGE
    command = COMMANDS[given.command]
    typed.remember(arguments)
    logs.choose_format(getattr(given, "log_format", None))  # for refusals of options, too
    if unknown and not command.passes_on:
        names = [argument.partition("=")[0] for argument in unknown if argument.startswith("-")]
        hint = _nearest_option(names[0], given) if names else ""
        parser.error(printable(f"no such argument: {' '.join(names) or 'one beside OUTPUT'}{hint}"))
    try:
        return 0 if command.execute(given, unknown) else EXIT_FAILED
    except ConfigError as e:
        return _refuse(e, f"{e}{_of_run(str(e), given)}", EXIT_USAGE)
    except (ListingError, ModelError, OutputError, RunError, OSError) as e:
        said = describe_error(e) if isinstance(e, OSError) else str(e)
        return _refuse(e, f"{said}{_of_run(said, given)}", EXIT_FAILED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="embed-images",
        description="Turns folders and buckets of images into TFRecords of feature vectors.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"embed-images {__version__}")
    parsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for command in COMMANDS.values():
        command.add_arguments(
            parsers.add_parser(
                command.name,
                help=command.help,
                description=command.description,
                epilog=command.epilog,
                allow_abbrev=False,
            )
        )
    return parser


def _nearest_option(name: str, given: argparse.Namespace) -> str:
    """A hint at the option of the command that was probably meant, as the end of a sentence, or ""."""
    flags = {own: flag for flag, own in OWN_FLAGS.items()}
    options = [flags.get(own, own) for own in vars(given) if own not in ("command", "output")]
    near = difflib.get_close_matches(name.lstrip("-"), options, n=1, cutoff=0.7)
    return f"; did you mean --{near[0]}?" if near else ""


def _of_run(said: str, given: argparse.Namespace) -> str:
    """What is to be added to a sentence that names options of `run`, to one who has typed another command."""
    named = dict.fromkeys(re.findall(r"(?<![\w-])--(\w+)", said))
    others = [f"--{name}" for name in named if name in OWN_FLAGS and not hasattr(given, OWN_FLAGS[name])]
    return f" ({', '.join(others)}: of `embed-images run`)" if others else ""


def _refuse(error: Exception, said: str, status: int) -> int:
    logs.refuse(error, said)
    return status
