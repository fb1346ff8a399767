"""What a search has found, as text and as JSON Lines."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from pipeline.console.printable import printable, shortened
from pipeline.console.tables import table_text
from pipeline.vectors.scoring import Hit
from transforms.records.arrow import VERSION
from transforms.records.columns import BASE64

LONGEST_CELL = 60


def columns_of(hit: Hit) -> dict[str, Any]:
    """What a hit tells of its image, without what all tell."""
    return {name: value for name, value in hit.told.items() if name != VERSION}


def as_text(hits: Sequence[Hit]) -> str:
    """A table: cosine, uri, columns."""
    table = Table(box=None, pad_edge=False)
    for name in ("cosine", "uri", *(columns_of(hits[0]) if hits else ())):
        table.add_column(printable(name), justify="right" if name == "cosine" else "left")
    for hit in hits:
        cells = [shown(value) for value in columns_of(hit).values()]
        table.add_row(f"{hit.cosine:.6f}", printable(hit.uri), *cells)
    return table_text(table) if hits else "no images"


def shown(value: Any) -> str:
    """A value of a column in one line, cut where it is long."""
    if value is None:
        return ""
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, list):
        text = ", ".join(map(shown, value))
    else:
        text = f"{value:.6g}" if isinstance(value, float) else printable(str(value))
    return shortened(text, LONGEST_CELL)


def as_json_lines(hits: Sequence[Hit]) -> str:
    """One object a hit: `uri`, `cosine`, `columns`; bytes as in the ledger."""
    lines = [{"uri": hit.uri, "cosine": hit.cosine, "columns": columns_of(hit)} for hit in hits]
    return "\n".join(json.dumps(line, default=_encoded) for line in lines)


def _encoded(value: Any) -> dict[str, str]:
    if not isinstance(value, bytes):
        raise TypeError(f"a column of {type(value).__name__}")
    return {BASE64: base64.b64encode(value).decode()}
