"""What a killed attempt at a run has left: finished shards, which the next attempt takes over."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

from pipeline.console.logs import logger
from pipeline.options.config import RunConfig
from transforms.records import layout
from transforms.stores import filesystems, storage

STAGED_LEDGER = re.compile(r"/features-[0-9a-f]{32}\.ledger$")
# Options that change how a run works but not what it makes.
NOT_IN_IDENTITY = (
    "threads", "batch_size", "engine", "min_parity", "max_failure_rate", "fetch_concurrency", "prefetch_bytes",
    "fetch_retries", "storage_options", "no_wait", "verbose", "beam_args", "new_model", "shard_size",
    "trust_module",
)  # fmt: skip


def identity(config: RunConfig) -> dict[str, Any]:
    """Of a run's options, those that decide what it publishes, as JSON has them."""
    described = {name: value for name, value in config.describe().items() if name not in NOT_IN_IDENTITY}
    content: dict[str, Any] = json.loads(json.dumps(described))
    return content


def note_attempt(config: RunConfig, attempt: str, generation: Mapping[str, Any]) -> None:
    """Says beside an attempt's staged files what they are, for a later attempt."""
    content = {"identity": identity(config), "generation": generation}
    uri = layout.attempt_file(config.output, config.run_id, attempt)
    storage.write_bytes(uri, json.dumps(content).encode())


def finished_shards(attempt_folder: str) -> list[str]:
    """Ledgers of the shards that an attempt has finished; each is written when its shard is whole."""
    scheme = attempt_folder.partition("://")[0] + "://" if "://" in attempt_folder else ""
    found = filesystems.filesystem(attempt_folder).find(attempt_folder)
    return [path if path.startswith(scheme) else scheme + path for path in found if STAGED_LEDGER.search(path)]


def leftovers(config: RunConfig, generation: Mapping[str, Any]) -> list[str]:
    """Ledgers of the finished shards that earlier attempts at this run have left, of the same options and vectors.

    What else they have left is removed; a publish that ended in the middle is taken back before.
    """
    folder = layout.staging_folder(config.output, config.run_id)
    _take_back(layout.run_folder(config.output, config.run_id))
    fs = filesystems.filesystem(folder)
    if not fs.isdir(folder):
        return []
    wanted = {"identity": identity(config), "generation": json.loads(json.dumps(generation))}
    ledgers: list[str] = []
    for path in fs.ls(folder, detail=False):
        attempt = path.rstrip("/").rpartition("/")[2]
        if attempt.startswith("lease-"):
            continue
        found = finished_shards(layout.staging_folder(config.output, config.run_id, attempt))
        if found and _noted(config, attempt) == wanted:
            ledgers += found
            continue
        if found:
            logger.info("run %s: %d shards of an attempt with other options are dropped", config.run_id, len(found))
        storage.remove_folder(layout.staging_folder(config.output, config.run_id, attempt))
    return ledgers


def complete_publish(config: RunConfig) -> bool:
    """Ends a publish that lacked its last step alone; gives whether there was one, of the same options.

    The manifest is written when all files are in place, so what was missing is the word that it is so.
    """
    folder = layout.run_folder(config.output, config.run_id)
    uri = storage.join(folder, layout.MANIFEST)
    manifest = json.loads(storage.read_bytes(uri)) if storage.exists(uri) else {}
    if layout.MOVES in manifest or manifest.get("identity") != identity(config):
        return False
    with contextlib.suppress(FileExistsError):
        storage.write_bytes(storage.join(folder, layout.SUCCESS), b"", exclusive=True)
    storage.remove_folder(layout.staging_folder(config.output, config.run_id))
    return True


def _take_back(folder: str) -> None:
    """Undoes a publish that ended in the middle: its shards go back to where they were staged."""
    uri = storage.join(folder, layout.MANIFEST)
    claimed = json.loads(storage.read_bytes(uri)) if storage.exists(uri) else {}
    for name, staged in claimed.get(layout.MOVES, {}).items():
        if storage.exists(storage.join(folder, name)) and not storage.exists(staged):
            storage.move(storage.join(folder, name), staged)
    storage.remove_folder(folder)


def _noted(config: RunConfig, attempt: str) -> dict[str, Any] | None:
    uri = layout.attempt_file(config.output, config.run_id, attempt)
    try:
        content: dict[str, Any] = json.loads(storage.read_bytes(uri))
    except (FileNotFoundError, ValueError):
        return None
    return content
