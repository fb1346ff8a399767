"""What values an option may have: checks that turn a given value into the one that is used.

Values come as texts from the command line, and as what YAML makes of them from run configs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import Any

from pipeline.options.bounded_yaml import load_yaml
from transforms.inputs.choosing import compiled
from transforms.records.columns import KINDS, parse_columns
from transforms.stores import filesystems, storage

TABLES = (".parquet", ".csv", ".jsonl", ".ndjson")  # what tables are written as, see `pipeline.outputs.tables`
# Google's form of what Beam's hint takes: https://cloud.google.com/dataflow/docs/guides/right-fitting
ACCELERATOR = re.compile(r"type:[\w-]+;count:[1-9][0-9]*(;[\w-]+(:[\w.-]+)?)*", re.ASCII)
# A scheme with a slash too few, which would be a local folder.
SLIP = re.compile(r"(gs|gcs|s3|s3a|az|abfs|abfss|https?):/?([^/].*)", re.IGNORECASE)
SIZE_UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


class NotAllowedError(ValueError):
    """Raised by the checks of values; its text says what is allowed."""


def non_empty_text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise NotAllowedError("a text that is not empty")
    return value


def accelerator(value: Any) -> str:
    if not isinstance(value, str) or not ACCELERATOR.fullmatch(value):
        raise NotAllowedError("as Dataflow has it, such as type:nvidia-l4;count:1;install-nvidia-driver")
    return value


def uri(value: Any) -> str:
    """A path or a URI; a local name that is no UTF-8, as the command line may give it, becomes its `file:` URI."""
    text = non_empty_text(value)
    if slip := SLIP.match(text):
        raise NotAllowedError(f"a URI has two slashes: {slip[1]}://{slip[2]}; a folder of that name is ./{text}")
    if filesystems.scheme_of(text) not in filesystems.SCHEMES:
        raise NotAllowedError(f"a path, or a URI of a store ({filesystems.READ_SCHEMES})")
    try:
        normal = storage.normalize(text)
    except storage.ForeignFileError as e:
        raise NotAllowedError(f"a file of this machine, such as file:///folder; {e}") from None
    try:
        text.encode()
    except UnicodeEncodeError:
        if not filesystems.is_local(text):
            raise NotAllowedError("a name that is UTF-8") from None
        return normal
    return text


def folder_uri(value: Any) -> str:
    """A `uri` that can be written to."""
    text = uri(value)
    if filesystems.scheme_of(text) in storage.WEB_SCHEMES:
        raise NotAllowedError("a folder that can be written to; web servers are for reading")
    if storage.FILE_URI.match(storage.normalize(text)):
        raise NotAllowedError("a name that is UTF-8")
    return text


def table_uri(value: Any) -> str:
    """A file that can be written to, whose name says as what."""
    text = folder_uri(value)
    if not text.endswith(TABLES):
        raise NotAllowedError(f"a file that ends in {', '.join(TABLES)}, which says what it is written as")
    return text


def one_of(*choices: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if value not in choices:
            raise NotAllowedError("one of " + ", ".join(choices))
        return str(value)

    return check


def whole_number(least: int, most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if isinstance(value, bool) or not re.fullmatch(r"\d{1,18}", str(value)) or not least <= int(value) <= most:
            raise NotAllowedError(f"a whole number from {least:,} to {most:,}".replace(",", "_"))
        return int(value)

    return check


def fraction(value: Any) -> float:
    if not isinstance(value, bool):
        try:
            if 0 <= float(value) <= 1:
                return float(value)
        except (TypeError, ValueError):
            pass
    raise NotAllowedError("a number from 0 to 1")


def share(value: Any) -> float:
    if (checked := fraction(value)) == 0:
        raise NotAllowedError("a number above 0, up to 1")
    return checked


def exclusion(value: Any) -> str:
    """A pattern of names or uris."""
    try:
        compiled(non_empty_text(value))
    except ValueError as e:
        raise NotAllowedError(f"a pattern: {e}") from None
    return str(value)


def column_names(value: Any) -> str:
    """Columns that are carried, with commas between them."""
    try:
        parse_columns(non_empty_text(value).split(","))
    except ValueError as e:
        kinds = ", ".join(KINDS)
        raise NotAllowedError(f"NAME, NAME=FEATURE or *, each with :KIND or without ({kinds}): {e}") from None
    return str(value)


def byte_size(value: Any) -> int:
    """Such as 268435456, 256M, 256MB or 256MiB; units are powers of 1024."""
    match = re.fullmatch(r"(\d{1,16})\s*([KMGT]?)(?:i?B)?", str(value), re.IGNORECASE)
    size = int(match[1]) * SIZE_UNITS[match[2].upper()] if match and not isinstance(value, bool) else 0
    if not 1 <= size <= 1 << 50:
        raise NotAllowedError("a size of at least one byte, such as 256MiB or 268435456")
    return size


def image_size(value: Any) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,4})(?:x(\d{1,4}))?", str(value))
    height = int(match[1]) if match else 0
    width = int(match[2] or match[1]) if match else 0
    if isinstance(value, bool) or not (1 <= height <= 4096 and 1 <= width <= 4096):
        raise NotAllowedError("HEIGHTxWIDTH or one number for both, from 1 to 4096")
    return height, width


def point_in_time(value: Any) -> str:
    """ISO 8601; without an offset it is UTC. YAML gives dates and times as such."""
    try:
        time = datetime.fromisoformat(value.isoformat() if isinstance(value, date) else str(value))
    except ValueError:
        raise NotAllowedError("a time such as 2026-01-31 or 2026-01-31T12:00:00Z") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).isoformat()


def run_name(value: Any) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", str(value)):
        raise NotAllowedError("up to 128 letters, digits, dots, dashes and underscores, the first a letter or digit")
    return str(value)


def yes_or_no(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise NotAllowedError("true or false")
    return str(value).lower() == "true"


def options_of_store(value: Any) -> tuple[str, dict[str, Any]]:
    """One store's options, from a flag (s3.anon=true) or from a run config (["s3", {"anon": True}])."""
    if isinstance(value, tuple):
        scheme, options = value
        if isinstance(options, dict) and all(isinstance(key, str) for key in options):
            _check_scheme(str(scheme))
            return str(scheme), options
    else:
        match = re.fullmatch(r"([a-z0-9+]+)\.(\w+)=(.*)", str(value), re.DOTALL)
        if match:
            _check_scheme(match[1])
            with suppress(ValueError):
                return match[1], {match[2]: load_yaml(match[3])}
    raise NotAllowedError("SCHEME.KEY=VALUE, such as s3.anon=true; in a run config SCHEME: {KEY: VALUE}")


def _check_scheme(scheme: str) -> None:
    if scheme not in filesystems.SCHEMES:
        raise NotAllowedError(f"options of a store, by its scheme: one of {', '.join(sorted(filesystems.SCHEMES))}")
