"""Columns: what a manifest or a container says of an image besides its bytes, such as its label.

What is carried of an image is one text: a JSON object of values by the names of the features that its record gets, in
the order of these names. The same values are the same text, and so have one digest, by which a change is told.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, NamedTuple

from transforms.records.examples import bytes_feature, empty_feature, entries, example, float_feature, int64_feature

WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,18})")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
BASE64 = "base64"  # the one key of an object that stands for bytes, which JSON does not have
ALL = "*"
# Features that records have of their own.
RESERVED = frozenset({
    "image/uri", "image/version", "image/format", "image/key/sha256", "image/width", "image/height", "image/embedding",
})  # fmt: skip


class Column(NamedTuple):
    """One column that is carried.

    Attributes:
        name: in the manifest or the container.
        feature: its name in records.
        kind: of its values, one of `KINDS`; "" until it is known.
    """

    name: str
    feature: str
    kind: str = ""


def parse_columns(texts: Iterable[str]) -> list[Column]:
    """Columns as the option --columns names them: NAME, NAME=FEATURE, each with :KIND or without; `*` for all others.

    Those of which records have a feature of their own are not among these others.

    Raises:
        ValueError: a text that is none, or two columns for one feature; the text says which.
    """
    columns = []
    for text in texts:
        if not (match := OPTION.fullmatch(text)):
            raise ValueError(f"{text!r} is none")
        columns.append(Column(match["name"], match["feature"] or match["name"], match["kind"] or ""))
    check_features(columns)
    return columns


def check_features(columns: Sequence[Column]) -> None:
    """Raises ValueError when a feature is named twice, or is one that records have of their own."""
    seen: dict[str, Column] = {}
    for column in columns:
        if column.feature in RESERVED:
            raise ValueError(
                f"records have a feature {column.feature!r} of their own; {column.name}=NAME gives another"
            )
        if other := seen.get(column.feature):
            raise ValueError(f"{other.name!r} and {column.name!r} are both to be the feature {column.feature!r}")
        seen[column.feature] = column


def encode(values: Mapping[str, Any], columns: Sequence[Column]) -> str:
    """What is carried of one image.

    Args:
        values: by the names of columns, as a reader gave them: a number, text, bytes, a time, None for nothing, or a
            list of these. A column that is missing has nothing.
        columns: of known kinds.

    Raises:
        ValueError: a value that is none of its column; the text says which.
    """
    carried = {}
    for column in columns:
        value = values.get(column.name)
        try:
            carried[column.feature] = _of_kind(value, column.kind)
        except (ValueError, TypeError, OverflowError):
            shown = repr(value)[:100]
            other = "bytes" if column.kind == "text" else "text"
            raise ValueError(
                f"its column {column.name!r} holds {shown}, which is no {column.kind}; "
                f"--columns {column.name}:{other} takes it"
            ) from None
    return json.dumps(carried, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(",", ":"))


def features(columns: str) -> list[tuple[str, bytes]]:
    """(name, encoded feature) of what is carried, in the order of their names."""
    return [(name, _feature(name, value)) for name, value in json.loads(columns).items()] if columns else []


def with_columns(record: bytes, columns: str) -> bytes:
    """A record, a tf.Example, with these columns and none that it had before."""
    own = [(name, encoded) for name, encoded in entries(record) if name in RESERVED]
    return example(*(encoded for _, encoded in sorted([*own, *features(columns)])))


def digest(columns: str) -> str:
    """The same for the same values and names: 16 hexadecimal digits of a SHA-256; "" for nothing carried."""
    return hashlib.sha256(columns.encode()).hexdigest()[:16] if columns else ""


def infer_kind(values: Iterable[Any], *, texts: bool = False) -> str:
    """The kind that takes all of these values: "" where there are none.

    Args:
        texts: the values are those of a file in which all is text; they are taken for numbers where all of them are
            written as such. (Numbers with zeros before them, or too long ones, are not.)
    """
    plain = [part for value in values for part in (value if isinstance(value, list) else [value])]
    plain = [part for part in plain if not _is_nothing(part)]
    if not plain:
        return ""
    if texts:
        if all(WHOLE.fullmatch(part) and _is_int64(int(part)) for part in plain):
            return "int64"
        return "float" if all(NUMBER.fullmatch(part) and _has_no_zeros_before(part) for part in plain) else "text"
    if all(isinstance(part, bool | int) and _is_int64(part) for part in plain):
        return "int64"
    if all(isinstance(part, bool | int | float) for part in plain):
        return "float"
    return "bytes" if any(isinstance(part, bytes) and not _is_utf8(part) for part in plain) else "text"


def _of_kind(value: Any, kind: str) -> Any:
    """A value as JSON has it."""
    if isinstance(value, list | tuple):
        if kind == "text" and any(isinstance(part, list | tuple | Mapping) for part in value):
            return _text(value)
        return [KINDS[kind](part) for part in value]
    return None if _is_nothing(value) else KINDS[kind](value)


def _int64(value: Any) -> int:
    if isinstance(value, str | bytes):
        if not WHOLE.fullmatch(text := _text(value)):
            raise ValueError
        value = int(text)
    if not isinstance(value, int) or not _is_int64(value):
        raise ValueError
    return int(value)


def _float(value: Any) -> float:
    if not isinstance(value, int | float | str | bytes | Decimal):
        raise TypeError
    number = float(value)
    # As records hold it: what is too large for 32 bits is no number there.
    if not math.isfinite(struct.unpack("<f", struct.pack("<f", number))[0]):
        raise ValueError
    return number


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, list | tuple | Mapping):
        return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False, separators=(",", ":"))
    text = str(value)
    text.encode()
    return text


def _bytes(value: Any) -> dict[str, str]:
    data = value if isinstance(value, bytes) else _text(value).encode()
    return {BASE64: base64.b64encode(data).decode()}


# By kind, what makes a value of it, as JSON has it. Records hold int64, float, and bytes for the last two.
KINDS: dict[str, Callable[[Any], Any]] = {"int64": _int64, "float": _float, "text": _text, "bytes": _bytes}
OPTION = re.compile(r"(?P<name>[^=]+?)(=(?P<feature>[^=:]+?))?(:(?P<kind>" + "|".join(KINDS) + "))?", re.DOTALL)


def _feature(name: str, value: Any) -> bytes:
    if value is None:
        return empty_feature(name)
    values = value if isinstance(value, list) else [value]
    if not values:
        return empty_feature(name)
    if isinstance(values[0], int):
        return int64_feature(name, *values)
    if isinstance(values[0], float):
        return float_feature(name, struct.pack(f"<{len(values)}f", *values))
    return bytes_feature(
        name, *(part.encode() if isinstance(part, str) else base64.b64decode(part[BASE64]) for part in values)
    )


def _is_nothing(value: Any) -> bool:
    """None, an empty text, and the NaN by which tables say that there is no number."""
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _is_int64(value: int) -> bool:
    return -(1 << 63) <= value < 1 << 63


def _has_no_zeros_before(text: str) -> bool:
    return re.match(r"[+-]?0[0-9]", text) is None and not text.startswith("+")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
