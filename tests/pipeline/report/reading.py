"""A page as programs read it: its data, its elements, its text."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

WITHOUT_END = {"img", "meta", "br", "input"}


class Page(HTMLParser):
    """Attributes:
    elements: tags with their attributes.
    text: of all that is shown.
    data: by id, what the blocks of JSON hold.
    """

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.data: dict[str, Any] = {}
        self._within: list[tuple[str, str | None]] = []
        self.feed(page)
        assert not self._within, "elements that do not end"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.elements.append((tag, attributes))
        if tag not in WITHOUT_END:
            self._within.append((tag, attributes.get("id")))

    def handle_endtag(self, tag: str) -> None:
        assert self._within.pop()[0] == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, name = self._within[-1] if self._within else ("", None)
        if tag == "script":
            self.data.update({name: json.loads(data)} if name else {})
        elif tag != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for each, attributes in self.elements if each == tag]
