"""EmbeddingOptions: the options of a run as Beam's runners see them."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    PortableOptions,
    SetupOptions,
    StandardOptions,
    TypeOptions,
)

from pipeline.errors import ConfigError
from pipeline.options.arguments import add_arguments
from pipeline.options.beam_flags import secret_names
from pipeline.options.config import RunConfig
from pipeline.options.lean import LOCAL_NAMES
from transforms.stores.filesystems import StorageOptions
from transforms.stores.secrets import HIDDEN, secret_values

# What Beam calls DirectRunner first tries Prism, a Go binary that it downloads, and falls back
# without a word where it cannot. Its in-process runner needs nothing, so it is named outright.
LOCAL_RUNNER = "FnApiRunner"

IN_THE_JOB = "the job's definition would show it"
WORKER = "transforms.worker"  # which workers import when they start
NOT_FOR_BEAM = ("beam_args", "input_size", "storage_options")


View = TypeVar("View", bound=PipelineOptions)


class EmbeddingOptions(PipelineOptions):
    """`table.OPTIONS` among Beam's pipeline options."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        add_arguments(parser)

    def view_as(self, cls: type[View]) -> View:
        """One of each class for good, as all share their values: Beam asks at every transform, and would parse anew."""
        views = VIEWS.setdefault(self, {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        return cast(View, views[cls])


# Not among the attributes, which are copied and pickled: a copy's values are its own.
VIEWS: WeakKeyDictionary[EmbeddingOptions, dict[type[PipelineOptions], PipelineOptions]] = WeakKeyDictionary()


def beam_options(config: RunConfig) -> PipelineOptions:
    """The options for `beam.Pipeline`: the runner's, and the run's own for its UI.

    Raises:
        ConfigError: as `runner_options`.
    """
    own = {name: value for name, value in config.describe().items() if name not in NOT_FOR_BEAM}
    options = runner_options(config.beam_args, own)
    setup = options.view_as(SetupOptions)
    setup.beam_plugins = [*(setup.beam_plugins or []), WORKER]
    return options


def runner_options(beam_args: Sequence[str], own: Mapping[str, Any] | None = None) -> PipelineOptions:
    """Options of Beam's command line, of the local runner when none is named, with options of a run.

    Raises:
        ConfigError: an argument that neither this program nor Beam knows, on the local runner; on others, which have
            options that only their job servers know, one that is nearly one of Beam's.
    """
    with _sentence():
        unknown = _unknown_to_beam(beam_args)
        options = EmbeddingOptions([*beam_args], **(own or {}))
        standard = options.view_as(StandardOptions)
    _refuse_type_checks(options)
    if standard.runner is None or standard.runner.lower() in LOCAL_NAMES:
        if unknown:
            is_option = unknown[0].startswith("--")
            name = unknown[0].partition("=")[0] if is_option else "a word that is no option's value"
            hint = "" if is_option else "; an option takes one value: give --input once for each"
            raise ConfigError(name, HIDDEN, f"neither an option of this program nor one of Beam's{hint}")
        standard.runner = LOCAL_RUNNER
        return options
    _refuse_near_misses(unknown)
    if secret := secret_names(beam_args):
        raise ConfigError(secret[0], HIDDEN, f"{IN_THE_JOB}; give the workers credentials of their own")
    return options


def check_secrets(storage_options: StorageOptions, options: PipelineOptions) -> None:
    """Refuses secrets that would stand in the definition of a job elsewhere, for all who may look at it.

    Raises:
        ConfigError: names the option and what to give instead.
    """
    if works_locally(options):
        return
    for scheme, values in storage_options.items():
        for name, _ in secret_values(values):
            instead = f"{scheme}.{name}=env:NAME or {scheme}.{name}=@FILE, which each worker reads for itself"
            raise ConfigError(f"--storage_option {scheme}.{name}", HIDDEN, f"{IN_THE_JOB}; give {instead}")


def _refuse_type_checks(options: PipelineOptions) -> None:
    """Beam's stricter checks of types stop at functions that it wraps itself."""
    types = options.view_as(TypeOptions)
    asked = {
        "--type_check_strictness": types.type_check_strictness != "DEFAULT_TO_ANY" and types.type_check_strictness,
        "--runtime_type_check": types.runtime_type_check,
        "--performance_runtime_type_check": types.performance_runtime_type_check,
    }
    for name, value in asked.items():
        if value:
            raise ConfigError(name, value, "this pipeline is not written for it; leave it away")


@contextmanager
def _sentence() -> Iterator[None]:
    """Makes one sentence of what argparse prints, with all its usage, before it ends the process."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            yield
    except SystemExit:
        last = said.getvalue().strip().rpartition("\n")[2]
        raise ConfigError("an option of Beam", HIDDEN, last.partition("error: ")[2] or last) from None


def runner_of(options: PipelineOptions) -> str:
    """The name of the runner that was asked for."""
    return str(options.view_as(StandardOptions).runner)


def job_endpoint_of(options: PipelineOptions) -> str:
    """HOST:PORT of the job server that was named; "" where none was."""
    return str(options.view_as(PortableOptions).job_endpoint or "")


def works_locally(options: PipelineOptions) -> bool:
    """Whether the pipeline works in this process or its children, and so ends with it."""
    return runner_of(options) == LOCAL_RUNNER


def ends_with_launcher(options: PipelineOptions) -> bool:
    """Whether the pipeline cannot go on without this process: it works here, in its children, or with workers here."""
    environment = str(options.view_as(PortableOptions).environment_type or "")
    by_default = runner_of(options).rpartition(".")[2].lower() in ("prismrunner", "prism") and not environment
    return works_locally(options) or by_default or environment == "LOOPBACK"


def runs_here(options: PipelineOptions) -> bool:
    """Whether the pipeline works in this process, so that its counters can be watched from here."""
    mode = options.view_as(DirectOptions).direct_running_mode
    return works_locally(options) and mode != "multi_processing"


def _refuse_near_misses(unknown: Sequence[str]) -> None:
    """Of what only a job server may know, that is refused which is nearly an option of Beam's own."""
    known = [name for action in _parser_of_beam()._actions for name in action.option_strings]
    for name in (argument.partition("=")[0] for argument in unknown if argument.startswith("--")):
        if near := difflib.get_close_matches(name, known, n=1, cutoff=0.85):
            raise ConfigError(name, HIDDEN, f"Beam has no such option; did you mean {near[0]}?")


def _unknown_to_beam(beam_args: Sequence[str]) -> list[str]:
    return _parser_of_beam().parse_known_args([*beam_args])[1]


def _parser_of_beam() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False, conflict_handler="resolve")
    pending: list[Any] = [PipelineOptions]
    while pending:
        options_class = pending.pop()
        pending.extend(options_class.__subclasses__())
        if options_class is not PipelineOptions:
            options_class._add_argparse_args(parser)
    return parser
