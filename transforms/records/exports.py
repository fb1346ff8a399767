"""The layout of exports: a folder each, below the one that is named. docs/exports.md tells it."""

from __future__ import annotations

import re
from typing import NamedTuple

MANIFEST = "_EXPORT"  # JSON; programs that read a folder of data pass over names that begin so
CURRENT = "CURRENT"  # beside the folders: the name of the newest
STEM = "vectors-"
DELETED = "delete/gone-"
DIGEST = 24  # hexadecimal digits
SCHEMA_VERSION = 1
EXPORT_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,159}"
# The names of all files that exports write, but `_SUCCESS`.
FILE = re.compile(
    rf"(vectors-[0-9a-f]{{{DIGEST}}}\.(parquet|npy|uris\.parquet|json)|tensors\.bytes|metadata\.tsv|sprite\.png|projector_config\.pbtxt|index\.faiss|index\.uris\.parquet|delete/gone-[0-9a-f]{{{DIGEST}}}\.txt)"
)


class Reusable(NamedTuple):
    """A file of an earlier export: where it is, and what its manifest says of it."""

    uri: str
    records: int
    bytes: int
    crc32c: str


def holds_vectors(path: str) -> bool:
    """Whether a file is one of vectors, and not what stands beside it."""
    return path.startswith(STEM) and not path.endswith(".uris.parquet")
