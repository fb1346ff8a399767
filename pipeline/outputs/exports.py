"""What exports there are in a folder, and which is the current one."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

from pipeline.errors import OutputError
from transforms.records import documents, exports, layout
from transforms.records.exports import Reusable
from transforms.stores import storage

NAME_BYTES = 200


class PublishedExport(NamedTuple):
    """Attributes:
    folder: where its files lie.
    manifest: its _EXPORT.
    """

    folder: str
    manifest: Mapping[str, Any]

    @property
    def by_changes(self) -> bool:
        """Whether it holds what has changed since the one before, and not all there is."""
        return not self.manifest["complete"]

    @property
    def files(self) -> list[str]:
        """The URIs of the files with vectors, in their order."""
        paths = (str(entry["path"]) for entry in self.manifest["files"])
        return [storage.join(self.folder, path) for path in paths if exports.holds_vectors(path)]

    @property
    def reusable(self) -> dict[str, list[Reusable]]:
        """Its files by what their names begin with, which tells what they hold: another export may have the same."""
        found: dict[str, list[Reusable]] = defaultdict(list)
        for entry in self.manifest["files"]:
            uri = storage.join(self.folder, entry["path"])
            stem = str(entry["path"]).partition(".")[0]
            found[stem].append(Reusable(uri, entry["records"], entry["bytes"], entry["crc32c"]))
        return dict(found)


def current_export(to: str) -> PublishedExport | None:
    """The newest export in a folder; None where there is none.

    Raises:
        OutputError: what is there is not what exports write.
    """
    uri = storage.join(to, exports.CURRENT)
    try:
        name = storage.read_bytes(uri, NAME_BYTES).decode()
    except FileNotFoundError:
        return None
    except (storage.TooLargeError, UnicodeDecodeError):
        name = ""
    if not re.fullmatch(exports.EXPORT_ID, name):
        raise OutputError(f"{uri}: it names no export; if it is of another program, give another folder")
    return published_export(storage.join(to, name))


def published_export(folder: str) -> PublishedExport | None:
    """The export in its own folder; None where there is none, or it is not whole.

    Raises:
        OutputError: its manifest is not what exports write.
    """
    manifest = documents.read_export(folder)
    if manifest is None or not storage.exists(storage.join(folder, layout.SUCCESS)):
        return None
    return PublishedExport(folder, manifest)
