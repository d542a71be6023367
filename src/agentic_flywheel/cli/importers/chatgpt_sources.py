"""Puts the sources of a searched answer of ChatGPT in place of the marks that its text has for them.

Since 2025 a mark stands between private-use characters, and `metadata.content_references` names each by the text that
it matches. Before, it was `【1†source】`, and `metadata.citations` names it by its place. A person saw neither.
"""

import json
import re
from collections import defaultdict, deque
from collections.abc import Iterator
from typing import cast

from agentic_flywheel.cli.importers.web_pages import link
from agentic_flywheel.documents.turn_values import as_list, is_object
from agentic_flywheel.json_text import JSONObject

_MARK = re.compile("( ?)(\ue200([^\ue200\ue201]{0,4000})\ue201|【[^【】\n]{0,200}†[^【】\n]{0,200}】)")
_STRAY = re.compile("[\ue200-\ue20f]")
"""What highlights a part of the text, or is left of a mark that was cut."""

_BETWEEN = "\ue202"
"""Stands between the kind of a mark and what it names."""


def with_sources(text: str, metadata: JSONObject) -> str:
    """The text with links to its sources in place of their marks; a mark of which nothing is known goes."""
    if "†" not in text and not _STRAY.search(text):
        return text
    named, placed = _named(metadata), list(_placed(metadata))
    counted = iter(placed)

    def replaced(mark: re.Match[str]) -> str:
        before, whole, inner = mark[1], mark[2], mark[3]
        made = named.get(whole)
        if made:
            told = made.popleft() if len(made) > 1 else made[0]
        elif inner is not None:
            told = _shown_name(inner)
        else:
            exact = [source for begin, end, source in placed if begin <= mark.start(2) < end]
            following = next(counted, None)
            told = exact[0] if exact else following[2] if following else whole
        beside = before or (mark.start() and not mark.string[mark.start() - 1].isspace() and told.startswith("["))
        return f"{' ' if beside and told else ''}{told}"

    return _STRAY.sub("", _MARK.sub(replaced, text))


def _named(metadata: JSONObject) -> dict[str, deque[str]]:
    """What stands for each mark, by its text; of several that are the same, in their order."""
    found = defaultdict[str, deque[str]](deque)
    for reference in filter(is_object, as_list(metadata.get("content_references"))):
        matched = reference.get("matched_text")
        if isinstance(matched, str) and _MARK.fullmatch(matched):
            found[matched.removeprefix(" ")].append(_source(reference))
    return found


def _source(reference: JSONObject) -> str:
    items = list(filter(is_object, as_list(reference.get("items")))) or [reference]
    links = [made for item in items if (made := link(item.get("title"), item.get("url"))).startswith("[")]
    texts = (reference.get(name) for name in ("alt", "name", "title"))
    return " ".join(dict.fromkeys(links)) or next((each for each in texts if isinstance(each, str) and each), "")


def _placed(metadata: JSONObject) -> Iterator[tuple[int, int, str]]:
    """The citations, each with where its mark begins and ends."""
    for citation in filter(is_object, as_list(metadata.get("citations"))):
        known = citation.get("metadata")
        held = cast("JSONObject", known) if isinstance(known, dict) else citation
        if made := link(held.get("title"), held.get("url")):
            begin, end = citation.get("start_ix"), citation.get("end_ix")
            yield begin if isinstance(begin, int) else -1, end if isinstance(end, int) else -1, made


def _shown_name(inner: str) -> str:
    """What a person saw of a mark that no reference explains: the name of a thing, of a source nothing."""
    kind, _, rest = inner.partition(_BETWEEN)
    if kind != "entity":
        return ""
    try:
        named: object = json.loads(rest)
    except (ValueError, RecursionError):
        return ""
    names = as_list(named)
    return next((name for name in names[1:] if isinstance(name, str)), "")
