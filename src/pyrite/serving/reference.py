"""The API's reference as a page that needs no script and fetches nothing."""

import base64
import hashlib
from typing import Any

import msgspec

from pyrite.templates import page_environment, template_source


def reference_page(document: dict[str, Any]) -> tuple[bytes, str]:
    """Return the page, and the content security policy that it is to be sent with.

    Args:
        document: OpenAPI.
    """
    pages = page_environment("pyrite.serving")
    source = template_source(pages, "reference.css")
    page = pages.get_template("reference.html.j2").render(document=document, style=source, pretty=_pretty)
    style = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; frame-ancestors 'none'"
    return page.encode(), policy


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
