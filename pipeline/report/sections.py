"""The sections of a page, each from what was found to markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.console.printable import counted, shortened
from pipeline.report.bands import Bands
from pipeline.report.charts import bar_chart, column_chart, line_chart
from pipeline.report.closeness import Group, Neighbours
from pipeline.report.drift import Drift
from pipeline.report.markup import element, facts, markup, number, paragraphs, percent, table, told
from pipeline.report.outcomes import Failure, Outcomes
from pipeline.report.pace import MOST_SHARDS, Pace
from pipeline.report.report import Report, Vectors
from pipeline.report.thumbnails import Picture

SHOWN_VALUE = 200  # characters of a value among the facts of a run
PARTS = {
    "embedded": "embedded", "failed": "failed", "unchanged": "unchanged, left alone",
    "failed_before": "failed before, not tried again", "outside": "outside of --since and --until",
    "over_limit": "over --limit", "columns_changed": "of the embedded: only columns changed",
    "duplicates": "of these: copies of others", "deleted": "no longer listed", "containers": "containers read",
}  # fmt: skip
PHASES = {"launch": "launch and model", "images": "images", "publish": "publishing"}
NO_PICTURE = "no picture of it on this page"


def outcomes_section(found: Outcomes) -> str:
    parts = {PARTS[name]: images for name, images in found.parts.items()}
    besides = [(PARTS[name], images) for name, images in found.besides.items()]
    told_of = {"listed, the sum of these": f"{found.listed:,}", **{name: f"{n:,}" for name, n in parts.items()}}
    body = [facts(told_of), bar_chart("What became of the images", Bands(tuple(parts), tuple(parts.values())))]
    if besides:
        body.append(table("Counted besides", ("what", "how many"), besides))
    if found.left_out:
        body.append(table("Files that were left out, by kind", ("kind", "files"), found.left_out.items()))
    return "\n".join([*body, paragraphs(found.untold)])


def failures_section(found: Outcomes) -> str:
    if not found.failures:
        return "<p>No image failed.</p>"
    charts = Bands(tuple(each.error for each in found.failures), tuple(each.images for each in found.failures))
    told_of = "\n".join(map(_failure, found.failures))
    return bar_chart("Failed images by class", charts) + told_of


def _failure(found: Failure) -> str:
    head = element("h3", markup(f"{found.error}: {counted(found.images, 'image')}"))
    such_as = [
        element("li", markup(each.uri) + element("p", markup(f"{each.stage}: {each.message}"), class_="note"))
        for each in found.examples
    ]
    return head + (element("ul", "\n".join(such_as), class_="names") if such_as else "<p>No example was found.</p>")


def images_section(outcomes: Outcomes, vectors: Vectors | None) -> str:
    charts = [bar_chart("Bytes of the encoded images of the run", outcomes.bytes)]
    if vectors is not None:
        looked = vectors.looked
        charts = [
            bar_chart("Formats", looked.formats),
            bar_chart("Megapixels", looked.megapixels),
            bar_chart("Width by height", looked.aspects),
            *charts,
        ]
    said = [f"Of {outcomes.without_size:,} images the size in bytes is not known."] if outcomes.without_size else []
    return element("div", "\n".join(charts), class_="charts") + paragraphs(said)


def pace_section(found: Pace) -> str:
    over = "while images were embedded" if found.over_images else "of the whole run"
    rate = "not known" if found.images_per_second is None else f"{number(round(found.images_per_second, 2))}, {over}"
    told_of = {"images": f"{found.images:,}", "images/s": rate, "from start to end": f"{found.seconds:,.0f} s"}
    charts = []
    if found.phases:
        seconds = Bands(tuple(PHASES[name] for name in found.phases), tuple(round(s, 1) for s in found.phases.values()))
        charts.append(bar_chart("Where the time went, in seconds", seconds, "seconds"))
    if found.times:
        points = [(0.0, 0), *zip(found.times, found.done, strict=True)]
        charts.append(line_chart("Images in finished files over time", points, "seconds after the start", "images"))
    elif len(found.shards) > 1:
        shards = Bands(tuple(f"shard {i}" for i in range(len(found.shards))), found.shards)
        more = f", the first {MOST_SHARDS} of {found.shard_count:,}" if found.shard_count > MOST_SHARDS else ""
        charts.append(bar_chart(f"Images by shard{more}", shards))
    return "\n".join([facts(told_of), element("div", "\n".join(charts), class_="charts"), paragraphs(found.untold)])


def vectors_section(found: Vectors | None) -> str:
    if found is None:
        return "<p>There are none.</p>"
    looked, geometry = found.looked, found.geometry
    rows = {
        "vectors": sampled(found),
        "of": f"the run {looked.run_id}" if looked.run_id else "the newest of each image that is not gone",
        "dimensions": f"{geometry.dimensions:,}, {geometry.dead_dimensions:,} of them dead (the same in all images)",
        "effective rank": f"{geometry.effective_rank:,.1f}: in how many directions they are spread, as it were",
        "length": f"{number(geometry.mean_norm)} on average; {geometry.zero_vectors:,} of length 0",
        "5, 50, 95 % of lengths": ", ".join(map(number, (geometry.norm_5, geometry.norm_50, geometry.norm_95))),
        "near duplicates": f"{percent(geometry.near_duplicates)} have another one at a cosine of 0.97 or more",
    }
    shares = Bands(
        tuple(f"component {i}" for i in range(1, len(found.shares) + 1)),
        tuple(round(100 * share, 2) for share in found.shares),
    )
    ticks = [label.partition(" to ")[0] for label in looked.norms.labels]
    charts = [
        column_chart("Lengths of the vectors", looked.norms, ticks, "length"),
        bar_chart("Variance by principal component, in percent", shares, "percent"),
    ]
    return facts(rows) + element("div", "\n".join(charts), class_="charts")


def sampled(found: Vectors) -> str:
    looked = found.looked
    if looked.images == looked.there:
        return f"all {looked.there:,}"
    return f"{looked.images:,} of {looked.there:,}, a random sample: all that is told of vectors is of these"


def groups_section(found: Vectors | None, pictures: Mapping[str, Picture], prefix: str) -> str:
    if found is None or not found.groups.groups:
        return "<p>There are none.</p>"
    groups = found.groups
    said = (
        f"{groups.images:,} of {found.looked.images:,} images are in {groups.groups:,} groups: connected by pairs of a "
        f"cosine of {groups.min_cosine:g} or more."
    )
    if len(groups.shown) < groups.groups:
        said += f" These are the {len(groups.shown)} largest; `embed-images duplicates` writes all of them."
    return paragraphs([said]) + "\n".join(_group(group, pictures, prefix) for group in groups.shown)


def _group(group: Group, pictures: Mapping[str, Picture], prefix: str) -> str:
    more = f", {len(group.uris)} of them shown" if len(group.uris) < group.size else ""
    head = element("h3", markup(f"{group.size:,} images, the least cosine of near ones {group.least:.4f}{more}"))
    return head + _gallery([(uri, "") for uri in group.uris], pictures, prefix)


def neighbours_section(found: Vectors | None, pictures: Mapping[str, Picture], prefix: str) -> str:
    if found is None:
        return "<p>There are none.</p>"
    return "\n".join(_neighbours(each, pictures, prefix) for each in found.neighbours)


def _neighbours(each: Neighbours, pictures: Mapping[str, Picture], prefix: str) -> str:
    rows = [(each.uri, "asked for"), *((near.uri, f"{near.cosine:.4f}") for near in each.nearest)]
    return element("h3", markup(f"Nearest to {short(each.uri, prefix)}")) + _gallery(rows, pictures, prefix)


def drift_section(found: Drift) -> str:
    verdict = {None: "unknown", True: "matters", False: "calm"}[found.matters]
    first = element("p", markup(found.sentences[0]), class_=f"verdict {verdict}")
    rows: dict[str, object] = {"the run before": found.before} if found.before else {}
    if found.before:
        rows["vectors before, now"] = f"{found.there_before:,}, {found.now:,}"
    if found.shared_cosine is not None:
        rows["images of both, of the same version"] = f"{found.shared:,}"
        rows["cosine of their vectors"] = f"{found.shared_cosine:.6f} on average, {found.shared_least:.6f} at least"
    if found.norm_before and found.norm_now is not None:
        shift = found.norm_now / found.norm_before - 1
        rows["mean length before, now"] = f"{number(found.norm_before)}, {number(found.norm_now)} ({shift:+.2%})"
    if found.distance is not None and found.by_chance is not None:
        rows["Fréchet distance, squared"] = (
            f"{found.distance:.6g} between {found.compared[0]:,} and {found.compared[1]:,} vectors; "
            f"dealt out at random up to {found.by_chance:.6g}"
        )
    return "\n".join([first, paragraphs(found.sentences[1:]), facts(rows) if rows else ""])


def made_section(report: Report) -> str:
    manifest = report.run.manifest
    model, told_of = manifest["model"], _entries(manifest.get("versions"))
    rows: dict[str, object] = {
        "started": manifest["started"],
        "finished": manifest["finished"],
        "module": model["handle"],
        "module's digest": model["digest"],
        "engine": f"{model['engine']} {model['precision']}, {model['feature_dim']:,} features",
        "pixels": ", ".join(f"{name} {value}" for name, value in _entries(manifest["preprocessing"]).items()),
        "runner": _entries(manifest.get("beam")).get("runner", "not told"),
        "versions": ", ".join(f"{name} {value}" for name, value in told_of.items()) or "not told",
        "this page": f"made {report.made}",
    }
    return facts({name: _bounded(value) for name, value in rows.items()})


def _entries(value: object) -> Mapping[str, object]:
    """Of a part of the manifest that nothing but a page reads, and that was not looked at before."""
    return value if isinstance(value, dict) else {}


def _bounded(value: object) -> str:
    return shortened(told(value), SHOWN_VALUE)


def _gallery(rows: Sequence[tuple[str, str]], pictures: Mapping[str, Picture], prefix: str) -> str:
    figures = []
    for uri, note in rows:
        picture = pictures.get(uri, Picture(why=NO_PICTURE))
        caption = (f"{note}: " if note else "") + short(uri, prefix)
        figures.append(element("li", picture_of(uri, picture) + element("p", markup(caption))))
    return element("ul", "\n".join(figures), class_="gallery")


def picture_of(uri: str, picture: Picture) -> str:
    """An image, or why there is none; what is to be known of it beside it."""
    if not picture.data:
        return element("p", markup(f"no picture: {picture.why}"), class_="none")
    image = (
        f'<img src="data:image/jpeg;base64,{picture.data}" alt="{markup(uri)}" width="{picture.width}" '
        f'height="{picture.height}">'
    )
    return image + (paragraphs([picture.why]) if picture.why else "")


def short(uri: str, prefix: str) -> str:
    """A uri without what all of the page begin with."""
    shown = told(uri)
    return shown[len(prefix) :].lstrip("/") if prefix and shown.startswith(prefix) else shown
