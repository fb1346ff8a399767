"""A bar chart as SVG, for the documents."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

WIDTH, ROW, LABELS, BARS = 720, 26, 190, 440
OURS, OTHERS = "#1a73e8", "#9aa0a6"


def bar_chart(charts: Mapping[str, Mapping[str, float]]) -> str:
    """Horizontal bars, a group a title; what starts with "ours" is in another color."""
    body: list[str] = []
    y = 10
    for title, values in charts.items():
        body.append(f'<text x="10" y="{y + 18}" font-weight="bold">{escape(title)}</text>')
        y += ROW + 4
        most = max(values.values(), default=1.0)
        for name, value in values.items():
            width = BARS * value / most
            color = OURS if name.startswith("ours") else OTHERS
            body.append(f'<text x="{LABELS - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>')
            body.append(f'<rect x="{LABELS}" y="{y + 2}" width="{width:.1f}" height="{ROW - 8}" fill="{color}"/>')
            body.append(f'<text x="{LABELS + width + 6:.1f}" y="{y + 15}">{value:,.0f}</text>')
            y += ROW
        y += ROW // 2
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif" font-size="13">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{y}" fill="white"/>', *body, "</svg>\n"])
