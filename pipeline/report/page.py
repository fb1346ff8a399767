"""A report as one file: markup, style, script and data, and nothing that is fetched from anywhere."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from dataclasses import asdict
from string import Template
from typing import Any

from pipeline.report import sections
from pipeline.report.markup import json_block, markup, number
from pipeline.report.report import Report
from transforms.stores import storage

METHODS = {"pca": "the first two principal components", "umap": "UMAP, by cosine"}


def write_report(report: Report, file: str) -> None:
    """Writes the page, at a local path or in a store, where it appears whole."""
    storage.write_bytes(storage.normalize(file), as_page(report).encode())


def as_page(report: Report) -> str:
    """The whole file. Its policy lets the one script run that is in it, and load nothing."""
    script, vectors = _part("page.js"), report.vectors
    image_map = report.image_map.as_json() if report.image_map else None
    prefix = image_map["prefix"] if image_map else ""
    pictures, outcomes = report.pictures, report.outcomes
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template(_part("page.html")).substitute(
        digest=digest,
        style=_part("page.css"),
        run=markup(report.run.run_id),
        output=markup(report.output),
        glance=_glance(report),
        outcomes=sections.outcomes_section(outcomes),
        failures=sections.failures_section(outcomes),
        images=sections.images_section(outcomes, vectors),
        pace=sections.pace_section(report.pace),
        vectors=sections.vectors_section(vectors),
        map=_map(report, image_map),
        prefix=markup(f"Names are within {prefix}." if prefix else ""),
        groups=sections.groups_section(vectors, pictures, prefix),
        neighbours=sections.neighbours_section(vectors, pictures, prefix),
        drift=sections.drift_section(report.drift),
        made=sections.made_section(report),
        data="\n".join([json_block("figures", figures_of(report)), *_map_data(report, image_map)]),
        script=script,
    )


def figures_of(report: Report) -> dict[str, Any]:
    """All figures of a report, for programs: what the page's `#figures` holds."""
    return {
        "output": report.output,
        "run_id": report.run.run_id,
        "made": report.made,
        "outcomes": asdict(report.outcomes),
        "pace": asdict(report.pace),
        "drift": asdict(report.drift),
        "vectors": asdict(report.vectors) if report.vectors else None,
    }


def _glance(report: Report) -> str:
    counts, rate = report.outcomes.parts, report.pace.images_per_second
    lines = [
        f"{report.outcomes.listed:,} images listed: {counts['embedded']:,} embedded, {counts['failed']:,} failed",
        f"{number(round(rate, 2))} images/s" if rate is not None else "images/s not known",
    ]
    if report.vectors:
        looked = report.vectors.looked
        lines.append(f"Vectors looked at: {sections.sampled(report.vectors)}")
        lines.append(f"{report.vectors.groups.images:,} of {looked.images:,} images are near duplicates of others")
    lines.append(f"Drift: {report.drift.sentences[0]}")
    return "\n".join(f"<li>{markup(line)}</li>" for line in lines)


def _map(report: Report, image_map: dict[str, Any] | None) -> str:
    if image_map is None or report.vectors is None:
        return "<p>There is none without vectors.</p>"
    method, count = METHODS[image_map["method"]], len(image_map["uris"])
    had = sum(bool(picture.data) for picture in report.pictures.values())
    said = f"{count:,} images, near ones near each other as far as a plane allows it: {method}."
    if image_map["method"] == "pca":
        said += f" They hold {sum(report.vectors.shares[:2]):.1%} of the variance."
    if report.vectors.why_pca:
        said += f" {report.vectors.why_pca}"
    said += f" {had:,} have pictures here."
    return Template(_part("map.html")).substitute(said=markup(said), count=f"{count:,}")


def _map_data(report: Report, image_map: dict[str, Any] | None) -> list[str]:
    """The map's data; pictures by the row of their image."""
    if image_map is None or report.image_map is None:
        return []
    rows = {uri: row for row, uri in enumerate(report.image_map.uris)}
    shown = {str(rows[uri]): each for uri, each in report.pictures.items() if uri in rows}
    about = {row: [each.width, each.height, each.why] for row, each in shown.items()}
    return [
        json_block("map-data", image_map | {"pictures": about}),
        json_block("picture-data", {row: each.data for row, each in shown.items()}, ours=True),
    ]


def _part(name: str) -> str:
    return (importlib.resources.files("pipeline.report") / name).read_text(encoding="utf-8")
