"""The shapes of the manifests of inventories: which entries are read, and what they may be."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from transforms.inputs.bounds import ManifestError

Text = Annotated[str, Field(min_length=1)]
Count = Annotated[int, Field(ge=0)]


class S3File(BaseModel):
    """A data file, as a manifest.json of S3 tells of it."""

    model_config = ConfigDict(strict=True)

    key: Text
    size: Count = -1
    md5: Annotated[str, Field(alias="MD5checksum", pattern="^[0-9A-Fa-f]{32}$")] = ""


class S3Manifest(BaseModel):
    """A manifest.json of S3."""

    model_config = ConfigDict(strict=True, alias_generator=to_camel)

    version: Literal["2016-11-30"]
    source_bucket: Text
    destination_bucket: Text
    file_format: Literal["CSV", "ORC", "Parquet"]
    file_schema: Text
    files: list[S3File]


class GcsManifest(BaseModel):
    """The manifest of a report of Storage Insights; `gcs` reads its `report_config`, entry by entry."""

    model_config = ConfigDict(strict=True)

    report_config: dict[str, Any]
    report_shards_file_names: list[Text]
    shard_count: Count | None = None


def parsed(content: dict[str, Any], shape: str) -> BaseModel:
    """A manifest as the shape of that name.

    Raises:
        ManifestError: it is none.
    """
    model: type[BaseModel] = globals()[shape]
    try:
        return model.model_validate(content)
    except ValidationError as e:
        error = e.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, error["loc"]))[:80]
        raise ManifestError(
            f"it is not the manifest of an inventory as they are read here: {place}: {error['msg']}"
        ) from None
