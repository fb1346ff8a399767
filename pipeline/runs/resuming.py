"""What a killed attempt at a run has left: finished shards, which the next attempt takes over."""

from __future__ import annotations

import contextlib
import json
import posixpath
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.console.logs import logger
from pipeline.errors import RunError
from transforms.records import documents, layout, removal
from transforms.records.output_error import OutputError
from transforms.stores import storage

if TYPE_CHECKING:
    from pipeline.model.feature_model import FeatureModel


def note_attempt(output: str, run_id: str, attempt: str, making: Mapping[str, Any]) -> None:
    """Says beside an attempt's staged files what they are, for a later attempt.

    Args:
        making: the identity of the run and its generation.
    """
    storage.write_bytes(layout.attempt_file(output, run_id, attempt), json.dumps(making).encode())


def noted(output: str, run_id: str, attempt: str) -> dict[str, Any] | None:
    """What an attempt makes, as `note_attempt` was told; None where nothing says so that can be believed."""
    try:
        return documents.read_attempt(layout.attempt_file(output, run_id, attempt))
    except OutputError:
        return None


def stage_model(output: str, run_id: str, attempt: str, model: FeatureModel) -> str:
    """Puts the artifact of a model where workers find it; gives its URI."""
    staging = layout.staging_folder(output, run_id, attempt)
    artifact_uri = storage.join(staging, "model", f"{model.digest[:16]}.{model.engine}")
    storage.write_bytes(artifact_uri, storage.read_bytes(model.artifact))
    return artifact_uri


def finished_shards(output: str, run_id: str, attempt: str = "") -> list[str]:
    """Ledgers of the shards that an attempt, or any, has finished; each is written when its shard is whole.

    The largest come first: of two that hold an image, as where a bundle was tried twice, the first is taken over.
    """
    sizes = removal.sizes_in(output, layout.STAGING, run_id)
    return [
        storage.join(layout.staging_folder(output, run_id), name)
        for name in sorted(sizes, key=lambda name: (-sizes[name], name))
        if name.startswith(attempt)
        and layout.is_written_here(layout.STAGING, name)
        and layout.STAGED_LEDGER.fullmatch(posixpath.basename(name))
    ]


def leftovers(output: str, run_id: str, making: Mapping[str, Any]) -> list[str]:
    """Ledgers of the finished shards that earlier attempts at this run have left, `making` the same.

    What else they have left is removed; a publish that ended in the middle is taken back before.

    Raises:
        RunError: a publish that cannot be taken back.
    """
    _take_back(output, run_id)
    wanted = json.loads(json.dumps(making))
    ledgers: list[str] = []
    names = removal.names_in(output, layout.STAGING, run_id)
    attempts = {name.partition("/")[0] for name in names if "/" in name}
    for attempt in sorted(attempt for attempt in attempts if re.fullmatch(layout.ATTEMPT, attempt)):
        found = finished_shards(output, run_id, attempt)
        if found and noted(output, run_id, attempt) == wanted:
            ledgers += found
            continue
        if found:
            logger.info("run %s: %d shards of an attempt with other options are dropped", run_id, len(found))
        removal.remove_staging(output, run_id, attempt)
    return ledgers


def complete_publish(output: str, run_id: str, identity: Mapping[str, Any]) -> bool:
    """Ends a publish that lacked its last step alone; gives whether there was one, of the same options.

    The manifest is written when all files are in place, so what was missing is the word that it is so.
    """
    folder = layout.run_folder(output, run_id)
    try:
        claim = documents.read_claim(folder)
        if claim is None or layout.MOVES in claim or claim.get("identity") != identity:
            return False
        manifest = documents.read_manifest(folder, run_id)
    except OutputError as e:
        raise RunError(f"{e}; move it away, or give another --run_id") from None
    entries = [entry for kind in (*layout.KINDS.values(), "ledgers") for entry in manifest[kind]]
    if not all(_is_there(storage.join(folder, entry["path"]), entry["bytes"]) for entry in entries):
        return False
    with contextlib.suppress(FileExistsError):
        storage.write_bytes(storage.join(folder, layout.SUCCESS), b"", exclusive=True)
    removal.remove_staging(output, run_id)
    return True


def _is_there(uri: str, size: int) -> bool:
    return storage.exists(uri) and storage.describe(uri).size == size


def _take_back(output: str, run_id: str) -> None:
    """Undoes a publish that ended in the middle: its shards go back to where they were staged."""
    folder, staging = layout.run_folder(output, run_id), layout.staging_folder(output, run_id)
    try:
        claim = documents.read_claim(folder) or {}
    except OutputError as e:
        raise RunError(f"{e}; move it away, or give another --run_id") from None
    moves = claim.get(layout.MOVES, {})
    for name, staged in moves.items():
        kind = name.partition("-")[0]
        if not re.fullmatch(rf"{re.escape(staging)}/{layout.ATTEMPT}/{kind}-[0-9a-f]{{32}}", staged):
            raise RunError(
                f"{storage.join(folder, layout.MANIFEST)}: it says that {name} came from {staged!r}, where no run "
                f"stages its files; move it away, or give another --run_id"
            )
    for name, staged in moves.items():
        if storage.exists(storage.join(folder, name)) and not storage.exists(staged):
            storage.move(storage.join(folder, name), staged)
    removal.remove_unpublished(output, run_id)
