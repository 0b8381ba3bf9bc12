"""What a page needs that is one file and asks nothing of the network: scripts inside it, a policy that allows no others, inert data.

The content policy forbids every fetch and every script but those that the page was written with (by their hashes), so that text from data
could do nothing even if an escape were missed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from typing import Any

from sparsegap import charts, number_formats

FORMATS = ("fixed", "percent", "change", "significant", "quantity", "count", "interval", "percent_interval", "whole")


def script_json(value: Any) -> str:
    """JSON that cannot end a script element, open a comment in it or break a line of it; equal to the plain JSON once parsed."""
    text = json.dumps(value, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def bundle() -> str:
    """Vega, Vega-Lite and the embedder as one script, about 0.9 MB."""
    import vl_convert

    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", charts.vega_lite_version())).replace("\r\n", "\n")


def templates() -> Any:
    """The page templates, with every value escaped and the number formats as filters."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("sparsegap")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update({name: getattr(number_formats, name) for name in FORMATS}, code=code)
    return environment


def code(words: str) -> Any:
    """Words for a page, what stands between backticks as code; everything is escaped."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(words))))


def source(environment: Any, *names: str) -> str:
    """The text of script or style files, joined."""
    return "\n".join(str(environment.loader.get_source(environment, name)[0]) for name in names)


def policy(scripts: list[str]) -> str:
    """The content policy of a page with these scripts."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts)
    return f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action 'none'"


def tokens() -> str:
    """The tokens by their light colours, for the script that binds a spec to the CSS variables."""
    return script_json({light: token for token, (light, _) in charts.TOKENS.items()})


def inline_svg(svg: str, name: str) -> str:
    """A drawing inside a page: colours bound to the page's variables, and clip paths with names of their own."""
    own = re.sub(r"[^\w-]", "-", name)
    return re.sub(r'(id="|url\(#)((?:clip|gradient)[\w-]*)', rf"\g<1>{own}-\2", charts.recolour(svg, "css"))
