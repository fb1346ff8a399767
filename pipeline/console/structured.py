"""Logs as JSON, a line each: what Cloud Logging takes for fields of its own, and Loki parses.

`severity`, `message` and `time` are special there, other fields are searched as `jsonPayload`:
https://cloud.google.com/logging/docs/structured-logging#special-payload-fields. In Loki: `| json`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pipeline.console.printable import printable
from transforms.stores.secrets import redacted


class JsonFormatter(logging.Formatter):
    """One object a record: severity, message, time; of an event its name, and its figures as further fields.

    What may be secret is taken out of each text. Tracebacks are not shown.
    """

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields: dict[str, Any] = {"severity": record.levelname, "message": record.getMessage(), "time": time}
        if event := getattr(record, "event", ""):
            fields["event"] = event
        return json.dumps(shown({**fields, **getattr(record, "figures", {}), **fields}))


def shown(value: Any) -> Any:
    """A value as JSON has it, its texts without what may be secret."""
    if isinstance(value, Mapping):
        return {str(name): shown(each) for name, each in value.items()}
    if isinstance(value, str):
        return "\n".join(map(printable, redacted(value).split("\n")))
    if isinstance(value, Sequence):
        return [shown(each) for each in value]
    if (isinstance(value, float) and value != value) or value in (float("inf"), float("-inf")):
        return None
    return value
