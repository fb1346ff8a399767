"""Pieces of a page. What others have named is text in it and nothing else, without what may be secret."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from pipeline.console.printable import printable
from transforms.stores.secrets import redacted


def told(text: object) -> str:
    """As a person may read it: in one line, controls and what turns text around spelled out, secrets left out."""
    return printable(redacted(str(text)))


def markup(text: object) -> str:
    """The same as markup, of an attribute as well."""
    return escape(told(text))


def element(tag: str, content: str, **attributes: object) -> str:
    """An element of markup; of names of attributes, `_` is a hyphen, but for one at the end, which is left out."""
    given = "".join(f' {name.rstrip("_").replace("_", "-")}="{markup(value)}"' for name, value in attributes.items())
    return f"<{tag}{given}>{content}</{tag}>"


def paragraphs(texts: Iterable[str], **attributes: object) -> str:
    return "\n".join(element("p", markup(text), **attributes) for text in texts)


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of text: the first cell of a row is its head, numbers stand right. It scrolls where it is too wide."""
    top = "".join(element("th", markup(head), scope="col") for head in heads)
    body = "\n".join(
        "<tr>" + element("th", markup(_shown(row[0])), scope="row") + "".join(map(_cell, row[1:])) + "</tr>"
        for row in rows
    )
    named = element("caption", markup(caption))
    # A region that scrolls is reached by keyboard, and so has a name.
    return element(
        "div",
        f"<table>{named}<thead><tr>{top}</tr></thead><tbody>\n{body}\n</tbody></table>",
        class_="wide", role="region", tabindex=0, aria_label=caption,
    )  # fmt: skip


def facts(rows: Mapping[str, object]) -> str:
    """A list of names and what they are."""
    pairs = "".join(f"<div>{element('dt', markup(k))}{element('dd', markup(v))}</div>" for k, v in rows.items())
    return f"<dl>{pairs}</dl>"


def json_block(name: str, content: Any, *, ours: bool = False) -> str:
    """Data for programs: JSON in which nothing can end the element that it is in.

    Args:
        ours: the texts in it were made here, and are not looked through: base64 is long.
    """
    text = json.dumps(content if ours else _told_of(content), allow_nan=False, separators=(",", ":"))
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return f'<script type="application/json" id="{escape(name)}">{text}</script>'


def number(value: float) -> str:
    """With all digits before the point, and of fractions with so many that four tell something."""
    whole = isinstance(value, int) or abs(value) >= 1000
    return f"{value:,.0f}" if whole else f"{value:.4g}"


def percent(share: float) -> str:
    return f"{share:.1%}"


def _cell(value: object) -> str:
    more = {"class_": "number"} if isinstance(value, int | float) else {}
    return element("td", markup(_shown(value)), **more)


def _shown(value: object) -> object:
    return number(value) if isinstance(value, int | float) else value


def _told_of(content: Any) -> Any:
    if isinstance(content, str):
        return told(content)
    if isinstance(content, Mapping):
        return {told(key): _told_of(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_told_of(each) for each in content]
    return content
