"""The metadata of the Dataflow Flex Template, made of the run's own options so that the two cannot differ.

`make template-metadata` writes it to run_configs/dataflow/metadata.json. Its format:
https://cloud.google.com/dataflow/docs/guides/templates/configuring-flex-templates
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pipeline.options.option import Option
from pipeline.options.table import OPTIONS, REQUIRED

LEFT_OUT = ("progress", "verbose")


def metadata() -> dict[str, Any]:
    """The content of metadata.json."""
    return {
        "name": "embed-images",
        "description": "Turns a bucket of images into TFRecords of feature vectors.",
        "parameters": [_parameter(option) for option in OPTIONS if option.name not in LEFT_OUT],
    }


def _parameter(option: Option) -> dict[str, Any]:
    name = option.flag or option.name
    parameter: dict[str, Any] = {
        "name": name,
        "label": name.replace("_", " "),
        "helpText": option.help,
        "isOptional": option.name not in REQUIRED,
    }
    if option.switch:
        parameter["regexes"] = ["^(true|false)$"]
    return parameter


if __name__ == "__main__":
    sys.stdout.write(json.dumps(metadata(), indent=2, ensure_ascii=False) + "\n")
