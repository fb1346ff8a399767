"""What `embed-images evaluate` prints: plain text, or one JSON object."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rich.table import Table

from pipeline.console.printable import printable
from pipeline.console.tables import facts_text, table_text
from pipeline.evaluation.evaluate import Evaluation, LabelFigures
from pipeline.evaluation.geometry import NEAR_DUPLICATE

MISTAKES_SHOWN = 20


def as_json(evaluation: Evaluation) -> str:
    """One object, of the fields of `Evaluation`; of the mistakes the first `MISTAKES_SHOWN`, and how many they are."""
    content: dict[str, Any] = asdict(evaluation)
    if evaluation.by_label is not None:
        mistakes = content["by_label"].pop("mistakes")
        confident = sum(each["confident"] for each in mistakes)
        counts = {"contradicted": len(mistakes), "contradicted_confidently": confident}
        content["by_label"] |= {**counts, "mistakes": mistakes[:MISTAKES_SHOWN]}
    return json.dumps(content, indent=2)


def as_text(evaluation: Evaluation) -> str:
    """Tables, one below the other."""
    parts = [_geometry(evaluation)]
    if (found := evaluation.by_label) is not None:
        parts += [_labels(found)]
        if found.probe is not None and found.probe.confusions:
            rows = [(each.label, each.predicted, f"{each.images:,}") for each in found.probe.confusions]
            parts.append(_list("most confused labels", ("label", "taken for", "images"), rows))
        if found.mistakes:
            shown = found.mistakes[:MISTAKES_SHOWN]
            cells = [
                (m.label, f"{m.label_probability:.3f}", m.suggested, f"{m.suggested_probability:.3f}", m.uri)
                for m in shown
            ]
            title = f"likely label mistakes, {len(shown):,} of {len(found.mistakes):,}"
            parts.append(_list(title, ("label", "probability", "suggested", "probability", "uri"), cells))
    return "\n\n".join(parts)


def _geometry(evaluation: Evaluation) -> str:
    found = evaluation.geometry
    sampled = found.images < evaluation.images_there
    of_all = f" of {evaluation.images_there:,}, a random sample (seed {evaluation.seed})" if sampled else ""
    return facts_text(
        [
            ("images", f"{found.images:,}{of_all}"),
            ("dimensions", f"{found.dimensions:,}, {found.dead_dimensions:,} of them dead"),
            ("effective rank", f"{found.effective_rank:,.1f}"),
            ("norms", f"{found.mean_norm:.4g} on average, {found.zero_vectors:,} of them zero"),
            ("  5, 50, 95 %", f"{found.norm_5:.4g}, {found.norm_50:.4g}, {found.norm_95:.4g}"),
            (
                "near duplicates",
                f"{found.near_duplicates:.1%} (to the nearest other image a cosine of {NEAR_DUPLICATE} or more)",
            ),
        ]
    )


def _labels(found: LabelFigures) -> str:
    grouped = f", groups by {found.group_column}" if found.group_column else ""
    rows = [
        ("labels", printable(f"{found.labels:,} in {found.column}, of {found.images:,} images{grouped}")),
        ("  without a value", f"{found.without_value:,} images"),
        ("  left out", f"{found.images_left_out:,} images of {found.labels_left_out:,} labels that are too rare"),
    ]
    if found.neighbours is not None and found.probe is not None:
        near, probe = found.neighbours, found.probe
        for k, recall in near.recall.items():
            rows.append((f"recall@{k}", f"{recall:.3f} (by chance {near.recall_by_chance[k]:.3f})"))
        rows.append(("kNN accuracy", f"{near.knn_accuracy:.3f} (the largest label {found.chance:.3f})"))
        interval = f"95 % interval {probe.low:.3f} to {probe.high:.3f}, the largest label {found.chance:.3f}"
        rows.append(("linear probe", f"{probe.accuracy:.3f} ({interval})"))
        rows.append(("  folds", f"{probe.folds}" + ("" if probe.converged else ", not all of which converged")))
        confident = sum(each.confident for each in found.mistakes)
        rows.append(("contradicted", f"{len(found.mistakes):,} labels, {confident:,} of them confidently"))
    else:
        rows.append(("figures by label", f"none: {printable(found.refused)}"))
    return facts_text(rows)


def _list(title: str, heads: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    table = Table(*heads, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(printable(str(cell)) for cell in row))
    return f"{title}\n{table_text(table)}"
