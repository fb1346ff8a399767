"""What a killed attempt at a run has left: finished shards, which the next attempt takes over."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.console.logs import logger
from transforms.records import layout
from transforms.stores import filesystems, storage

if TYPE_CHECKING:
    from pipeline.model.feature_model import FeatureModel

STAGED_LEDGER = re.compile(r"/features-[0-9a-f]{32}\.ledger$")


def stage_attempt(output: str, run_id: str, attempt: str, making: Mapping[str, Any], model: FeatureModel) -> str:
    """Says beside an attempt's staged files what they are, for a later attempt; and puts the model there, for workers.

    Args:
        making: the identity of the run and its generation.

    Returns:
        The URI of the model's artifact.
    """
    storage.write_bytes(layout.attempt_file(output, run_id, attempt), json.dumps(making).encode())
    staging = layout.staging_folder(output, run_id, attempt)
    artifact_uri = storage.join(staging, "model", f"{model.digest[:16]}.{model.engine}")
    storage.write_bytes(artifact_uri, storage.read_bytes(model.artifact))
    return artifact_uri


def finished_shards(attempt_folder: str) -> list[str]:
    """Ledgers of the shards that an attempt has finished; each is written when its shard is whole."""
    scheme = attempt_folder.partition("://")[0] + "://" if "://" in attempt_folder else ""
    found = filesystems.filesystem(attempt_folder).find(attempt_folder)
    return [path if path.startswith(scheme) else scheme + path for path in found if STAGED_LEDGER.search(path)]


def leftovers(output: str, run_id: str, making: Mapping[str, Any]) -> list[str]:
    """Ledgers of the finished shards that earlier attempts at this run have left, `making` the same.

    What else they have left is removed; a publish that ended in the middle is taken back before.
    """
    folder = layout.staging_folder(output, run_id)
    _take_back(layout.run_folder(output, run_id))
    fs = filesystems.filesystem(folder)
    if not fs.isdir(folder):
        return []
    wanted = json.loads(json.dumps(making))
    ledgers: list[str] = []
    for path in fs.ls(folder, detail=False):
        attempt = path.rstrip("/").rpartition("/")[2]
        if attempt.startswith("lease-"):
            continue
        found = finished_shards(layout.staging_folder(output, run_id, attempt))
        if found and _noted(output, run_id, attempt) == wanted:
            ledgers += found
            continue
        if found:
            logger.info("run %s: %d shards of an attempt with other options are dropped", run_id, len(found))
        storage.remove_folder(layout.staging_folder(output, run_id, attempt))
    return ledgers


def complete_publish(output: str, run_id: str, identity: Mapping[str, Any]) -> bool:
    """Ends a publish that lacked its last step alone; gives whether there was one, of the same options.

    The manifest is written when all files are in place, so what was missing is the word that it is so.
    """
    folder = layout.run_folder(output, run_id)
    uri = storage.join(folder, layout.MANIFEST)
    manifest = json.loads(storage.read_bytes(uri)) if storage.exists(uri) else {}
    if layout.MOVES in manifest or manifest.get("identity") != identity:
        return False
    with contextlib.suppress(FileExistsError):
        storage.write_bytes(storage.join(folder, layout.SUCCESS), b"", exclusive=True)
    storage.remove_folder(layout.staging_folder(output, run_id))
    return True


def _take_back(folder: str) -> None:
    """Undoes a publish that ended in the middle: its shards go back to where they were staged."""
    uri = storage.join(folder, layout.MANIFEST)
    claimed = json.loads(storage.read_bytes(uri)) if storage.exists(uri) else {}
    for name, staged in claimed.get(layout.MOVES, {}).items():
        if storage.exists(storage.join(folder, name)) and not storage.exists(staged):
            storage.move(storage.join(folder, name), staged)
    storage.remove_folder(folder)


def _noted(output: str, run_id: str, attempt: str) -> dict[str, Any] | None:
    uri = layout.attempt_file(output, run_id, attempt)
    try:
        content: dict[str, Any] = json.loads(storage.read_bytes(uri))
    except (FileNotFoundError, ValueError):
        return None
    return content
