"""A plan as text for a person, and as JSON for a program."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from pipeline.console.printable import counted, printable
from pipeline.console.tables import facts_text, table_text
from pipeline.planning.counting import Amount, added
from pipeline.planning.plan import Plan
from pipeline.runs.summary import kind_name
from transforms.history import DELETED, EMBED, FAILED_BEFORE, OUTSIDE, UNCHANGED
from transforms.records.ledger import COLUMNS_CHANGED

FORMATS = 10  # extensions that are shown
# Decisions on listed images, in the order in which they are told.
SHOWN = (UNCHANGED, FAILED_BEFORE, OUTSIDE)


def plan_json(plan: Plan) -> str:
    """All of it; amounts as {number, bytes, of_unknown_size}, seconds, and money in the currency of the prices."""
    found = plan.found._asdict()
    for name in ("some", "of_containers"):
        found.pop(name)
    whole = {
        **plan._asdict(),
        "found": _plain(found),
        "measured": plan.measured._asdict() if plan.measured else None,
        "estimate": _plain(plan.estimate._asdict()),
        "prices": {"currency": plan.prices.currency, "as_of": plan.prices.as_of.isoformat()},
    }
    return json.dumps(whole, indent=2)


def plan_text(plan: Plan) -> str:
    """Tables: what was found, what would be done, what it would take, the stages."""
    blocks = [
        facts_text(_found(plan)),
        _amounts(plan),
        facts_text(_doing(plan)),
        facts_text(_taking(plan)),
        "\n".join(plan.stages),
    ]
    return "\n\n".join(block for block in blocks if block)


def _found(plan: Plan) -> Iterator[tuple[str, str]]:
    found = plan.found
    distinct = sum(times for name, times in found.decisions.items() if name in (*SHOWN, EMBED, COLUMNS_CHANGED))
    yield "listed", _images(added(found.by_format.values())) if found.by_format else "0"
    if found.rows > distinct:
        yield "  named more than once", f"{found.rows - distinct:,}"
    for name in SHOWN:
        if times := found.decisions.get(name, 0):
            yield f"  {name.replace('_', ' ')}", f"{times:,}"
    if times := found.decisions.get(COLUMNS_CHANGED, 0):
        yield "  of which columns alone have changed", f"{times:,}"
    if times := found.decisions.get(DELETED, 0):
        yield "gone since the last run", f"{times:,}"
    if found.containers.number or found.unchanged_containers:
        amount = found.containers
        yield "containers to be read", f"{amount.number:,}, {_bytes(amount.bytes)}; they are not opened for a plan"
        if found.unchanged_containers:
            yield "  unchanged, not opened", f"{found.unchanged_containers:,}"
    if found.left_out:
        yield "left out", printable(", ".join(f"{kind_name(kind)} {times:,}" for kind, times in found.left_out.items()))


def _doing(plan: Plan) -> Iterator[tuple[str, str]]:
    found, expected = plan.found, plan.estimate
    about = "about " if found.containers.number else ""
    if found.containers.number:
        size = _bytes(found.selected.bytes + found.containers.bytes)
    else:
        size = _size(found.selected) if found.selected.number else ""
    yield "to be embedded", f"{about}{expected.images:,}" + (f", {size}" if size else "")
    yield "runs that are there", f"{plan.published:,}"
    if expected.shards:
        yield "output", f"{_bytes(expected.output_bytes)} in {counted(expected.shards, 'shard')}"
    for scheme, kinds in expected.requests.items():
        yield f"requests to {scheme}", ", ".join(f"{kind} {times:,}" for kind, times in kinds.items())
    engine = f"{plan.model['engine']} {plan.model['precision']}"
    yield "model", printable(f"{plan.model['handle']}, {plan.model['feature_dim']} features, {engine}")


def _taking(plan: Plan) -> Iterator[tuple[str, str]]:
    expected, measured, workers = plan.estimate, plan.measured, plan.estimate.workers
    if measured:
        each = (
            f"{1 / measured.image_seconds:,.1f} images/s on {plan.cores} cores here" if measured.image_seconds else ""
        )
        failed = f", {sum(measured.failed.values()):,} of them failed" if measured.failed else ""
        yield "measured", f"{measured.images:,} images{failed}: {each}"
        yield "core-hours", f"{expected.images * expected.core_seconds / 3600:,.2f} of a core of this machine"
    if workers is None:
        yield "time", f"not known: give --cores, all that {plan.runner} has"
    else:
        where = f"{workers.number:,} {workers.machine}, " if workers.machine else ""
        yield "time", f"about {_time(sum(expected.seconds.values()))} on {where}{workers.cores:,.0f} cores"
        yield "  of it", ", ".join(f"{name} {_time(seconds)}" for name, seconds in expected.seconds.items())
    if expected.cost:
        each = ", ".join(f"{name} {money:,.2f}" for name, money in expected.cost.items())
        total = sum(expected.cost.values())
        yield "cost", f"about {total:,.2f} {plan.prices.currency} ({each}), list prices of {plan.prices.as_of}"


def _amounts(plan: Plan) -> str:
    """The formats and folders."""
    found = plan.found
    parts = [("format", found.by_format, FORMATS, len(found.by_format))]
    if len(found.by_prefix) > 1:
        parts.append(("folder", found.by_prefix, len(found.by_prefix), found.prefixes))
    texts = []
    for title, amounts, most, all_of_them in parts:
        if not amounts:
            continue
        table = Table(box=None, pad_edge=False)
        table.add_column(title, no_wrap=True)
        table.add_column("images", justify="right")
        table.add_column("size", justify="right", no_wrap=True)
        for name, amount in list(amounts.items())[:most]:
            table.add_row(printable(name), f"{amount.number:,}", _size(amount))
        texts.append(table_text(table))
        if (more := all_of_them - most) > 0:
            texts.append(f"and {more:,} more")
    return "\n\n".join(texts)


def _images(amount: Amount) -> str:
    return f"{amount.number:,}, {_size(amount)}"


def _size(amount: Amount) -> str:
    """Of what is known."""
    if amount.of_unknown_size == amount.number:
        return "size not listed"
    return _bytes(amount.bytes) + (f" and {amount.of_unknown_size:,} of unknown size" if amount.of_unknown_size else "")


def _bytes(size: int) -> str:
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size / 1e3:,.1f} kB"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    if seconds < 5400:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:,.1f} h"


def _plain(value: Any) -> Any:
    """Named tuples as dicts."""
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return value
