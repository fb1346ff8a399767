"""Charts, by Matplotlib, as SVG that takes its colors from the page: light, dark, and as sharp as text."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from pipeline.console.printable import shortened
from pipeline.report.bands import Bands
from pipeline.report.markup import element, markup, number, table, told

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
# Drawn in these, and then made variables of the page's style.
INK, LINE, BAR = "#010203", "#040506", "#070809"
VARIABLES = {INK: "var(--ink)", LINE: "var(--line)", BAR: "var(--accent)"}
LONGEST_LABEL = 24
WIDTH, ROW, FRAME = 4.6, 0.27, 0.25  # inches
STYLE = {
    "svg.fonttype": "none",
    "font.size": 10.0,
    "font.family": "DejaVu Sans",  # which comes with it, so that widths are known; the page puts its own in its place
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def bar_chart(title: str, bands: Bands, of: str = "images") -> str:
    """A figure: bars from top to bottom, each with its label and its number; and the same as a table."""
    if not bands.total:
        return ""
    labels = [_cut(label) for label in bands.labels]

    def draw(axes: Axes) -> None:
        bars = axes.barh(range(len(labels)), bands.counts, color=BAR, height=0.72)
        axes.set_yticks(range(len(labels)), labels)
        axes.invert_yaxis()
        axes.bar_label(bars, [number(count) for count in bands.counts], padding=3)
        axes.margins(x=0.16)
        axes.xaxis.set_visible(False)
        axes.spines["bottom"].set_visible(False)
        axes.tick_params(length=0)

    drawn = _drawn(title, draw, ROW * len(labels) + FRAME)
    return _figure(title, drawn, table(title, (title, of), zip(bands.labels, bands.counts, strict=True)))


def column_chart(title: str, bands: Bands, ticks: Sequence[str], axis: str) -> str:
    """A figure: columns from left to right, of as many or fewer ticks; and the same as a table."""
    if not bands.total:
        return ""

    def draw(axes: Axes) -> None:
        axes.bar(range(len(bands.counts)), bands.counts, color=BAR, width=0.9)
        step = max(1, (len(ticks) - 1) // 4)
        axes.set_xticks(range(0, len(ticks), step), ticks[::step])
        axes.set_xlabel(_cut(axis))
        axes.set_ylabel("images")
        axes.locator_params(axis="y", nbins=4, integer=True)

    rows = zip(bands.labels, bands.counts, strict=True)
    return _figure(title, _drawn(title, draw, 2.2), table(title, (axis, "images"), rows))


def line_chart(title: str, points: Sequence[tuple[float, int]], x: str, y: str) -> str:
    """A figure: a line through points; and the same as a table."""

    def draw(axes: Axes) -> None:
        axes.plot(*zip(*points, strict=True), color=BAR, linewidth=2, marker="." if len(points) < 40 else "")
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", linewidth=0.5, alpha=0.5)
        axes.locator_params(nbins=5)

    return _figure(title, _drawn(title, draw, 2.4), table(title, (x, y), points))


def _drawn(title: str, draw: Callable[[Axes], None], height: float) -> str:
    """What is drawn, as an element that has no name yet."""
    import matplotlib
    from matplotlib.figure import Figure

    file = io.BytesIO()
    # Its names are made from the title: the same each time, and no two charts of a page share one.
    rc: dict[Any, Any] = {**STYLE, "svg.hashsalt": title}
    with matplotlib.rc_context(rc), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that its own fonts lack; the page's have them
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure.add_subplot())
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _inlined(file.getvalue())


def _inlined(svg: bytes) -> str:
    """SVG for the inside of a page: no metadata, no names but those that are referred to, the page's colors."""
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    root = ElementTree.fromstring(svg)  # noqa: S314 - it was written a moment ago
    for metadata in root.findall(f"{{{SVG}}}metadata"):
        root.remove(metadata)
    for definitions in root.iter(f"{{{SVG}}}defs"):
        for style in definitions.findall(f"{{{SVG}}}style"):  # which would be one of the whole page
            definitions.remove(style)
    text = ElementTree.tostring(root, encoding="unicode")
    for each in root.iter():
        if (name := each.get("id")) and f"#{name}" not in text:
            del each.attrib["id"]
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.set("aria-hidden", "true")
    text = ElementTree.tostring(root, encoding="unicode")
    for color, variable in VARIABLES.items():
        text = text.replace(color, variable)
    return text


def _figure(title: str, svg: str, as_table: str) -> str:
    """The chart is told by its table: nothing that only eyes can have."""
    caption = element("figcaption", markup(title))
    details = f"<details>{element('summary', markup(f'{title}, as a table'))}{as_table}</details>"
    return f'<figure class="chart">{caption}{svg}{details}</figure>'


def _cut(label: str) -> str:
    return shortened(told(label), LONGEST_LABEL)
