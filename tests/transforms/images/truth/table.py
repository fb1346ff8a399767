"""The table of formats in docs/output-format.md, from the truth suite: python -m tests.transforms.images.truth.table"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from tests.transforms.images.truth import CASES
from tests.transforms.images.truth.pictures import Case
from transforms.images.decoding import ImageError, decode_image

DOCUMENT = Path(__file__).parents[4] / "docs/output-format.md"
BEGIN, END = "<!-- `make formats` writes from here -->\n", "<!-- to here -->\n"
EXTRAS = ("imagecodecs", "pillow_heif")
READ, WITH_EXTRA, REFUSED = "read", "with an extra", "refused by name"


@contextmanager
def without_extras() -> Iterator[None]:
    """As if the packages of the extras were not installed."""
    with patch.dict(sys.modules, dict.fromkeys(EXTRAS)):
        yield


def column_of(case: Case) -> tuple[str, str]:
    """(column of the table, extra) of a case."""
    if case.truth is None:
        return REFUSED, ""
    try:
        with without_extras(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decode_image(case.data, (8, 8), "squash", 10**6)
    except ImageError as e:
        return WITH_EXTRA, e.message.partition("embed-images[")[2].partition("]")[0]
    return READ, ""


def table() -> str:
    lines = [f"| format | {READ} | {WITH_EXTRA} | {REFUSED} |", "|---|---|---|---|"]
    cases = [case for case in CASES if case.error not in ("TruncatedImage", "CorruptImage")]
    columns = [column_of(case) for case in cases]
    for format in dict.fromkeys(case.format for case in cases):
        mine = [(case, *column) for case, column in zip(cases, columns, strict=True) if case.format == format]
        cells = []
        for name in (READ, WITH_EXTRA, REFUSED):
            inside = [case for case, column, _ in mine if column == name]
            extras = sorted({extra for _, column, extra in mine if column == name and extra})
            cells.append(kinds(inside, [case for case, _, _ in mine]) + "".join(f" `[{extra}]`" for extra in extras))
        lines.append(f"| {format} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def kinds(cases: Iterable[Case], of: Iterable[Case]) -> str:
    """The kinds and depths of cases; layouts are named where others of the same kind and depth are not among them."""
    chosen, all_of = list(cases), list(of)
    texts = []
    for kind in dict.fromkeys(case.kind for case in chosen):
        depths = []
        for depth in sorted({case.depth for case in chosen if case.kind == kind}):
            layouts = [case.layout for case in chosen if (case.kind, case.depth) == (kind, depth)]
            others = [
                case for case in all_of if (case.kind, case.depth) == (kind, depth) and case.layout not in layouts
            ]
            depths.append(f"{depth} ({' or '.join(layouts)})" if others and len(layouts) <= len(others) else str(depth))
        texts.append(f"{kind} {', '.join(depths)}")
    return "; ".join(texts)


def main() -> None:
    before, rest = DOCUMENT.read_text(encoding="utf-8").split(BEGIN)
    DOCUMENT.write_text(before + BEGIN + table() + END + rest.split(END)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
