"""Shortens the web pages that a search brought, and makes sources into links: what a person saw of them."""

import re
from typing import cast
from urllib.parse import urlsplit

from agentic_flywheel.json_text import JSONObject

MAX_PAGE = 2000
"""Characters of a page that come in: one search brings fifty thousand beside an answer of forty."""

BRINGS_PAGES = re.compile(r"(?i)fetch|browse|web[_-]?search|search[_-]?web")
"""What the names of tools have that answer with web pages."""


def shortened(page: str) -> str:
    """The beginning of a page, and how much of it was left out."""
    left = len(page) - MAX_PAGE
    return f"{page[:MAX_PAGE]}… [{left:,} more characters of a page were left out at import]" if left > 0 else page


def shortened_within(value: object, depth: int = 0) -> object:
    """The value with every text in it shortened."""
    if isinstance(value, str):
        return shortened(value)
    if depth > _DEPTH or not isinstance(value, dict | list):
        return value
    if isinstance(value, list):
        return [shortened_within(each, depth + 1) for each in cast("list[object]", value)]
    return {name: shortened_within(each, depth + 1) for name, each in cast("JSONObject", value).items()}


_DEPTH = 8
"""Levels of a result in which pages are looked for; they lie in the third."""


def link(title: object, url: object) -> str:
    """The source as Markdown's link; its title alone if it has no address of the web, nothing if it has neither."""
    words = " ".join(title.split()) if isinstance(title, str) else ""
    address = url.strip() if isinstance(url, str) else ""
    try:
        parts = urlsplit(address)
        host = parts.netloc if parts.scheme in ("http", "https") else ""
    except ValueError:
        host = ""
    if not host:
        return words
    for sign, escaped in _ESCAPED:
        address = address.replace(sign, escaped)
    words = (words or host).replace("[", "(").replace("]", ")")
    return f"[{words}]({''.join(address.split())})"


_ESCAPED = (("(", "%28"), (")", "%29"), (" ", "%20"), ("<", "%3C"), (">", "%3E"))
"""What would end the address of a link."""
