"""The JSON files of an output, as they are read: of a bounded size, and of the shape that runs write.

An output is a folder that others may write to, so what lies in it is input. Names in these files are matched whole and
never joined to a path as they come.
"""

from __future__ import annotations

import json
from typing import Any

from transforms.records import layout
from transforms.records.output_error import OutputError
from transforms.stores import storage

# A billion images in shards of 38,000 have a manifest of some 10 MB.
MANIFEST_BYTES = 64 << 20
NOTE_BYTES = 1 << 20  # of leases and attempts


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
    manifest = _checked(uri, content, "Manifest")
    if manifest["run_id"] != run_id:
        raise OutputError(f"{uri}: it is of the run {manifest['run_id']!r}")
    manifest.setdefault("containers", [])  # which runs of the first builds of 0.1.0 could not read
    return manifest


def read_claim(folder: str) -> dict[str, Any] | None:
    """The run.json of a run that is published, refused or being published; None where there is none.

    Raises: as `read_manifest`.
    """
    return _read_if_there(storage.join(folder, layout.MANIFEST), MANIFEST_BYTES, "Claim")


def read_attempt(uri: str) -> dict[str, Any] | None:
    """An attempt.json; None where there is none. Raises as `read_manifest`."""
    return _read_if_there(uri, NOTE_BYTES, "AttemptNote")


def parse_staged_note(text: bytes, uri: str) -> dict[str, Any]:
    """The note in the metadata of the staged ledger `uri`. Raises OutputError."""
    try:
        return _checked(uri, json.loads(text), "StagedNote")
    except (ValueError, RecursionError):
        raise OutputError(f"{uri}: its note of a shard is not JSON") from None


def read_lease(uri: str) -> dict[str, Any] | None:
    """A lease; None where there is none. Raises as `read_manifest`."""
    return _read_if_there(uri, NOTE_BYTES, "Lease")


def _read_if_there(uri: str, limit: int, shape: str) -> dict[str, Any] | None:
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


def _checked(uri: str, content: Any, shape: str) -> dict[str, Any]:
    # Most workers write documents and read none: pydantic would be a third of what they load of ours.
    from transforms.records import shapes

    if fault := shapes.fault_of(content, shape):
        raise OutputError(f"{uri}: not what runs write there: {fault}")
    checked: dict[str, Any] = content
    return checked
