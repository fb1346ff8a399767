"""What a run is told, checked once, at launch: `option_table.OPTIONS`, from the command line and a YAML run config.

Beam and TensorFlow are not imported here: a wrong option is refused before they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from pipeline.errors import ConfigError, MissingError
from pipeline.options.arguments import closest_option
from pipeline.options.beam_flags import remember_values, shown_flags
from pipeline.options.option import Option
from pipeline.options.run_config_file import read_run_config
from pipeline.options.table import BY_NAME, OPTIONS, REQUIRED
from pipeline.options.values import NotAllowedError, options_of_store
from transforms.engines import PRECISIONS
from transforms.images import SIMD
from transforms.inputs.rules import Rules
from transforms.records.columns import ALL, Column, parse_columns
from transforms.stores import secrets, storage
from transforms.stores.secrets import HIDDEN

# Options that change how a run works but not what it makes.
NOT_IN_IDENTITY = (
    "threads", "batch_size", "engine", "min_parity", "max_failure_rate", "fetch_concurrency", "prefetch_bytes",
    "fetch_retries", "storage_options", "no_wait", "verbose", "beam_args", "new_model", "shard_size", "trust_module",
    "allow_local", "skip_unreadable", "shard_seconds", "progress", "log_format", "accelerator",
)  # fmt: skip


@dataclass(frozen=True)
class RunConfig:
    """The checked options of a run; `OPTIONS` describes each.

    Attributes:
        beam_args: passed on to Beam.
        run_id_given: else it is the time, and an unfinished run of the same options may be gone on with in its place.
    """

    input: tuple[str, ...]
    output: str
    model: str
    signature: str | None
    output_name: str | None
    trust_module: bool
    engine: str
    precision: str
    min_parity: float
    resize: str
    input_size: tuple[int, int] | None
    batch_size: int
    threads: int
    shard_size: int
    shard_seconds: int
    compression: str
    run_id: str
    max_failure_rate: float
    max_image_pixels: int
    max_object_bytes: int
    fetch_concurrency: int
    prefetch_bytes: int
    fetch_retries: int
    storage_options: Mapping[str, Mapping[str, Any]] = field(repr=False, hash=False)
    incremental: bool
    retry_dead_letters: bool
    dedup: str
    since: str | None
    until: str | None
    limit: int
    new_model: bool
    all_files: bool
    allow_local: bool
    strip_query: bool
    skip_unreadable: bool
    exclude: tuple[str, ...]
    sample: float
    uri_column: str
    version_column: str | None
    size_column: str | None
    updated_column: str | None
    md5_column: str | None
    columns: tuple[str, ...]
    label_from: str | None
    image_column: str | None
    accelerator: str
    no_wait: bool
    progress: str | None
    log_format: str
    verbose: bool
    beam_args: tuple[str, ...]
    run_id_given: bool

    @property
    def rules(self) -> Rules:
        """How the inputs are understood."""
        return Rules(
            self.all_files,
            self.uri_column,
            self.allow_local,
            self.skip_unreadable,
            self.strip_query,
            self.exclude,
            self.sample,
            self.version_column or "",
            self.size_column or "",
            self.updated_column or "",
            self.md5_column or "",
            label_from=self.label_from or "",
            image_column=self.image_column or "",
        )

    def describe(self) -> dict[str, Any]:
        """The manifest's entry: without what may be secret in URIs, of storage options and most of Beam's the names."""
        options = {name: value for name, value in asdict(self).items() if name != "run_id_given"}
        return {
            **options,
            "input": [secrets.redacted(text) for text in self.input],
            "output": secrets.redacted(self.output),
            "model": secrets.redacted(self.model),
            "storage_options": {scheme: sorted(options) for scheme, options in self.storage_options.items()},
            "beam_args": shown_flags(self.beam_args),
        }

    def carrying(self, columns: Sequence[Column]) -> Rules:
        """How the inputs are understood when these columns of known kinds are carried."""
        asked_for_all = any(column.name == ALL for column in self.columns_asked())
        return self.rules._replace(columns=tuple(columns), all_columns=asked_for_all)

    def columns_asked(self) -> list[Column]:
        """The columns that are to be carried, as the option names them."""
        return parse_columns(text for texts in self.columns for text in texts.split(","))

    def identity(self) -> dict[str, Any]:
        """Of the options those that decide what the run publishes, as JSON has them."""
        described = {name: value for name, value in self.describe().items() if name not in NOT_IN_IDENTITY}
        described["input"] = [secrets.identified(text) for text in self.input]
        described["model"] = secrets.identified(self.model)
        content: dict[str, Any] = json.loads(json.dumps(described))
        return content


def make_config(given: Mapping[str, Any], beam_args: Sequence[str], now: datetime | None = None) -> RunConfig:
    """Checks options and fills in defaults.

    Args:
        given: by name, from the command line; None stands for not given. "config" names a YAML file.
        beam_args: arguments for Beam, in its command line's form.
        now: for the default run id.

    Raises:
        ConfigError: an option or a value that is not allowed.
    """
    for argument in beam_args:
        _refuse_misspelling(argument)
    values: dict[str, Any] = {}
    passed_on: list[str] = []
    if given.get("config") is not None:
        values, passed_on = read_run_config(given["config"])
    values |= {name: value for name, value in given.items() if name in BY_NAME and value is not None}
    checked = {option.name: _checked(option, values.get(option.name)) for option in OPTIONS}
    for name in REQUIRED:
        if not checked[name]:
            raise MissingError(f"--{name}", BY_NAME[name].help)
    engine, precision = checked["engine"], checked["precision"]
    if engine != "auto" and precision not in PRECISIONS[engine]:
        raise ConfigError("--precision", precision, f"engine {engine} computes in {' or '.join(PRECISIONS[engine])}")
    if checked["resize"].endswith(SIMD):
        from transforms.images.simd import missing

        if sentence := missing(checked["resize"]):
            raise ConfigError("--resize", checked["resize"], sentence)
    checked["output"] = storage.normalize(checked["output"])
    given_id = checked["run_id"] is not None
    checked["run_id"] = checked["run_id"] or default_run_id(now=now)
    remember_values((*passed_on, *beam_args))
    for uri in (*checked["input"], checked["output"], checked["model"]):
        secrets.remember_uri(uri)
    return RunConfig(**checked, beam_args=(*passed_on, *beam_args), run_id_given=given_id)


DEFAULT_RUN_ID = r"\d{8}T\d{6}\.\d{6}Z"


def default_run_id(prefix: str = "", now: datetime | None = None) -> str:
    """The time, UTC."""
    return f"{prefix}{now or datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"


@dataclass(frozen=True)
class CompactConfig:
    """The checked options of a compaction.

    Attributes:
        output: whose runs of the newest generation are rewritten.
        run_id: of the new run.
        shard_size, compression: of its shards, see `OPTIONS`.
        storage_options: of the stores, see `filesystems.configure`.
        beam_args: passed on to Beam.
    """

    output: str
    run_id: str
    shard_size: int
    compression: str
    storage_options: Mapping[str, Mapping[str, Any]]
    beam_args: Sequence[str] = ()


@dataclass(frozen=True)
class ExportConfig:
    """The checked options of an export.

    Attributes:
        output: whose vectors are exported.
        to: the folder that exports go to, a folder each.
        format: a name of `transforms.exports.formats`.
        run_id: of the one run; "" for the newest vector of every image.
        columns: features that are exported besides; None for all that are carried.
        complete: all there is, where a format goes by changes.
        storage_options: of the stores, see `filesystems.configure`.
        beam_args: passed on to Beam.
        database: of a format that is one, its http or https URL, or a folder of its embedded engine; else "".
        collection: where in it.
        keep_deleted: export images that are gone, too.
    """

    output: str
    to: str
    format: str
    run_id: str
    columns: Sequence[str] | None
    complete: bool
    storage_options: Mapping[str, Mapping[str, Any]]
    beam_args: Sequence[str] = ()
    database: str = ""
    collection: str = ""
    keep_deleted: bool = False


def _checked(option: Option, value: Any) -> Any:
    if value is None:
        return option.default
    shown = value
    try:
        if option.check is options_of_store:
            items = value.items() if isinstance(value, dict) else value
            stores = _merged([options_of_store(item) for item in items])
            for options in stores.values():
                secrets.remember_options(options)
            return stores
        if option.repeatable:
            checked = []
            for shown in value if isinstance(value, list) else [value]:
                checked.append(option.check(shown))
            return tuple(checked)
        return option.check(value)
    except NotAllowedError as e:
        hidden = option.check is options_of_store or _is_nested(value)
        raise ConfigError(f"--{option.flag or option.name}", HIDDEN if hidden else shown, str(e)) from None


def _is_nested(value: Any) -> bool:
    """Whether a value may be the options of a store, in a wrong place."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict | list) for each in value))


def _merged(stores: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for scheme, options in stores:
        merged.setdefault(scheme, {}).update(options)
    return merged


def check_option(name: str, value: Any) -> Any:
    """The checked value of one option, its default for None. Raises `ConfigError`."""
    return _checked(BY_NAME[name], value)


def _refuse_misspelling(argument: str) -> None:
    """Beam drops options that it does not know with a mere warning, so a near miss of ours is refused."""
    name = argument.removeprefix("--").partition("=")[0]
    if argument.startswith("--") and (hint := closest_option(name)):
        raise ConfigError(f"--{name}", HIDDEN, f"no such option{hint}")
