"""The output layout: where runs, shards, ledgers and manifests lie. docs/output-format.md tells it."""

from __future__ import annotations

import re
from datetime import datetime

from transforms.stores import storage

SUCCESS = "_SUCCESS"
MANIFEST = "run.json"
ATTEMPT_NOTE = "attempt.json"
MOVES = "moves"  # the key of a manifest that is a mere claim: where each file came from
SCHEMA_VERSION = 1
# By kind of staged file, the manifest's list of them.
KINDS = {"features": "shards", "dead_letters": "dead_letters", "deleted": "deleted", "containers": "containers"}
EXTENSIONS = {"none": ".tfrecord", "gzip": ".tfrecord.gz"}
YEAR_10000 = 253_402_300_800  # in seconds since the epoch: readers of Parquet, and Python, show times before it


def run_folder(output: str, run_id: str) -> str:
    return storage.join(output, RUNS, run_id)


def staging_folder(output: str, run_id: str, attempt: str = "") -> str:
    """Where one attempt at a run puts its files; without an attempt, the folder of them all."""
    folder = storage.join(output, STAGING, run_id)
    return storage.join(folder, attempt) if attempt else folder


def lease_file(output: str, run_id: str, number: int) -> str:
    """Who works at a run, one file a holder; the largest number holds."""
    return storage.join(staging_folder(output, run_id), f"lease-{number:06d}.json")


def attempt_file(output: str, run_id: str, attempt: str) -> str:
    """What an attempt makes, so that a later one knows whether its shards are of the same kind."""
    return storage.join(staging_folder(output, run_id, attempt), ATTEMPT_NOTE)


def refused_folder(output: str, run_id: str) -> str:
    """Where the dead letters of a run that failed too often are kept."""
    return storage.join(output, REFUSED, run_id)


def artifact_file(output: str, name: str) -> str:
    """Where an artifact lies that belongs to an output and not to the module alone."""
    return storage.join(output, ARTIFACTS, name)


# What runs write, by the whole path within an output. A name that was being written when its process was killed has an
# ending of its own.
RUN_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
ATTEMPT = r"[0-9a-f]{32}"
SHARD = re.compile(r"(features|dead_letters|deleted|containers)-[0-9]{5,}-of-[0-9]{5,}\.(tfrecord(\.gz)?|jsonl)")
LEDGER = re.compile(r"ledger-[0-9]{5,}-of-[0-9]{5,}\.parquet")
STAGED = re.compile(r"(features|dead_letters|deleted|containers)-[0-9a-f]{32}")
STAGED_LEDGER = re.compile(r"features-[0-9a-f]{32}\.ledger")
LEASE = re.compile(r"lease-([0-9]{6})\.json")
_PARTIAL = r"(\.[0-9a-f]{8})?(\.partial)?"
_OF_RUN = re.compile(rf"({SHARD.pattern}|{LEDGER.pattern}|run\.json|_SUCCESS){_PARTIAL}")
_OF_STAGING = re.compile(
    rf"{LEASE.pattern}{_PARTIAL}"
    rf"|{ATTEMPT}/(attempt\.json|model/[0-9a-f]{{16}}\.[a-z]+|{STAGED.pattern}(\.ledger)?){_PARTIAL}"
)
_OF_ARTIFACTS = re.compile(rf"[0-9a-f]{{16}}(-[0-9a-f]{{8}})?-[a-z]+-int8-[A-Za-z0-9_-]+{_PARTIAL}")
RUNS, REFUSED, STAGING, ARTIFACTS = "runs", "refused", ".staging", "artifacts"
PLACES = (RUNS, REFUSED, STAGING, ARTIFACTS)  # the folders of an output


def is_written_here(place: str, path: str) -> bool:
    """Whether runs write a file of that name.

    Args:
        place: one of `PLACES`.
        path: within the folder of a run, or of all attempts at one; of artifacts, within the place itself.
    """
    patterns = {RUNS: _OF_RUN, REFUSED: _OF_RUN, STAGING: _OF_STAGING, ARTIFACTS: _OF_ARTIFACTS}
    return patterns[place].fullmatch(path) is not None


def is_own(output: str, uri: str) -> bool:
    """Whether a file has the name of one that runs of this output write, and so is no input of another run."""
    if not uri.startswith(output + "/"):
        return False
    place, _, path = uri.removeprefix(output + "/").partition("/")
    if place == ARTIFACTS:
        return is_written_here(place, path)
    run_id, _, path = path.partition("/")
    return place in PLACES and re.fullmatch(RUN_ID, run_id) is not None and is_written_here(place, path)


def shard_name(kind: str, number: int, of: int, compression: str = "none") -> str:
    """Such as features-00000-of-00004.tfrecord."""
    extension = {"features": EXTENSIONS[compression], "ledger": ".parquet"}.get(kind, ".jsonl")
    return f"{kind}-{number:05d}-of-{of:05d}{extension}"


def timestamp(time: datetime, precision: str) -> str:
    """RFC 3339, of a time in UTC."""
    return time.isoformat(timespec=precision).replace("+00:00", "Z")
