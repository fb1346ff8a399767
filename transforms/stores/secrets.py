"""What may be secret and is not shown: credentials in options and URIs. One way in, `redacted`, for all that is said.

Of a URI, what stands before an `@` and what stands behind a `?` of the web may be secret (passwords, signatures); of a
store's options, all but those that are known to be harmless. The values that this process was given are remembered, so
that they are taken out of texts that others write, too: errors of libraries, tracebacks.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HIDDEN = "…"
# Options of fsspec's filesystems whose values tell nothing that is not told anyway.
HARMLESS_OPTIONS = frozenset(
    {
        "access", "account_name", "anon", "block_size", "connect_timeout", "consistency", "default_location",
        "endpoint_url", "max_concurrency", "profile", "project", "read_timeout", "region", "region_name",
        "requester_pays", "timeout", "use_ssl", "verify", "version_aware",
    }
)  # fmt: skip
# Of gs.token, what gcsfs takes for the name of a way to get one:
# https://gcsfs.readthedocs.io/en/latest/#credentials
TOKEN_WORDS = frozenset({"anon", "browser", "cache", "cloud", "google_default"})
SHORTEST = 6  # characters of a value that is looked for in texts; shorter ones would take out ordinary words
# Where a URI begins: not that of a member of a container, whose names have colons behind them and may hold an `@`.
SCHEME = r"[a-zA-Z][a-zA-Z0-9+.-]*(?<!tar)(?<!zip)(?<!tfrecord)(?<!parquet)://"
USER = re.compile(rf"({SCHEME})[^\s/@'\"]+@")
# What stands behind a colon and is no port: a password with a slash in it, of which no library finds the end.
NO_PORT = re.compile(rf"({SCHEME}[^\s/@:'\"\[\]]*):(?![0-9]{{1,5}}(?!\w))[^\s'\"]+")
QUERY = re.compile(r"(\bhttps?://[^\s?'\"<>]*)\?[^\s'\"<>]+", re.IGNORECASE)

_remembered: set[str] = set()


def remember(value: str) -> None:
    """Has a value of this process taken out of what is shown, as it is, in one line, and as libraries quote it."""
    if len(value) >= SHORTEST:
        _remembered.update((value, " ".join(value.split()), repr(value)[1:-1]))


def remember_options(options: Mapping[str, Any]) -> None:
    """`remember` for the values of a filesystem's options that may be secret, and of what is nested in them."""
    for _, value in secret_values(options):
        remember(value)


def remember_uri(uri: str) -> None:
    """`remember` for the password and the query that a URI has."""
    for value in _secrets_of(uri):
        remember(value)


def redacted(text: str, *uris: str) -> str:
    """A text without what may be secret, in these URIs as well, of which libraries quote parts."""
    of_uris = {value for uri in uris for value in _secrets_of(uri) if len(value) >= SHORTEST}
    for value in sorted(_remembered | of_uris, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    text = NO_PORT.sub(rf"\1:{HIDDEN}", USER.sub(rf"\1{HIDDEN}@", text))
    return QUERY.sub(rf"\1?{HIDDEN}", text)


def _secrets_of(uri: str) -> list[str]:
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return []
    host = rest.partition("/")[0]
    user, at, _ = host.rpartition("@")
    found = [user, user.partition(":")[2]] if at else []
    if not at and re.search(r":(?![0-9]*$)", host):
        found += [host.partition(":")[2], rest.rpartition("@")[0].partition(":")[2]]
    return [*found, rest.partition("?")[2]] if scheme.lower() in ("http", "https") else found


def identified(uri: str) -> str:
    """A URI as `redacted` gives it, with a digest of what was taken out: the same for the same, and telling nothing."""
    shown = redacted(uri)
    return shown if shown == uri else f"{shown}#sha256:{hashlib.sha256(uri.encode()).hexdigest()}"


def secret_values(options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(name, value) of the options of a filesystem that may be secret, references to secrets not among them."""
    found: list[tuple[str, str]] = []
    for name, value in options.items():
        if isinstance(value, Mapping):
            found += [(f"{name}.{below}", text) for below, text in secret_values(value)]
        elif isinstance(value, str) and name not in HARMLESS_OPTIONS and not _is_harmless(name, value):
            found.append((name, value))
    return found


def resolved(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options with `env:NAME` and `@FILE` in place of their values, as they are read in this process.

    A file that holds a JSON object, such as a service account's, gives that.

    Raises:
        ValueError: there is no such variable or file; says which.
    """
    return {name: _resolved(name, value) for name, value in options.items()}


def _resolved(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return resolved(value)
    if not isinstance(value, str) or not _is_reference(value):
        return value
    if value.startswith("env:"):
        found = os.environ.get(value.removeprefix("env:"))
        if found is None:
            raise ValueError(f"option {name}: the environment has no variable {value.removeprefix('env:')}")
    else:
        try:
            found = Path(value.removeprefix("@")).expanduser().read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as e:
            raise ValueError(f"option {name}: {value.removeprefix('@')} cannot be read ({type(e).__name__})") from None
    remember(found)
    try:
        content = json.loads(found)
    except ValueError:
        return found
    if not isinstance(content, dict):
        return found
    remember_options(content)
    return content


def _is_reference(value: str) -> bool:
    return value.startswith(("env:", "@"))


def _is_harmless(name: str, value: str) -> bool:
    is_name_of_token = name == "token" and (value in TOKEN_WORDS or value.endswith(".json"))
    return _is_reference(value) or is_name_of_token
