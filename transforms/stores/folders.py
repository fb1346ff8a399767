"""What lies in a folder, of a local disk or a store: told for sure, or not at all."""

from __future__ import annotations

import os
import posixpath

from transforms.stores.filesystems import filesystem, is_local
from transforms.stores.storage import path_of


def entries(folder: str) -> list[tuple[str, bool]]:
    """(name, whether it is a folder) of what lies in a folder; nothing where there is no folder of that name.

    fsspec's `isdir` says of a folder that may not be looked into, or of a store that does not answer, that it is none.

    Raises:
        OSError: that cannot be told; stores raise errors of their own as well.
    """
    if is_local(folder):
        try:
            with os.scandir(path_of(folder)) as found:
                return sorted((entry.name, entry.is_dir()) for entry in found)
        except (FileNotFoundError, NotADirectoryError):
            return []
    try:
        infos = filesystem(folder).ls(folder, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return []
    own = folder.partition("://")[2].rstrip("/")
    paths = [(info["name"].partition("://")[2] or info["name"], info["type"] == "directory") for info in infos]
    return sorted((posixpath.basename(path.rstrip("/")), is_it) for path, is_it in paths if path.strip("/") != own)


def scheme_hint(text: str) -> str:
    """Of a path that is not there: that a bucket's name begins with its scheme. As the end of a sentence, or ""."""
    first = text.partition("/")[0]
    if text.startswith(("/", "~", ".", "file:")) or "://" in text or "/" not in text or os.path.lexists(first):
        return ""
    return f"; of a bucket, the scheme is part of the name: gs://{text}, s3://{text}, az://{text}"
