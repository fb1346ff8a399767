"""What a manifest tells of an image besides its name: version, size, time and MD5, by the columns that name them."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

from transforms.elements import ImageObject
from transforms.inputs.bounds import ManifestError
from transforms.inputs.rules import Rules
from transforms.records import layout
from transforms.stores import filesystems

LONGEST_VERSION = 1024


def columns_of(rules: Rules) -> list[str]:
    """The columns that are read: the one of uris, and those that were named for `READERS`, in their order."""
    return [rules.uri_column, *(name for name in _named(rules) if name)]


def with_facts(image: ImageObject, values: Sequence[Any], rules: Rules) -> ImageObject:
    """The row of an image, with what its manifest tells of it. Nothing (null, or an empty text) tells nothing.

    A size counts only with a version: without one, nothing says that it is still that of what is there.

    Args:
        values: of `columns_of(rules)` but the first.

    Raises:
        ManifestError: a value that is none of its column.
    """
    facts: dict[str, Any] = {}
    rest = iter(values)
    for (name, read), column in zip(READERS.items(), _named(rules), strict=True):
        if column and (value := next(rest)) not in (None, ""):
            try:
                facts[name] = read(value)
            except (ValueError, TypeError, OverflowError):
                shown = str(value)[:100]
                raise ManifestError(f"its column {column!r} holds {shown!r}, which is no {WHAT[name]}") from None
    if "version" not in facts:
        facts.pop("size", None)
    elif filesystems.scheme_of(image.uri) in ("gs", "gcs") and not facts["version"].isdecimal():
        shown = facts["version"][:100]
        raise ManifestError(f"its column {rules.version_column!r} holds {shown!r}, which is no generation of gs://")
    return image._replace(**facts)


def _named(rules: Rules) -> tuple[str, str, str, str]:
    return rules.version_column, rules.size_column, rules.updated_column, rules.md5_column


def _version(value: Any) -> str:
    """A generation of `gs://`, an ETag elsewhere, with its quotes or without."""
    if isinstance(value, bool | float) or len(text := str(value).strip('"')) > LONGEST_VERSION or not text:
        raise ValueError
    return text


def _size(value: Any) -> int:
    if isinstance(value, bool | float) or not 0 <= (size := int(value)) < 1 << 63:
        raise ValueError
    return size


def _updated(value: Any) -> float:
    """Seconds since the epoch, from those, a time with or without a zone (UTC then), or RFC 3339."""
    if isinstance(value, str):
        value = float(value) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value) else datetime.fromisoformat(value)
    if isinstance(value, datetime):
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool | date) or not 0 <= float(value) < layout.YEAR_10000:
        raise ValueError
    return float(value)


def _md5(value: Any) -> str:
    """In hexadecimal, from that or from base64."""
    text = str(value)
    if re.fullmatch("[0-9A-Fa-f]{32}", text):
        return text.lower()
    try:
        digest = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError from None
    if len(digest) != 16:
        raise ValueError
    return digest.hex()


READERS: dict[str, Callable[[Any], Any]] = {"version": _version, "size": _size, "updated": _updated, "md5": _md5}
WHAT = {"version": "version", "size": "size in bytes", "updated": "time", "md5": "MD5"}
