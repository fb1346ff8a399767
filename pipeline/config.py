"""What a run is told: options of the command line and of YAML run configs, checked once, at launch.

Beam and TensorFlow are not imported here: a wrong option is refused before they are.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import fsspec

from transforms import filesystems, storage
from transforms.decoding import RESIZE_MODES
from transforms.engines import BATCH_SIZES, PRECISIONS
from transforms.layout import EXTENSIONS

SEED_HANDLE = "https://tfhub.dev/google/imagenet/mobilenet_v2_130_224/feature_vector/4"
PIPELINE_OPTIONS = "pipeline_options"  # the key of run configs for Beam's own options
SIZE_UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class ConfigError(Exception):
    """An option that is refused: its name, the value, and what is allowed."""

    def __init__(self, option: str, value: object, allowed: str):
        super().__init__(f"{option}: {value!r} is not allowed: {allowed}")


class NotAllowedError(ValueError):
    """Raised by the checks of values; its text says what is allowed."""


@dataclass(frozen=True)
class Option:
    """One option of a run.

    Attributes:
        check: turns a given value into the one that is used, or raises `NotAllowedError`.
        default: of the checked value.
        help: for --help and for the Dataflow template.
        metavar: what stands for the value in --help.
        repeatable: may be given several times; the value is then a tuple.
        switch: true when it is given; a launcher that must give a value may say true or false.
        flag: the name on the command line, where it is another one.
    """

    name: str
    check: Callable[[Any], Any]
    default: Any
    help: str
    metavar: str = ""
    repeatable: bool = False
    switch: bool = False
    flag: str = ""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise NotAllowedError("a text that is not empty")
    return value


def _uri(value: Any) -> str:
    text = _text(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotAllowedError("a name that is UTF-8") from None
    scheme = filesystems.scheme_of(text)
    if scheme not in fsspec.available_protocols():
        raise NotAllowedError(f"a path, or a URI of a store; fsspec knows none for {scheme}://")
    return text


def _choice(*choices: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices:
            raise NotAllowedError("one of " + ", ".join(choices))
        return str(value)

    return check


def _whole_number(least: int, most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not re.fullmatch(r"\d{1,18}", str(value)) or not least <= int(value) <= most:
            raise NotAllowedError(f"a whole number from {least:,} to {most:,}".replace(",", "_"))
        return int(value)

    return check


def _fraction(value: Any) -> float:
    if not isinstance(value, bool):
        try:
            if 0 <= float(value) <= 1:
                return float(value)
        except (TypeError, ValueError):
            pass
    raise NotAllowedError("a number from 0 to 1")


def _bytes(value: Any) -> int:
    """Such as 268435456, 256M, 256MB or 256MiB; units are powers of 1024."""
    match = re.fullmatch(r"(\d{1,16})\s*([KMGT]?)(?:i?B)?", str(value), re.IGNORECASE)
    size = int(match[1]) * SIZE_UNITS[match[2].upper()] if match and not isinstance(value, bool) else 0
    if not 1 <= size <= 1 << 50:
        raise NotAllowedError("a size of at least one byte, such as 256MiB or 268435456")
    return size


def _size(value: Any) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4})(?:x(\d{1,4}))?", str(value))
    height = int(match[1]) if match else 0
    width = int(match[2] or match[1]) if match else 0
    if isinstance(value, bool) or not (1 <= height <= 4096 and 1 <= width <= 4096):
        raise NotAllowedError("HEIGHTxWIDTH or one number for both, from 1 to 4096")
    return height, width


def _time(value: Any) -> str:
    """ISO 8601; without an offset it is UTC. YAML gives dates and times as such."""
    try:
        time = datetime.fromisoformat(value.isoformat() if isinstance(value, date) else str(value))
    except ValueError:
        raise NotAllowedError("a time such as 2026-01-31 or 2026-01-31T12:00:00Z") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).isoformat()


def _name(value: Any) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", str(value)):
        raise NotAllowedError("up to 128 letters, digits, dots, dashes and underscores, the first a letter or digit")
    return str(value)


def _yes_no(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise NotAllowedError("true or false")
    return str(value).lower() == "true"


def _storage_options(value: Any) -> tuple[str, dict[str, Any]]:
    """One store's options, from a flag (s3.anon=true) or from a run config (["s3", {"anon": True}])."""
    if isinstance(value, tuple):
        scheme, options = value
        if isinstance(options, dict) and all(isinstance(key, str) for key in options):
            return str(scheme), options
    else:
        match = re.fullmatch(r"([a-z0-9+]+)\.(\w+)=(.*)", str(value), re.DOTALL)
        if match:
            import yaml

            return match[1], {match[2]: yaml.safe_load(match[3])}
    raise NotAllowedError("SCHEME.KEY=VALUE, such as s3.anon=true; in a run config SCHEME: {KEY: VALUE}")


OPTIONS = (
    Option(
        "input",
        _uri,
        (),
        "what to embed: a glob (** goes through folders), a folder, or a manifest (.txt, .csv, .jsonl, .parquet)",
        "URI",
        repeatable=True,
    ),
    Option("output", _uri, None, "folder of the runs; local or gs://…, s3://…", "URI"),
    Option(
        "model",
        _text,
        SEED_HANDLE,
        "feature module: a hub URL, a SavedModel folder or .tar.gz, or builtin:mobilenet_v2_130_224 (untrained)",
        "HANDLE",
    ),
    Option(
        "engine",
        _choice("auto", *PRECISIONS),
        "auto",
        "what runs the module; auto: litert on CPUs when it reproduces the module, else tensorflow; of bf16 openvino",
        "|".join(("auto", *PRECISIONS)),
    ),
    Option(
        "precision",
        _choice("f32", "bf16", "int8"),
        "f32",
        "of the computation; f32 gives the module's vectors, bf16 (openvino) and int8 (litert) similar ones, faster",
        "f32|bf16|int8",
    ),
    Option(
        "min_parity",
        _fraction,
        0.95,
        "least mean cosine of bf16 or int8 vectors to the module's, on a sample of the images",
        "0..1",
    ),
    Option(
        "resize",
        _choice(*RESIZE_MODES),
        "squash",
        "squash: whole image, aspect ignored; slim_eval: central 0.875 first; fit_crop: central part of equal aspect",
        "|".join(RESIZE_MODES),
    ),
    Option("input_size", _size, None, "of the module's images, where its signature leaves it open", "HxW"),
    Option(
        "batch_size",
        _whole_number(1, 1024),
        None,
        "images given to the engine at once ("
        + ", ".join(f"{name} {size}" for name, size in BATCH_SIZES.items())
        + ")",
        "N",
    ),
    Option(
        "threads",
        _whole_number(0, 1024),
        0,
        "cores that a worker process uses: threads of the engine, and of decoding; 0: all",
        "N",
    ),
    Option("shard_size", _bytes, 256 << 20, "bytes at which a shard of records is full", "SIZE"),
    Option("compression", _choice(*EXTENSIONS), "none", "of the shards", "|".join(EXTENSIONS)),
    Option("run_id", _name, None, "name of the run; the time of the start, UTC, when not given", "ID"),
    Option("max_failure_rate", _fraction, 0.5, "share of failed images above which nothing is published", "0..1"),
    Option("max_image_pixels", _whole_number(1, 1 << 31), 100_000_000, "larger images are refused undecoded", "N"),
    Option("max_object_bytes", _bytes, 128 << 20, "larger objects are refused unread", "SIZE"),
    Option("fetch_concurrency", _whole_number(1, 256), 64, "objects fetched at once by one worker", "N"),
    Option("prefetch_bytes", _bytes, 256 << 20, "encoded bytes that a worker holds at once", "SIZE"),
    Option("fetch_retries", _whole_number(0, 100), 6, "tries of one object after the first, for transient errors", "N"),
    Option(
        "storage_options",
        _storage_options,
        {},
        "of a store, as its fsspec filesystem takes them: gs.project=p, s3.anon=true, s3.endpoint_url=http://…",
        "SCHEME.KEY=VALUE",
        repeatable=True,
        flag="storage_option",
    ),
    Option("incremental", _yes_no, False, "embed only what no published run of the output holds", switch=True),
    Option(
        "retry_dead_letters", _yes_no, False, "with --incremental: also images that could not be decoded", switch=True
    ),
    Option(
        "dedup",
        _choice("none", "listing"),
        "none",
        "listing: objects that a store lists with the same MD5 and size are embedded once and recorded each",
        "none|listing",
    ),
    Option("since", _time, None, "embed only images updated at or after this time, such as 2026-01-31", "TIME"),
    Option("until", _time, None, "embed only images updated before this time", "TIME"),
    Option("limit", _whole_number(0, 1_000_000), 0, "embed at most so many images; 0: all", "N"),
    Option(
        "new_model",
        _yes_no,
        False,
        "start a new generation where the output has vectors that cannot be compared with this model's",
        switch=True,
    ),
    Option("all_files", _yes_no, False, "take files of folders whatever their extension", switch=True),
    Option("uri_column", _text, "uri", "column of .csv, .jsonl and .parquet manifests", "NAME"),
    Option(
        "no_wait", _yes_no, False, "end when the job is submitted to a cluster, which publishes the run", switch=True
    ),
    Option("verbose", _yes_no, False, "show what TensorFlow and Beam have to say", switch=True),
)
_BY_NAME = {option.name: option for option in OPTIONS}
REQUIRED = ("input", "output")


@dataclass(frozen=True)
class RunConfig:
    """The checked options of a run; `OPTIONS` describes each. `beam_args` are passed on to Beam."""

    input: tuple[str, ...]
    output: str
    model: str
    engine: str
    precision: str
    min_parity: float
    resize: str
    input_size: tuple[int, int] | None
    batch_size: int | None
    threads: int
    shard_size: int
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
    uri_column: str
    no_wait: bool
    verbose: bool
    beam_args: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """The manifest's entry: of storage options, which may be secrets, the names alone."""
        stores = {scheme: sorted(options) for scheme, options in self.storage_options.items()}
        return {**asdict(self), "storage_options": stores}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds `OPTIONS` to a parser. Values stay as given; the default None says that one was not."""
    for option in OPTIONS:
        kind: dict[str, Any] = {"nargs": "?", "const": True, "metavar": "true|false"}
        if not option.switch:
            kind = {"action": "append" if option.repeatable else "store", "metavar": option.metavar}
        default = "" if option.default in (None, (), False, {}) else f" (default: {_shown(option)})"
        name = option.flag or option.name
        parser.add_argument(
            f"--{name}", dest=option.name, default=None, help=option.help.replace("%", "%%") + default, **kind
        )


def _shown(option: Option) -> str:
    if option.check is _bytes:
        return f"{option.default >> 20}MiB"
    return str(option.default)


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
        from pipeline.run_config_file import read_run_config

        values, passed_on = read_run_config(given["config"])
    values |= {name: value for name, value in given.items() if name in _BY_NAME and value is not None}
    checked = {option.name: _checked(option, values.get(option.name)) for option in OPTIONS}
    for name in REQUIRED:
        if not checked[name]:
            raise ConfigError(f"--{name}", checked[name], f"it must be given: {_BY_NAME[name].help}")
    engine, precision = checked["engine"], checked["precision"]
    if engine != "auto" and precision not in PRECISIONS[engine]:
        raise ConfigError("--precision", precision, f"engine {engine} computes in {' or '.join(PRECISIONS[engine])}")
    checked["output"] = storage.normalize(checked["output"])
    checked["run_id"] = checked["run_id"] or default_run_id(now=now)
    return RunConfig(**checked, beam_args=(*passed_on, *beam_args))


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


def _checked(option: Option, value: Any) -> Any:
    if value is None:
        return option.default
    try:
        if option.check is _storage_options:
            return _merged([_storage_options(item) for item in (value.items() if isinstance(value, dict) else value)])
        if option.repeatable:
            return tuple(option.check(item) for item in (value if isinstance(value, list) else [value]))
        return option.check(value)
    except NotAllowedError as e:
        shown = value if option.check is not _storage_options else "…"  # which may hold secrets
        raise ConfigError(f"--{option.flag or option.name}", shown, str(e)) from None


def _merged(stores: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    merged: dict[str, dict[str, Any]] = {}
    for scheme, options in stores:
        merged.setdefault(scheme, {}).update(options)
    return merged


def check_option(name: str, value: Any) -> Any:
    """The checked value of one option, its default for None. Raises `ConfigError`."""
    return _checked(_BY_NAME[name], value)


def option_named(name: str) -> Option | None:
    return _BY_NAME.get(name)


def closest_option(name: str) -> str:
    """A hint at the option that was probably meant, as the end of a sentence; empty when none is near."""
    near = difflib.get_close_matches(name, [*_BY_NAME, "config", PIPELINE_OPTIONS], n=1, cutoff=0.8)
    return f"; did you mean {near[0]}?" if near else ""


def _refuse_misspelling(argument: str) -> None:
    """Beam drops options that it does not know with a mere warning, so a near miss of ours is refused."""
    name = argument.removeprefix("--").partition("=")[0]
    if argument.startswith("--") and (hint := closest_option(name)):
        raise ConfigError(f"--{name}", argument, f"no such option{hint}")


def beam_flags(options: Mapping[str, Any]) -> list[str]:
    """Beam's options of a run config as its command line has them."""
    flags: list[str] = []
    for name, value in options.items():
        for item in value if isinstance(value, list) else [value]:
            if item is True:
                flags.append(f"--{name}")
            elif item not in (False, None):
                flags.append(f"--{name}={json.dumps(item) if isinstance(item, dict) else item}")
    return flags
