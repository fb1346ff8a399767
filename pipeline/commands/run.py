"""embed-images run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.commands.command import Command
from pipeline.commands.showing import show
from pipeline.console.results import conclude, say
from pipeline.errors import RefusedRunError, RunError
from pipeline.options import lean
from pipeline.options.arguments import add_arguments
from pipeline.options.config import make_config

NOT_FOUND = "NotFound"


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config", metavar="FILE.yaml", help="a run config: these options by name, and pipeline_options:"
    )
    parser.add_argument(
        "--dry_run", action="store_true", help="print the stages and shuffles of the run, and do nothing"
    )
    add_arguments(parser)


def _run(given: argparse.Namespace, unknown: Sequence[str]) -> bool:
    config = make_config(vars(given), unknown)
    lean.settle(config.beam_args)
    if given.dry_run:
        from pipeline.planning.stages import stages_of

        say(stages_of(config))
        say("`embed-images plan` with the same options tells what would be found, done and paid")
        return True
    show(config.progress, config.log_format, config.verbose)
    from pipeline.outputs.lease import wait_command
    from pipeline.runs.run import run
    from pipeline.runs.unfinished import going_on
    from transforms.records import layout

    config = going_on(config)
    try:
        report = run(config)
    except RefusedRunError as e:
        if NOT_FOUND not in e.errors:
            raise
        from pipeline.runs.launching import relative_hint

        raise RunError(f"{e}{relative_hint(config.input, config.rules)}") from e
    if report is not None:
        from pipeline.runs.summary import summary  # which takes Beam along: what is refused is refused without it

        conclude(summary(report), *report.told())
    elif config.no_wait:
        where = layout.run_folder(config.output, config.run_id)
        waits = wait_command(config.output, config.run_id)
        text = f"submitted; the run is done when {where} holds {layout.SUCCESS}: `{waits}` waits for that"
        conclude(text, text, {"run_id": config.run_id, "folder": where}, event="left")
    return True


RUN = Command(
    "run",
    help="embed images and publish the result",
    description="Embeds every image of the inputs and publishes the result as a run under the output.",
    epilog="Any other option goes to Apache Beam, such as --runner=DataflowRunner. Flags win over --config.",
    add_arguments=_add_arguments,
    execute=_run,
    passes_on=True,
)
