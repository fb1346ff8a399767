"""The JSON files of an output, as they are read: of a bounded size, and of the shape that runs write.

An output is a folder that others may write to, so what lies in it is input. Names in these files are matched whole and
never joined to a path as they come.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from transforms.records import layout
from transforms.records.output_error import OutputError
from transforms.stores import storage

# A billion images in shards of 38,000 have a manifest of some 10 MB.
MANIFEST_BYTES = 64 << 20
LAST_YEAR = 9000  # runs can be placed after it
NOTE_BYTES = 1 << 20  # of leases and attempts
YEAR_10000 = 253_402_300_800  # in seconds since the epoch


def _time(text: str) -> str:
    if not text.endswith("Z"):
        raise ValueError("a time in UTC, with a Z")
    if datetime.fromisoformat(text).year >= LAST_YEAR:
        raise ValueError(f"a time before the year {LAST_YEAR}")
    return text


def _whole(pattern: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"a text like {pattern}")
        return text

    return check


Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, lt=YEAR_10000)]
Time = Annotated[str, AfterValidator(_time)]
RunId = Annotated[str, AfterValidator(_whole(layout.RUN_ID))]
Attempt = Annotated[str, AfterValidator(_whole(layout.ATTEMPT))]
Crc32c = Annotated[str, AfterValidator(_whole("[0-9a-f]{8}"))]
ShardName = Annotated[str, AfterValidator(_whole(layout.SHARD.pattern))]
LedgerName = Annotated[str, AfterValidator(_whole(layout.LEDGER.pattern))]
Host = Annotated[str, AfterValidator(_whole("[A-Za-z0-9_.:-]{1,255}"))]
Shown = Annotated[str, Field(max_length=1000)]
Json = dict[str, Any]


class FileEntry(TypedDict):
    """Of a file of a run; these shapes ask for what is read, and let more be there."""

    records: Count
    bytes: Count
    crc32c: Crc32c


class ShardEntry(FileEntry):
    path: ShardName


class LedgerEntry(FileEntry):
    path: LedgerName


class Counts(TypedDict):
    listed: Count
    unchanged: Count
    failed_before: Count
    outside: Count
    over_limit: int  # below zero in compactions of 0.1.0
    embedded: Count
    failed: Count
    failed_by_error: dict[str, Count]
    duplicates: Count
    deleted: Count


class Identity(TypedDict):
    compacted: NotRequired[list[RunId]]


class Model(TypedDict):
    handle: str
    digest: str
    engine: str
    precision: str
    feature_dim: Annotated[int, Field(ge=1)]


class Manifest(TypedDict):
    """run.json of a published run; docs/output-format.md tells what the entries mean."""

    schema_version: Literal[1]
    run_id: RunId
    attempt: Attempt
    started: Time
    finished: Time
    as_of: Time
    identity: Identity
    generation: Json
    model: Model
    preprocessing: Json
    counts: Counts
    shards: list[ShardEntry]
    dead_letters: list[ShardEntry]
    deleted: list[ShardEntry]
    ledgers: list[LedgerEntry]
    compression: Literal["none", "gzip"]


class Claim(TypedDict):
    """run.json from the moment on that an attempt claims the run."""

    attempt: Attempt
    moves: NotRequired[dict[ShardName, str]]
    identity: NotRequired[Json]
    refused: NotRequired[str]


class AttemptNote(TypedDict):
    """attempt.json: what an attempt makes."""

    identity: Json
    generation: Json


class StagedNote(TypedDict):
    """What a staged ledger tells of its shard, but for names, which are those that it lies under."""

    records: Count
    bytes: Count
    crc32c: Crc32c
    first_uri: str


class Job(TypedDict):
    """What is known of a job elsewhere, to be shown and compared; nothing is asked that is named here."""

    runner: Shown
    name: Shown
    id: Shown
    at: Shown
    server: Shown


class Lease(TypedDict):
    """Who works at a run."""

    attempt: str
    host: Host
    pid: Annotated[int, Field(ge=1, lt=1 << 32)]
    here: bool
    since: Seconds
    renewed: Seconds
    job: NotRequired[Job]


def read_manifest(folder: str, run_id: str) -> dict[str, Any]:
    """The manifest of a published run.

    Raises:
        OutputError: it is none, or of another run, or of a later version of this program.
        OSError: it cannot be read; stores have error classes of their own.
    """
    uri = storage.join(folder, layout.MANIFEST)
    content = _read(uri, MANIFEST_BYTES)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if isinstance(version, int) and version > layout.SCHEMA_VERSION:
        raise OutputError(
            f"{uri}: schema_version {version}, but this program knows {layout.SCHEMA_VERSION}; take a later one"
        )
    manifest = _checked(uri, content, Manifest)
    if manifest["run_id"] != run_id:
        raise OutputError(f"{uri}: it is of the run {manifest['run_id']!r}")
    return manifest


def read_claim(folder: str) -> dict[str, Any] | None:
    """The run.json of a run that is published, refused or being published; None where there is none.

    Raises: as `read_manifest`.
    """
    return _read_if_there(storage.join(folder, layout.MANIFEST), MANIFEST_BYTES, Claim)


def read_attempt(uri: str) -> dict[str, Any] | None:
    """An attempt.json; None where there is none. Raises as `read_manifest`."""
    return _read_if_there(uri, NOTE_BYTES, AttemptNote)


def parse_staged_note(text: bytes, uri: str) -> dict[str, Any]:
    """The note in the metadata of the staged ledger `uri`. Raises OutputError."""
    try:
        return _checked(uri, json.loads(text), StagedNote)
    except (ValueError, RecursionError):
        raise OutputError(f"{uri}: its note of a shard is not JSON") from None


def read_lease(uri: str) -> dict[str, Any] | None:
    """A lease; None where there is none. Raises as `read_manifest`."""
    return _read_if_there(uri, NOTE_BYTES, Lease)


def _read_if_there(uri: str, limit: int, shape: type) -> dict[str, Any] | None:
    try:
        content = _read(uri, limit)
    except FileNotFoundError:
        return None
    return _checked(uri, content, shape)


def _read(uri: str, limit: int) -> Any:
    try:
        return json.loads(storage.read_bytes(uri, limit))
    except storage.TooLargeError as e:
        raise OutputError(f"{uri}: {e}; no run writes such a file") from None
    except (ValueError, RecursionError) as e:
        raise OutputError(f"{uri}: not JSON ({type(e).__name__}); no run writes such a file") from None


def _checked(uri: str, content: Any, shape: type) -> dict[str, Any]:
    try:
        _adapter(shape).validate_python(content, strict=True)
    except ValidationError as e:
        error = e.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, error["loc"]))[:80] or "the whole"
        raise OutputError(f"{uri}: not what runs write there: {place}: {error['msg']}") from None
    checked: dict[str, Any] = content
    return checked


@functools.cache
def _adapter(shape: type) -> TypeAdapter[Any]:
    return TypeAdapter(shape)
