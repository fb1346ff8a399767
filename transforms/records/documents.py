"""The JSON files of an output, as they are read: of a bounded size, and of the shape that runs write.

An output is a folder that others may write to, so what lies in it is input. Names in these files are matched whole and
never joined to a path as they come.
"""

from __future__ import annotations

import json
import threading
from typing import Any

from transforms.records import exports, layout
from transforms.records.output_error import OutputError, UnreadableError
from transforms.stores import filesystems, storage
from transforms.stores.store_errors import describe_error, is_forbidden, is_transient

# A shard and its ledger take 275 bytes of a manifest, and 18 marks: a billion images in shards of 38,000 have 7 MB. The
# bounds are those of 120,000 shards, of 4.6 billion such images.
MANIFEST_BYTES = 32 << 20
NOTE_BYTES = 1 << 20  # of leases and attempts
# No value of JSON is without a mark that begins or separates it: a file with many small ones, of which a megabyte would
# be thirty in memory, is known before it is parsed. A mark is worth some 70 bytes at most.
MARKS = (b"[", b"{", b",", b":")
MOST_MARKS = 2_500_000

_parsing = threading.Lock()  # many are fetched at once; of crafted ones, one at a time is in memory as objects


def read_manifest(folder: str, run_id: str) -> dict[str, Any]:
    """The manifest of a published run.

    Raises:
        OutputError: it is none, or of another run, or of a later version of this program; `UnreadableError` where it
            may not be read.
        OSError: there is none, or its store does not answer; stores have error classes of their own.
    """
    uri = storage.join(folder, layout.MANIFEST)
    manifest = _read(uri, MANIFEST_BYTES, "Manifest")
    if manifest["run_id"] != run_id:
        raise OutputError(f"{uri}: it is of the run {manifest['run_id']!r}")
    manifest.setdefault("containers", [])  # which runs of the first builds of 0.1.0 could not read
    return manifest


def read_claim(folder: str) -> dict[str, Any] | None:
    """The run.json of a run that is published, refused or being published; None where there is none.

    Raises: as `read_manifest`.
    """
    return _read_if_there(storage.join(folder, layout.MANIFEST), MANIFEST_BYTES, "Claim")


def read_export(folder: str) -> dict[str, Any] | None:
    """The manifest of an export; None where there is none. Raises as `read_manifest`."""
    return _read_if_there(storage.join(folder, exports.MANIFEST), MANIFEST_BYTES, "Export")


def read_attempt(uri: str) -> dict[str, Any] | None:
    """An attempt.json; None where there is none. Raises as `read_manifest`."""
    return _read_if_there(uri, NOTE_BYTES, "AttemptNote")


def parse_staged_note(text: bytes, uri: str) -> dict[str, Any]:
    """The note in the metadata of the staged ledger `uri`. Raises OutputError."""
    try:
        return _checked(uri, _parsed(uri, text), "StagedNote")
    except (ValueError, RecursionError):
        raise OutputError(f"{uri}: its note of a shard is not JSON") from None


def read_lease(uri: str) -> dict[str, Any] | None:
    """A lease; None where there is none. Raises as `read_manifest`."""
    return _read_if_there(uri, NOTE_BYTES, "Lease")


def _read_if_there(uri: str, limit: int, shape: str) -> dict[str, Any] | None:
    try:
        return _read(uri, limit, shape)
    except FileNotFoundError:
        return None


def _read(uri: str, limit: int, shape: str) -> dict[str, Any]:
    try:
        text = storage.read_bytes(uri, limit)
        with _parsing:
            return _checked(uri, _parsed(uri, text), shape)
    except OutputError:
        raise
    except storage.TooLargeError as e:
        raise OutputError(f"{uri}: {e}; no run writes such a file") from None
    except storage.NotAFileError:
        raise OutputError(f"{uri}: a folder, a device or a pipe, where runs write files") from None
    except (ValueError, RecursionError) as e:
        raise OutputError(f"{uri}: not JSON ({type(e).__name__}); no run writes such a file") from None
    except Exception as e:  # stores have error classes of their own
        if not _is_of_the_file(uri, e):
            raise
        raise UnreadableError(f"{uri}: it cannot be read ({getattr(e, 'strerror', '') or describe_error(e)})") from e


def _parsed(uri: str, text: bytes) -> Any:
    if (marks := sum(map(text.count, MARKS))) > MOST_MARKS:
        raise OutputError(f"{uri}: {marks:,} marks of JSON, more than {MOST_MARKS:,}; no run writes such a file")
    return json.loads(text)


def _is_of_the_file(uri: str, error: Exception) -> bool:
    """Whether an error tells of one file that is there, and not of its store or the way to it."""
    if isinstance(error, FileNotFoundError) or is_transient(error):
        return False
    return is_forbidden(error) or (isinstance(error, OSError) and filesystems.is_local(uri))


def _checked(uri: str, content: Any, shape: str) -> dict[str, Any]:
    known = {"Manifest": layout.SCHEMA_VERSION, "Export": exports.SCHEMA_VERSION}.get(shape)
    version = content.get("schema_version") if known and isinstance(content, dict) else None
    if known and isinstance(version, int) and version > known:
        raise OutputError(f"{uri}: schema_version {version}, but this program knows {known}; take a later one")
    # Most workers write documents and read none: pydantic would be a third of what they load of ours.
    from transforms.records import shapes

    if fault := shapes.fault_of(content, shape):
        raise OutputError(f"{uri}: not what runs write there: {fault}")
    checked: dict[str, Any] = content
    return checked
