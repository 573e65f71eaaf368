"""The API's reference as a page that needs no script and fetches nothing, and looks as the page for people does."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import msgspec
from markupsafe import Markup, escape

from pyrite.templates import page_environment, template_source

_LOOK = Path(__file__).parent / "static"


def reference_page(document: dict[str, Any], error: object) -> tuple[bytes, str]:
    """Return the page, and the content security policy that it is to be sent with.

    Args:
        document: OpenAPI.
        error: An example of one.
    """
    pages = page_environment("pyrite.serving")
    pages.filters["prose"] = _prose
    source = (_LOOK / "page.css").read_text("utf-8") + template_source(pages, "reference.css")
    icon = (_LOOK / "icon.svg").read_text("utf-8")
    template = pages.get_template("reference.html.j2")
    page = template.render(document=document, error=error, style=source, icon=icon, pretty=_pretty)
    style = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; frame-ancestors 'none'"
    return page.encode(), policy


def _prose(text: str) -> Markup:
    """Return a text with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
