"""embed-images: the command line. Parses arguments and turns errors into sentences; the rest is elsewhere."""

from __future__ import annotations

import argparse
import atexit
import contextlib
import os
import sys
import traceback
from collections.abc import Iterator, Sequence

from pipeline import __version__
from pipeline.errors import ConfigError, RunError
from pipeline.options.config import CompactConfig, check_option, default_run_id, make_config
from pipeline.options.table import BY_NAME, add_arguments
from transforms.records import layout
from transforms.stores import filesystems, storage
from transforms.stores.store_errors import describe_error

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
    try:
        status = _main(list(sys.argv[1:] if arguments is None else arguments))
    except KeyboardInterrupt:
        sys.stderr.flush()
        os._exit(EXIT_INTERRUPTED)  # at once: a normal exit would wait for fetches that may never end
    sys.exit(status)


def _main(arguments: list[str]) -> int:
    parser = _parser()
    given, unknown = parser.parse_known_args(arguments)
    if given.command is None:
        parser.print_help()
        return EXIT_USAGE
    if unknown and given.command not in ("run", "compact"):
        parser.error(f"no such argument: {' '.join(unknown)}")
    command = COMMANDS[given.command]
    return command(given, unknown)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="embed-images",
        description="Turns folders and buckets of images into TFRecords of feature vectors.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"embed-images {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="embed images and publish the result",
        description="Embeds every image of the inputs and publishes the result as a run under the output.",
        epilog="Any other option goes to Apache Beam, such as --runner=DataflowRunner. Flags win over --config.",
        allow_abbrev=False,
    )
    run.add_argument("--config", metavar="FILE.yaml", help="a run config: these options by name, and pipeline_options:")
    run.add_argument("--dry_run", action="store_true", help="print the stages and shuffles of the run, and do nothing")
    add_arguments(run)

    verify = commands.add_parser(
        "verify",
        help="prove from the files alone that runs are whole",
        description="Checks every file of the published runs of an output: checksums, counts, vectors, ledgers.",
        allow_abbrev=False,
    )
    verify.add_argument("output", metavar="OUTPUT", help="the --output of the runs")
    verify.add_argument("--run_id", metavar="ID", help="check this run only")
    verify.add_argument("--json", action="store_true", help="print the result as JSON")

    runs = commands.add_parser(
        "runs",
        help="list the runs of an output, and what killed ones have left",
        description="Lists published runs, and staged files of runs that did not publish.",
        allow_abbrev=False,
    )
    runs.add_argument("output", metavar="OUTPUT", help="the --output of the runs")
    runs.add_argument("--prune", action="store_true", help="remove what was left by runs that nobody works at")
    runs.add_argument("--json", action="store_true", help="print the list as JSON")

    latest = commands.add_parser(
        "latest",
        help="where the newest vector of every image lies",
        description="Selects, over all runs of the newest generation, the newest record of every image.",
        allow_abbrev=False,
    )
    latest.add_argument("output", metavar="OUTPUT", help="the --output of the runs")
    latest.add_argument("--drop_deleted", action="store_true", help="leave out images that are gone")
    latest.add_argument("--to", metavar="FILE", help="write uri, version, run, shard and row there, as Parquet")

    compact = commands.add_parser(
        "compact",
        help="rewrite the newest vectors as one run",
        description="Rewrites the newest record of every image that is not gone as one run of the same output.",
        epilog="Any other option goes to Apache Beam.",
        allow_abbrev=False,
    )
    compact.add_argument("output", metavar="OUTPUT", help="the --output of the runs")
    for name in ("run_id", "shard_size", "compression"):
        compact.add_argument(f"--{name}", metavar=BY_NAME[name].metavar, help=BY_NAME[name].help)
    compact.add_argument("--verbose", action="store_true", help="show what Beam has to say")
    for parsed in (verify, runs, latest, compact):
        parsed.add_argument(
            "--storage_option", dest="storage_options", metavar="SCHEME.KEY=VALUE", action="append", help="as for run"
        )

    demo = commands.add_parser(
        "demo",
        help="make a corpus of photos, embed it, show the result",
        description="Makes a corpus of variants of scikit-image's photos and runs the pipeline over it.",
        allow_abbrev=False,
    )
    demo.add_argument("--output", metavar="FOLDER", default="demo-output", help="default: demo-output")
    demo.add_argument("--model", metavar="HANDLE", help="feature module (default: the untrained stand-in)")
    demo.add_argument("--verbose", action="store_true", help="show what TensorFlow and Beam have to say")
    return parser


def _run(given: argparse.Namespace, unknown: list[str]) -> int:
    try:
        config = make_config(vars(given), unknown)
    except ConfigError as e:
        return _refuse(e, EXIT_USAGE)
    if given.dry_run:
        from pipeline.runs.plan import plan

        _say(plan(config))
        return 0
    from pipeline.console import logs
    from pipeline.errors import ModelError
    from pipeline.runs.run import run
    from pipeline.runs.summary import summary
    from transforms.inputs.inputs import ListingError

    logs.set_up(config.verbose)
    try:
        report = run(config)
    except ConfigError as e:
        return _refuse(e, EXIT_USAGE)
    except (ListingError, ModelError, RunError) as e:
        if config.verbose:
            traceback.print_exc()
        return _refuse(e, EXIT_FAILED)
    if report is not None:
        _say(summary(report))
    elif config.no_wait:
        where = layout.run_folder(config.output, config.run_id)
        _say(f"submitted; the run is done when {where} holds {layout.SUCCESS}")
    return 0


def _verify(given: argparse.Namespace, _: list[str]) -> int:
    from pipeline.errors import OutputError
    from pipeline.outputs.verify import verify_output

    try:
        filesystems.configure(check_option("storage_options", given.storage_options))
        result = verify_output(given.output, given.run_id)
    except ConfigError as e:
        return _refuse(e, EXIT_USAGE)
    except OutputError as e:
        return _refuse(e, EXIT_FAILED)
    _say(result.as_json() if given.json else result.as_text())
    return 0 if result.holds else EXIT_FAILED


def _runs(given: argparse.Namespace, _: list[str]) -> int:
    from pipeline.runs.housekeeping import contents_of, prune

    try:
        filesystems.configure(check_option("storage_options", given.storage_options))
        with _reading(given.output):
            for left in prune(given.output) if given.prune else ():
                print(f"removed what {left.run_id} had left: {left.bytes / 1e6:,.1f} MB", file=sys.stderr)
            contents = contents_of(given.output)
    except ConfigError as e:
        return _refuse(e, EXIT_USAGE)
    except RunError as e:
        return _refuse(e, EXIT_FAILED)
    _say(contents.as_json() if given.json else contents.as_text())
    return 0


def _latest(given: argparse.Namespace, _: list[str]) -> int:
    from pipeline.outputs.latest import latest, write_selection

    try:
        filesystems.configure(check_option("storage_options", given.storage_options))
        with _reading(given.output):
            selection = latest(given.output, drop_deleted=given.drop_deleted)
        if given.to:
            with _reading(given.to):
                write_selection(selection, given.to)
    except ConfigError as e:
        return _refuse(e, EXIT_USAGE)
    except RunError as e:
        return _refuse(e, EXIT_FAILED)
    runs = sorted(set(selection["run_id"].to_pylist()))
    _say(f"{len(selection):,} images, in {len(runs)} runs" + (f", written to {given.to}" if given.to else ""))
    return 0


def _compact(given: argparse.Namespace, unknown: list[str]) -> int:
    from pipeline.console import logs

    try:
        config = CompactConfig(
            output=storage.normalize(given.output),
            run_id=check_option("run_id", given.run_id) or default_run_id("compacted-"),
            shard_size=check_option("shard_size", given.shard_size),
            compression=check_option("compression", given.compression),
            storage_options=check_option("storage_options", given.storage_options),
            beam_args=unknown,
        )
        logs.set_up(given.verbose)
        from pipeline.runs.compact import compact

        report = compact(config)
    except ConfigError as e:
        return _refuse(e, EXIT_USAGE)
    except RunError as e:
        return _refuse(e, EXIT_FAILED)
    if report is not None:
        _say(f"{report.manifest['counts']['embedded']:,} records in {report.folder}")
    return 0


def _demo(given: argparse.Namespace, _: list[str]) -> int:
    from pipeline.console import logs

    logs.set_up(given.verbose)
    from pipeline.demo.demo import demo
    from pipeline.errors import ModelError, RunError

    try:
        demo(os.path.abspath(given.output), given.model)
    except (ModelError, RunError) as e:
        return _refuse(e, EXIT_FAILED)
    return 0


@contextlib.contextmanager
def _reading(uri: str) -> Iterator[None]:
    """Turns what a store or a file system says into a sentence."""
    try:
        yield
    except RunError:
        raise
    except Exception as e:  # stores have error classes of their own
        raise RunError(f"{uri}: {describe_error(e)}") from e


COMMANDS = {
    "run": _run,
    "verify": _verify,
    "runs": _runs,
    "latest": _latest,
    "compact": _compact,
    "demo": _demo,
}


def _say(text: str) -> None:
    """Prints a result. A closed or full stdout does not change what was done, nor the exit code."""
    try:
        print(text, flush=True)
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - the interpreter flushes it at its exit


def _refuse(error: Exception, status: int) -> int:
    print(f"embed-images: {error}", file=sys.stderr)
    return status
