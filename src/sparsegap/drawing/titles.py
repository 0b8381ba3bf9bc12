"""Titles of panels and axes in lines no longer than their panel is wide; the same is in study.js."""

from __future__ import annotations

from typing import Any

BOLD, PLAIN = 6.8, 6.2  # width of a character in pixels: of a panel's title, of an axis'
BESIDE = 8  # pixels that a title may reach beyond its panel


def lines(words: str, width: float, character: float) -> str | list[str]:
    """The words in lines of at most `width` pixels, broken between words; one that is longer stands by itself."""
    most, found = (width + BESIDE) / character, [""]
    for word in words.split(" "):
        longer = f"{found[-1]} {word}".strip()
        found = [*found[:-1], longer] if len(longer) <= most or not found[-1] else [*found, word]
    return found[0] if len(found) == 1 else found


def folded(spec: dict[str, Any]) -> dict[str, Any]:
    """A spec of panels, whose widths are set, with the titles above them and along their horizontal axes in lines. Changes it."""
    for view in spec.get("concat", []):
        title = view.get("title")
        if title and isinstance(title["text"], str):
            title["text"] = lines(title["text"], view["width"], BOLD)
        for layer in view["layer"]:
            across = layer.get("encoding", {}).get("x", {})
            if isinstance(across.get("title"), str):
                across["title"] = lines(across["title"], view["width"], PLAIN)
    return spec
