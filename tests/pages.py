"""A page as a browser reads it, and text that would like to be more than text."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

HOSTILE = "</script></noscript><script>alert(1)</script><img src=x onerror=alert(2)>\u2028{{ 7*7 }}'\"&amp;"
FETCHING = ("src", "srcset", "action", "formaction", "poster", "background", "data", "ping", "manifest")


class Page(HTMLParser):
    """What a browser would see of a page: its elements, and the text of its scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.inside: list[tuple[dict[str, str | None], list[str]]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag in ("script", "style"):
            self.inside.append((dict(attributes), []))

    def handle_data(self, text: str) -> None:
        (self.inside[-1][1] if self.cdata_elem else self.words).append(text)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)

    def text(self) -> str:
        return " ".join("".join(self.words).split())

    def json(self) -> dict[str, Any]:
        return {str(given["id"]): json.loads("".join(text)) for given, text in self.inside if given.get("type") == "application/json"}

    def scripts(self) -> list[str]:
        return ["".join(text) for given, text in self.inside if not given and "vega" in "".join(text)]
