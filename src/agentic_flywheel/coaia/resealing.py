"""Rewrites what is stored in the stash under another key, one text at a time, while others read and write it.

A text is replaced only if it is still the one that was read; what somebody writes meanwhile is read again. So it may
end anywhere, and be begun again.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from itertools import product

from agentic_flywheel.coaia.envelope import Envelopes, key_of, key_of_note
from agentic_flywheel.coaia.remote_parts import KEYS_LISTED
from agentic_flywheel.coaia.replies import index_page
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.documents.parse import tombstone_of
from agentic_flywheel.errors import DocumentError, StashUnavailable
from agentic_flywheel.keys import Keys, glob_escape

AT_ONCE = 8
"""Texts that are read and written at the same time: enough for the two hops not to be waited for."""

TRIES = 5
"""How often a text is read again that somebody else writes all the time."""

PAGE = 500
"""Rows of a list that are read at once."""

SECONDS = 30.0
"""The bound of one call: a look through all keys of a large Redis, or a text of the largest size."""

KINDS = ("session", "execution", "history", "revision")
"""The kinds of keys under which there are documents."""

NAMESPACES = ("ns", "jwt")
"""What the names of namespaces begin with, which are a part of their keys' prefix behind a dot (`server/http_*`)."""

Change = Callable[[str, str], str | None]
"""The text for the one that is stored under a key; `None`: it stays."""


@dataclass
class Tally:
    """What was found: texts and rows by the name of their key ("" in clear), what was changed, what cannot be."""

    texts: Counter[str] = field(default_factory=Counter[str])
    rows: Counter[str] = field(default_factory=Counter[str])
    changed: int = 0
    refused: dict[str, str] = field(default_factory=dict[str, str])


class Resealing:
    """The texts and rows of `stash`, under `keys` and in the namespaces below them."""

    def __init__(self, stash: Stash, keys: Keys) -> None:
        self._stash = stash
        self._keys = keys
        self.tally = Tally()

    async def run(self, text_of: Change, note_of: Change, progress: Callable[[int, int], None]) -> Tally:
        """Change all of it.

        Raises:
            StashUnavailable: it stopped answering, or is a mirror, which can neither list nor compare.

        """
        await self._stash.ready(self._deadline())
        if not self._stash.has("coaia_swap"):
            raise StashUnavailable("This child cannot rewrite what is stored: each document is, when it is next saved.")
        keys, lists = await self._listed()
        for place in range(0, len(keys), AT_ONCE):
            some = keys[place : place + AT_ONCE]
            await asyncio.gather(*(self._text(key, text_of) for key in some))
            progress(place + len(some), len(keys))
        for each in lists:
            async for rows in self._rows(each):
                notes = f"{each.index}:notes"
                await asyncio.gather(*(self._note(notes, member, note, note_of) for member, note in rows))
        return self.tally

    async def _listed(self) -> tuple[list[str], list[Keys]]:
        """The keys of all documents, and those of each namespace that has any."""
        own = glob_escape(self._keys.prefix)
        prefixes = [own, *(f"{own}.{begin}.*" for begin in NAMESPACES)]
        keys, names = set[str](), {self._keys.prefix}
        for kind, prefix in product(KINDS, prefixes):
            pattern = f"{prefix}:{kind}:*"
            arguments = {"pattern": pattern, "limit": KEYS_LISTED, "seconds": SECONDS / 2}
            reply = await self._stash.call("coaia_list", arguments, self._deadline())
            if not reply.get("complete"):
                raise StashUnavailable("Redis did not let all keys be looked through in time.")
            keys |= {str(key) for key in reply["keys"]}
            names |= {str(key).partition(f":{kind}:")[0] for key in reply["keys"]}
        return sorted(keys), [Keys(name) for name in sorted(names)]

    async def _text(self, key: str, change: Change) -> None:
        for _ in range(TRIES):
            text = await self._fetched(key)
            if text is None or tombstone_of(text):
                return
            try:
                new = change(key, text)
            except DocumentError as exc:
                self.tally.refused[key] = str(exc)
                return
            if new is None or await self._swapped(key, text, new, ""):
                self.tally.texts[key_of(new or text) or ""] += 1
                return
        self.tally.refused[key] = "others write it all the time"

    async def _fetched(self, key: str) -> str | None:
        try:
            value = (await self._stash.call("coaia_fetch", {"key": key}, self._deadline())).get("value")
        except DocumentError:  # no text of ours
            return None
        return value if isinstance(value, str) else None

    async def _note(self, key: str, member: str, note: str, change: Change) -> None:
        new = change(member, note)
        if new is None or await self._swapped(key, note, new, member):
            self.tally.rows[key_of_note(new or note) or ""] += 1

    async def _swapped(self, key: str, seen: str, text: str, field_: str) -> bool:
        arguments = {"key": key, "seen": seen, "value": text, "field": field_}
        swapped = bool((await self._stash.call("coaia_swap", arguments, self._deadline())).get("swapped"))
        self.tally.changed += swapped
        return swapped

    async def _rows(self, keys: Keys) -> AsyncIterator[Sequence[tuple[str, str]]]:
        """The rows of the list that have a note, as they are stored."""
        before: tuple[int, str] | None = (2**53, "")  # from the first row on; nothing is mended in passing
        while before:
            arguments = {
                "index": keys.index, "documents": keys.sessions, "limit": PAGE, "before": [*before],
                "seconds": SECONDS / 2,
            }  # fmt: skip
            page = index_page(keys.index, await self._stash.call("coaia_recent", arguments, self._deadline()))
            yield [(row.member, row.note) for row in page.entries if row.note]
            before = page.older

    def _deadline(self) -> float:
        return self._stash.deadline(at_least=SECONDS)


def to_newest(envelopes: Envelopes) -> tuple[Change, Change]:
    """Have what is sealed be sealed with the newest key."""
    return envelopes.rewrapped, envelopes.rewrapped_note


def to_sealed(envelopes: Envelopes) -> tuple[Change, Change]:
    """Have what is in clear be sealed as well."""

    def text(key: str, text: str) -> str | None:
        return envelopes.rewrapped(key, text) if key_of(text) else envelopes.close(key, text)

    def note(member: str, note: str) -> str | None:
        return envelopes.rewrapped_note(member, note) if key_of_note(note) else envelopes.close_note(member, note)

    return text, note


def to_clear(envelopes: Envelopes) -> tuple[Change, Change]:
    """Have all of it be in clear."""

    def text(key: str, text: str) -> str | None:
        return envelopes.open(key, text) if key_of(text) else None

    def note(member: str, note: str) -> str | None:
        opened = envelopes.open_note(member, note)
        return None if opened == note else opened

    return text, note


def as_it_is(_key: str, _text: str) -> None:
    """Change nothing: it is only counted."""
