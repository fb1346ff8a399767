"""What the manifest says of a run before it has results."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from pipeline import __version__
from pipeline.model.feature_model import FeatureModel
from pipeline.options.config import RunConfig
from transforms.engines import PACKAGES
from transforms.images.decoding import DRAFT_FACTOR, PREPROCESSING_VERSION
from transforms.inputs.carrying import LABEL_OF_FOLDER
from transforms.records import layout
from transforms.records.columns import Column

VERSIONS_OF = ("apache-beam", "tensorflow", "pillow", "numpy", "tfx-bsl")


def preprocessing_of(resize: str) -> dict[str, Any]:
    """What is done to pixels before the module sees them."""
    return {
        "version": PREPROCESSING_VERSION,
        "filter": "bilinear, antialiased",
        "draft_factor": DRAFT_FACTOR,
        "resize": resize,
    }


def describe_column(column: Column) -> dict[str, str]:
    """One entry of the manifest's `columns`; a label that is a folder's name is of no column."""
    named = {} if column == LABEL_OF_FOLDER else {"column": column.name}
    return {**named, "feature": column.feature, "kind": column.kind}


def manifest_head(
    config: RunConfig,
    columns: Sequence[Column],
    model: FeatureModel,
    generation: Mapping[str, Any],
    started: datetime,
    as_of: datetime,
    runner: str,
) -> dict[str, Any]:
    """See docs/output-format.md, Manifest; the launch is over when this is called."""
    launched = datetime.now(UTC)
    return {
        "schema_version": layout.SCHEMA_VERSION,
        "run_id": config.run_id,
        "started": layout.timestamp(started, "seconds"),
        "launched": layout.timestamp(launched, "milliseconds"),
        "as_of": layout.timestamp(as_of, "microseconds"),
        "phases": {"launch": round(max((launched - started).total_seconds(), 0.0), 3)},
        "identity": config.identity(),
        "generation": generation,
        "model": model.describe(),
        "preprocessing": generation["preprocessing"],
        "compression": config.compression,
        "columns": [describe_column(column) for column in columns],
        "beam": {"version": version("apache-beam"), "runner": runner},
        "versions": {
            "embed-images": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in (*VERSIONS_OF, PACKAGES[model.engine])},
        },
        "config": config.describe(),
    }
