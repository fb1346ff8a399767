"""Inventory reports of Google Cloud Storage, by Storage Insights: what a manifest and the rows of its shards mean.

https://cloud.google.com/storage/docs/insights/inventory-reports (the fields, and the entries of a manifest),
https://cloud.google.com/storage/docs/json_api/v1/reportConfig (`csvOptions`, `objectMetadataReportOptions`).
Two things could not be made sure of. How a manifest spells the entries of its `report_config`, so or as `csv_options`:
both are read. How CSV quotes a name that has the delimiter in it: RFC 4180 is taken for it, and a row of another width
is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transforms.inputs.bounds import ManifestError
from transforms.inputs.inventories.elements import DataFile, Entry, Store, beside, plain
from transforms.inputs.rules import Rules

if TYPE_CHECKING:
    from transforms.inputs.inventories.shapes import GcsManifest

FORMATS = ("csv", "parquet")
SEPARATORS = ("\n", "\r\n", "")


def data_files(uri: str, manifest: GcsManifest) -> list[DataFile]:
    """The shards of a report, which lie beside its manifest.

    Raises:
        ManifestError: they cannot be read for sure.
    """
    names = manifest.report_shards_file_names
    if manifest.shard_count not in (None, len(names)):
        raise ManifestError(f"it names {len(names)} shards, and tells of {manifest.shard_count}")
    found = []
    for name in names:
        kind = name.rpartition(".")[2].lower()
        if kind not in FORMATS:
            raise ManifestError(f"its shard {name} is none of {', '.join(FORMATS)}")
        place = beside(uri, name.rpartition("/")[2])
        found.append(DataFile(uri, name, (place,), store="gs", bucket="", format=kind))
    if any(shard.format == "csv" for shard in found):
        header, delimiter = _csv_options(manifest.report_config)
        found = [shard._replace(header=header, delimiter=delimiter) for shard in found]
    return found


def _csv_options(config: Mapping[str, Any]) -> tuple[tuple[str, ...], str]:
    """(names of the columns, none where the shards begin with them; delimiter)"""
    options = _told(config, "csvOptions") or {}
    delimiter = _told(options, "delimiter") or ","
    if not isinstance(delimiter, str) or len(delimiter) > 1 or delimiter in '"\r\n':
        raise ManifestError(f"its shards are delimited by {delimiter!r}, which is not read")
    separator = _told(options, "recordSeparator") or ""
    if separator not in SEPARATORS:
        raise ManifestError(f"the records of its shards are separated by {separator!r}, which is not read")
    if _told(options, "headerRequired") is True:
        return (), delimiter
    fields = _told(_told(config, "objectMetadataReportOptions") or {}, "metadataFields")
    if not isinstance(fields, list) or not all(isinstance(field, str) for field in fields) or not fields:
        raise ManifestError("it does not tell the fields of its CSV, metadata_fields; let the reports have headers")
    return tuple(fields), delimiter


def _told(entries: Any, name: str) -> Any:
    """The entry of that name, in either spelling; None where there is none."""
    there = entries.items() if isinstance(entries, Mapping) else ()
    return next((value for key, value in there if plain(key) == plain(name)), None)


def entry(values: Sequence[Any], _: DataFile) -> Entry:
    """What a row says, by the values of its fields."""
    name, bucket, deleted, generation, size, updated, md5, encoding = values
    if not (isinstance(name, str) and name and isinstance(bucket, str) and bucket):
        raise ManifestError("it has no bucket, or no name")
    if encoding == "gzip":  # what is unpacked on its way has another size
        size = md5 = None
    return Entry(bucket, name, deleted in (None, ""), (generation, size, updated, md5))


GCS = Store(
    marks=("report_config", "report_shards_file_names"),
    shape="GcsManifest",
    data_files=data_files,
    fields=("name", "bucket", "timeDeleted", "generation", "size", "updated", "md5Hash", "contentEncoding"),
    needed=3,
    facts=Rules(version_column="generation", size_column="size", updated_column="updated", md5_column="md5Hash"),
    entry=entry,
)
