"""The output layout: where runs, shards, ledgers and manifests lie. docs/output-format.md tells it."""

from __future__ import annotations

import re

import pyarrow as pa

from transforms.stores import storage

SUCCESS = "_SUCCESS"
MANIFEST = "run.json"
MOVES = "moves"  # the key of a manifest that is a mere claim: where each file came from
SCHEMA_VERSION = 1
# By kind of staged file, the manifest's list of them.
KINDS = {"features": "shards", "dead_letters": "dead_letters", "deleted": "deleted"}
EXTENSIONS = {"none": ".tfrecord", "gzip": ".tfrecord.gz"}

LEDGER_SCHEMA = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("listed_version", pa.string()),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("updated", pa.timestamp("us", tz="UTC")),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("shard", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("stage", pa.string()),
        pa.field("error", pa.string()),
    ]
)


def run_folder(output: str, run_id: str) -> str:
    return storage.join(output, "runs", run_id)


def staging_folder(output: str, run_id: str, attempt: str = "") -> str:
    """Where one attempt at a run puts its files; without an attempt, the folder of them all."""
    folder = storage.join(output, ".staging", run_id)
    return storage.join(folder, attempt) if attempt else folder


def lease_file(output: str, run_id: str, number: int) -> str:
    """Who works at a run, one file a holder; the largest number holds."""
    return storage.join(staging_folder(output, run_id), f"lease-{number:06d}.json")


def attempt_file(output: str, run_id: str, attempt: str) -> str:
    """What an attempt makes, so that a later one knows whether its shards are of the same kind."""
    return storage.join(staging_folder(output, run_id, attempt), "attempt.json")


def refused_folder(output: str, run_id: str) -> str:
    """Where the dead letters of a run that failed too often are kept."""
    return storage.join(output, "refused", run_id)


def artifact_file(output: str, name: str) -> str:
    """Where an artifact lies that belongs to an output and not to the module alone."""
    return storage.join(output, "artifacts", name)


OWN_FILE = re.compile(
    r"(features|ledger|dead_letters|deleted)-\d{5}-of-\d{5}\.(tfrecord(\.gz)?|parquet|jsonl)|run\.json|_SUCCESS"
)


def is_own(output: str, uri: str) -> bool:
    """Whether a file is one that runs of this output have written, and so no input of another run."""
    place, _, rest = uri.removeprefix(output + "/").partition("/") if uri.startswith(output + "/") else ("", "", "")
    if place in ("runs", "refused"):
        return OWN_FILE.fullmatch(rest.rpartition("/")[2]) is not None
    return place in (".staging", "artifacts")


def shard_name(kind: str, number: int, of: int, compression: str = "none") -> str:
    """Such as features-00000-of-00004.tfrecord."""
    extension = {"features": EXTENSIONS[compression], "ledger": ".parquet"}.get(kind, ".jsonl")
    return f"{kind}-{number:05d}-of-{of:05d}{extension}"
