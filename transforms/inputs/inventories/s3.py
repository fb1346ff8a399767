"""Inventories of Amazon S3: what a manifest.json and the rows of its data files mean.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html (fields of the rows),
https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html (manifest.json, what lies where).
In CSV a space of a key is a plus, as was found by who read such files:
https://github.com/cloud-custodian/cloud-custodian/issues/1997
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from transforms.inputs.bounds import ManifestError
from transforms.inputs.inventories.elements import DataFile, Entry, Store, beside
from transforms.inputs.rules import Rules

if TYPE_CHECKING:
    from transforms.inputs.inventories.shapes import S3Manifest

# With these the ETag of an object that was not uploaded in parts is its MD5:
# https://docs.aws.amazon.com/AmazonS3/latest/API/API_Object.html
PLAIN_ENCRYPTION = ("SSE-S3", "NOT-SSE")
MD5 = re.compile("[0-9a-f]{32}")
NOT_ENCODED = re.compile("%(?![0-9A-Fa-f]{2})")
FLAGS: dict[Any, bool] = {True: True, "true": True, False: False, "false": False, None: False, "": False}


def data_files(uri: str, manifest: S3Manifest) -> list[DataFile]:
    """The data files of a manifest.json.

    In the destination bucket they are the objects that it names. Those of an inventory that was copied are looked for
    where S3 lays them, in `data/` beside the folder of the manifest.json, and then in `data/` beside itself.
    """
    kind = manifest.file_format.lower()
    header = tuple(name.strip() for name in manifest.file_schema.split(",")) if kind == "csv" else ()
    destination = manifest.destination_bucket.rpartition(":::")[2]
    is_at_home = re.match(rf"s3a?://{re.escape(destination)}/", uri) is not None
    found = []
    for each in manifest.files:
        name = f"data/{each.key.rpartition('/')[2]}"
        copies = (beside(uri, name, up=1), beside(uri, name))
        places = (f"s3://{destination}/{each.key}", *copies) if is_at_home else copies
        found.append(
            DataFile(
                manifest=uri,
                name=each.key,
                places=tuple(dict.fromkeys(places)),
                store="s3",
                bucket=manifest.source_bucket,
                format=kind,
                header=header,
                size=each.size,
                md5=each.md5,
            )
        )
    return found


def entry(values: Sequence[Any], data_file: DataFile) -> Entry:
    """What a row says, by the values of its fields.

    Raises:
        ManifestError: nothing that can be relied on.
    """
    key, bucket, version, is_latest, is_delete_marker, size, updated, etag, is_multipart, encryption = values
    if not isinstance(key, str) or not key:
        raise ManifestError("it has no key")
    if bucket != data_file.bucket:
        raise ManifestError(f"it is of the bucket {str(bucket)[:100]!r}, and the inventory of {data_file.bucket!r}")
    if data_file.format == "csv":
        if NOT_ENCODED.search(key):
            raise ManifestError(f"its key {key[:100]!r} is not URL-encoded")
        key = unquote_plus(key, errors="strict")
    if version and is_latest in (None, ""):
        raise ManifestError("it has a VersionId, and does not tell whether that is the latest")
    is_current = is_latest in (None, "") or _flag("IsLatest", is_latest)
    is_plain = encryption in PLAIN_ENCRYPTION and is_multipart not in (None, "")
    is_md5 = is_plain and not _flag("IsMultipartUploaded", is_multipart) and MD5.fullmatch(etag or "")
    return Entry(
        bucket,
        key,
        is_current and not _flag("IsDeleteMarker", is_delete_marker),
        (etag, size, updated, etag if is_md5 else None),
    )


def _flag(field: str, value: Any) -> bool:
    """Of a column of texts or booleans; one that is empty, or not there, is false."""
    told = FLAGS.get(value.lower() if isinstance(value, str) else value)
    if told is None:
        raise ManifestError(f"its column {field!r} holds {str(value)[:100]!r}, which is neither true nor false")
    return told


S3 = Store(
    marks=("sourceBucket", "files"),
    shape="S3Manifest",
    data_files=data_files,
    fields=(
        "Key", "Bucket", "VersionId", "IsLatest", "IsDeleteMarker", "Size", "LastModifiedDate", "ETag",
        "IsMultipartUploaded", "EncryptionStatus",
    ),
    needed=2,
    facts=Rules(version_column="ETag", size_column="Size", updated_column="LastModifiedDate", md5_column="ETag"),
    entry=entry,
)  # fmt: skip
