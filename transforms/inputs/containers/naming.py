"""Which objects are containers, by their names; and the URIs of members, as fsspec chains them.

A member is called `tar://photos/a.jpg::s3://bucket/x.tar`: its family, its name, and behind `::` the URI of its
container, which fsspec opens as it stands. Of records and rows the name is their number, from 0; fsspec has no way into
TFRecords and Parquet.

Names are literal but for three things, which could not be told or written otherwise:

- a `:` before another one, or at the end, is `%3A`, so that the first `::` is the one behind the name;
- a byte that is of no UTF-8 is `%` and two digits, as in `%E9`;
- the `%` of a name that has one of these itself, or `%25`, is `%25`. Any other `%` stands as it is.
"""

from __future__ import annotations

import re

from transforms.stores import filesystems, storage

CHAIN = "::"
FAMILIES = {
    "tar": r"(tar|tar\.gz|tgz)",
    "tfrecord": r"tfrecords?(-[0-9]+-of-[0-9]+)?(\.gz)?",
    "parquet": r"(parquet|pq)",
    "zip": "zip",
}
EXTENSION = re.compile(
    r"\.(?:" + "|".join(f"(?P<{kind}>{pattern})" for kind, pattern in FAMILIES.items()) + r")\Z", re.IGNORECASE
)
MEMBER = re.compile(f"({'|'.join(FAMILIES)})://(.*?)::(.+)", re.DOTALL)
AMBIGUOUS = re.compile(r"%(?=3A|25|[89A-F][0-9A-F])|:(?=:|\Z)|[\udc80-\udcff]")
ESCAPE = re.compile("%(3A|25|[89A-F][0-9A-F])")


def kind_of(uri: str) -> str:
    """The family of a container by its extension: "tar", "tfrecord", "parquet" or "zip"; "" of all else.

    Google's names of shards count, too: `train.tfrecord-00001-of-00010`. A member of a container is none.
    """
    on_the_web = filesystems.scheme_of(uri) in storage.WEB_SCHEMES
    name = (uri.partition("?")[0] if on_the_web else uri).rpartition("/")[2]
    found = EXTENSION.search(name)
    return str(found.lastgroup) if found and not MEMBER.fullmatch(uri) else ""


def member_uri(kind: str, member: str, container_uri: str) -> str:
    """The URI of a member; odd bytes of its name are lone surrogates, as Python decodes them."""
    return f"{kind}://{AMBIGUOUS.sub(_escaped, member)}{CHAIN}{container_uri}"


def container_of(uri: str) -> str:
    """The URI of the container of a member; "" of the URI of anything else."""
    parts = MEMBER.fullmatch(uri)
    return parts[3] if parts else ""


def member_of(uri: str) -> str:
    """The name of a member within its container; "" of the URI of anything else."""
    parts = MEMBER.fullmatch(uri)
    return ESCAPE.sub(_unescaped, parts[2]) if parts else ""


def _escaped(found: re.Match[str]) -> str:
    return f"%{ord(found[0]) & 0xFF:02X}"


def _unescaped(found: re.Match[str]) -> str:
    byte = int(found[1], 16)
    return chr(byte if byte < 0x80 else 0xDC00 + byte)
