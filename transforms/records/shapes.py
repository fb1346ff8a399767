"""The shapes of the JSON files of an output: which entries are read, and what they may be."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, FailFast, Field, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from transforms.records import exports, layout

LAST_YEAR = 9000  # runs can be placed after it


def _time(text: str) -> str:
    if not text.endswith("Z"):
        raise ValueError("a time in UTC, with a Z")
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("a time like 2026-01-31T12:00:00Z") from None  # Python's own would quote all of the text
    if time.year >= LAST_YEAR:
        raise ValueError(f"a time before the year {LAST_YEAR}")
    return text


def _whole(pattern: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"a text like {pattern}")
        return text

    return check


Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, lt=layout.YEAR_10000)]
Time = Annotated[str, AfterValidator(_time)]
RunId = Annotated[str, AfterValidator(_whole(layout.RUN_ID))]
Attempt = Annotated[str, AfterValidator(_whole(layout.ATTEMPT))]
Crc32c = Annotated[str, AfterValidator(_whole("[0-9a-f]{8}"))]
ShardName = Annotated[str, AfterValidator(_whole(layout.SHARD.pattern))]
LedgerName = Annotated[str, AfterValidator(_whole(layout.LEDGER.pattern))]
Host = Annotated[str, AfterValidator(_whole("[A-Za-z0-9_.:-]{1,255}"))]
Shown = Annotated[str, Field(max_length=1000)]
Json = dict[str, Any]


def _moves(moves: Json) -> Json:
    if not all(layout.SHARD.fullmatch(name) and isinstance(staged, str) for name, staged in moves.items()):
        raise ValueError("names of shards, and where each was staged")
    return moves


def _errors(counts: Json) -> Json:
    if not all(type(count) is int and count >= 0 for count in counts.values()):
        raise ValueError("how often each error was met")
    return counts


# Faults are told one at a time: pydantic would collect those of all entries, of which a file can have millions.
Moves = Annotated[Json, AfterValidator(_moves)]
Errors = Annotated[Json, AfterValidator(_errors)]


class FileEntry(TypedDict):
    """Of a file of a run; these shapes ask for what is read, and let more be there."""

    records: Count
    bytes: Count
    crc32c: Crc32c


class ShardEntry(FileEntry):
    path: ShardName
    finished: NotRequired[Time]


class LedgerEntry(FileEntry):
    path: LedgerName


class Counts(TypedDict):
    listed: Count
    unchanged: Count
    failed_before: Count
    outside: Count
    over_limit: int  # below zero in compactions of 0.1.0
    embedded: Count
    new: NotRequired[Count]
    changed: NotRequired[Count]
    retried: NotRequired[Count]
    repeated: NotRequired[Count]
    columns_changed: NotRequired[Count]
    failed: Count
    failed_by_error: Errors
    duplicates: Count
    deleted: Count
    containers: NotRequired[Count]


class Phases(TypedDict):
    """Seconds by phase."""

    launch: Seconds
    images: Seconds
    publish: Seconds


class Identity(TypedDict):
    compacted: NotRequired[Annotated[list[RunId], FailFast()]]


class Model(TypedDict):
    handle: str
    digest: str
    engine: str
    precision: str
    feature_dim: Annotated[int, Field(ge=1)]


class ColumnEntry(TypedDict):
    """A column that is carried; `column` is its name in the input manifest, which the name of a folder has none of."""

    column: NotRequired[str]
    feature: str
    kind: Literal["int64", "float", "text", "bytes"]


class Manifest(TypedDict):
    """run.json of a published run; docs/output-format.md tells what the entries mean."""

    schema_version: Literal[1]
    run_id: RunId
    attempt: Attempt
    started: Time
    finished: Time
    as_of: Time
    phases: NotRequired[Phases]
    identity: Identity
    generation: Json
    model: Model
    preprocessing: Json
    counts: Counts
    shards: Annotated[list[ShardEntry], FailFast()]
    dead_letters: Annotated[list[ShardEntry], FailFast()]
    deleted: Annotated[list[ShardEntry], FailFast()]
    containers: NotRequired[Annotated[list[ShardEntry], FailFast()]]
    ledgers: Annotated[list[LedgerEntry], FailFast()]
    compression: Literal["none", "gzip"]
    columns: NotRequired[Annotated[list[ColumnEntry], FailFast()]]


class Claim(TypedDict):
    """run.json from the moment on that an attempt claims the run."""

    attempt: Attempt
    moves: NotRequired[Moves]
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


class ExportFile(FileEntry):
    path: Annotated[str, AfterValidator(_whole(exports.FILE.pattern))]


class ExportedOf(TypedDict):
    runs: list[str]


class ExportIdentity(TypedDict):
    of: ExportedOf
    base: str


class ExportCounts(TypedDict):
    """`points`: that a collection held in the end."""

    points: NotRequired[Count]


class Export(TypedDict):
    """_EXPORT of an export; docs/exports.md tells what the entries mean."""

    schema_version: Literal[1]
    export: Annotated[str, AfterValidator(_whole(exports.EXPORT_ID))]
    identity: ExportIdentity
    format: str
    runs: Annotated[list[RunId], FailFast(), Field(min_length=1)]
    generation: Json
    model: Model
    preprocessing: Json
    columns: Annotated[list[ColumnEntry], FailFast()]
    complete: bool
    files: Annotated[list[ExportFile], FailFast()]
    counts: NotRequired[ExportCounts]


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


def fault_of(content: Any, shape: str) -> str:
    """Where and why a document is not of the shape with that name here; "" of one that is."""
    try:
        _adapter(shape).validate_python(content, strict=True)
    except ValidationError as e:
        error = e.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, error["loc"]))[:80] or "the whole"
        return f"{place}: {error['msg']}"
    return ""


@functools.cache
def _adapter(shape: str) -> TypeAdapter[Any]:
    return TypeAdapter(globals()[shape])
