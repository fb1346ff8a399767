"""embed-images compact."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.commands.command import Command
from pipeline.commands.reading import add_output, add_storage_options, configure_stores
from pipeline.commands.showing import add_showing, set_up_showing
from pipeline.console.results import conclude
from pipeline.options import lean
from pipeline.options.beam_flags import remember_values
from pipeline.options.config import CompactConfig, check_option, default_run_id
from pipeline.options.table import BY_NAME
from transforms.stores import storage


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_output(parser)
    for name in ("run_id", "shard_size", "compression"):
        parser.add_argument(f"--{name}", metavar=BY_NAME[name].metavar, help=BY_NAME[name].help)
    add_showing(parser)
    add_storage_options(parser)


def _compact(given: argparse.Namespace, unknown: Sequence[str]) -> bool:
    remember_values(unknown)
    lean.settle(unknown)
    configure_stores(given)
    config = CompactConfig(
        output=storage.normalize(given.output),
        run_id=check_option("run_id", given.run_id) or default_run_id("compacted-"),
        shard_size=check_option("shard_size", given.shard_size),
        compression=check_option("compression", given.compression),
        storage_options=check_option("storage_options", given.storage_options),
        beam_args=unknown,
    )
    set_up_showing(given)
    from pipeline.runs.compact import compact

    report = compact(config)
    if report is not None:
        conclude(f"{report.manifest['counts']['embedded']:,} records in {report.folder}", *report.told())
    return True


COMPACT = Command(
    "compact",
    help="rewrite the newest vectors as one run",
    description="Rewrites the newest record of every image that is not gone as one run of the same output.",
    epilog="Any other option goes to Apache Beam.",
    add_arguments=_add_arguments,
    execute=_compact,
    passes_on=True,
)
