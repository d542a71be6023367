"""Seals documents and notes of lists on their way to the stash, and opens them on their way back.

    {"schema_version":2,"id":…,"revision":…,"key":…,"data_key":…,"saved_at":…,"kept_until":…,"body":…,"ending_mark":…}

The body is the document whole, under a key of its own that is sealed with the named one. How an envelope begins and
ends follows from the document alone, so that a compare-and-set needs no more than the text that its writer saw.
"""

import base64
import contextlib
import json
import re
from collections.abc import Generator
from typing import cast

from agentic_flywheel.documents.writes import ENDS, MARKED, SEALED_SCHEMA, sealed_ending, sealed_head
from agentic_flywheel.errors import Damaged, NewerSchema
from agentic_flywheel.json_text import JSONObject, dumps
from agentic_flywheel.keys import written_under
from agentic_flywheel.sealing import KeyRing, UnknownKey, WrongKey, new_key, seal, unseal

_TIMES = re.compile(r'"(saved_at|kept_until)":("[0-9T:.+-]{1,40}"|null)')
"""What of a document may be read without a key: when it was saved, and when it ends."""

_ENVELOPE = re.compile(
    r'\{"schema_version":2,("id":"(?:[^"\\]|\\.)*",\s*)?"revision":\d+,"key":"([A-Za-z0-9_.-]{1,64})","data_key":"'
)
"""How one begins; a newer document of this program, should there ever be one, has other fields."""

EXPORT = "export"
"""In the place of the key that a line of an export has none of."""

_NOTE = "sealed"
"""The first item of a sealed note: no note of a session begins so, which is an object."""

_SEALED_NOTE = re.compile(rf'\["{_NOTE}","([A-Za-z0-9_.-]{{1,64}})",')


class Envelopes:
    """Seals with the newest key of a ring, and opens what any of them sealed; what is in clear is let through."""

    def __init__(self, ring: KeyRing) -> None:
        self._known = ring

    @property
    def _ring(self) -> KeyRing:
        """The keys as their file has them now: they are rotated while servers run."""
        self._known = self._known.refreshed()
        return self._known

    def close(self, key: str, text: str) -> str:
        """The envelope of the document under `key`, which opens there alone; that of a session also as a revision."""
        key, data_key = written_under(key), new_key()
        name, wrapped = self._ring.wrap(data_key, key)
        times = dict(_TIMES.findall(text[-ENDS:]))
        fields = {"key": name, "data_key": wrapped}
        told = "".join(f'"{field}":{times[field]},' for field in ("saved_at", "kept_until") if field in times)
        body = base64.b64encode(seal(data_key, text.encode(), key)).decode()
        return f'{sealed_head(text)}{dumps(fields)[1:-1]},{told}"body":"{body}"{sealed_ending(text)}'

    def open(self, key: str, text: str) -> str:
        """The document in an envelope, or the text itself if it is none.

        Raises:
            NewerSchema: its key is not here.
            Damaged: it was changed.

        """
        if not _ENVELOPE.match(text):
            return text
        with _told(key):
            return self._opened(key, json.loads(text))

    def close_line(self, text: str) -> str:
        """The envelope of a document that is a line of an export."""
        return self.close(EXPORT, text)

    def open_line(self, line: JSONObject) -> JSONObject:
        """The document in such a line, or the line itself. Raises as `open`."""
        if line.get("schema_version") != SEALED_SCHEMA or "data_key" not in line:
            return line
        with _told(EXPORT):
            return cast("JSONObject", json.loads(self._opened(EXPORT, line)))

    def _opened(self, key: str, envelope: JSONObject) -> str:
        bound, data_key = _unwrapped(self._ring, envelope, key)
        return unseal(data_key, base64.b64decode(envelope["body"]), bound).decode()

    def rewrapped(self, key: str, text: str) -> str | None:
        """The envelope under the newest key; `None` if it is under that already, or no envelope. Raises as `open`."""
        ring = self._ring
        if key_of(text) in (None, ring.newest):
            return None
        with _told(key):
            envelope = json.loads(text)
            wrapped = str(envelope["data_key"])
            bound, data_key = _unwrapped(ring, envelope, key)
            name, again = ring.wrap(data_key, bound)
            old, new = (
                dumps({"key": each[0], "data_key": each[1]})[1:-1]
                for each in ((envelope["key"], wrapped), (name, again))
            )
            return text.replace(old, new, 1)

    def close_note(self, member: str, note: str) -> str:
        """The note of a row of a list, sealed."""
        data_key = new_key()
        name, wrapped = self._ring.wrap(data_key, member)
        return dumps([_NOTE, name, wrapped, base64.b64encode(seal(data_key, note.encode(), member)).decode()])

    def open_note(self, member: str, note: str) -> str:
        """The note, or itself where it cannot be opened: its row is listed by its id then."""
        if key_of_note(note) is None:
            return note
        try:
            _, name, wrapped, body = json.loads(note)
            return unseal(self._ring.unwrap(name, wrapped, member), base64.b64decode(body), member).decode()
        except (WrongKey, ValueError, TypeError):
            return note

    def rewrapped_note(self, member: str, note: str) -> str | None:
        """The note under the newest key; `None` as above, and where its key is not here."""
        ring = self._ring
        if key_of_note(note) in (None, ring.newest):
            return None
        with contextlib.suppress(WrongKey, ValueError, TypeError):
            _, name, wrapped, body = json.loads(note)
            return dumps([_NOTE, *ring.wrap(ring.unwrap(name, wrapped, member), member), body])
        return None


def _unwrapped(ring: KeyRing, envelope: JSONObject, key: str) -> tuple[str, bytes]:
    """What an envelope that was found under `key` is bound to, and its data key. Raises as `KeyRing.unwrap`."""
    name, wrapped, origin = str(envelope["key"]), str(envelope["data_key"]), written_under(key)
    try:
        return origin, ring.unwrap(name, wrapped, origin)
    except UnknownKey:
        raise
    except WrongKey:  # an older revision that was in clear when `keys seal` of an earlier version came by
        return key, ring.unwrap(name, wrapped, key)


@contextlib.contextmanager
def _told(key: str) -> Generator[None]:
    what = f"{'It' if key == EXPORT else f'What is stored under {key!r} in Redis'} cannot be opened"
    try:
        yield
    except UnknownKey as exc:
        raise NewerSchema(f"{what}: {exc}. It is left as it is.") from None
    except (WrongKey, ValueError, KeyError, TypeError) as exc:
        why = str(exc) if isinstance(exc, WrongKey) else "what is sealed was changed"
        raise Damaged(f"{what}: {why}. It is left as it is.") from None


def key_of(text: str) -> str | None:
    """The name of the key with which a text is sealed; `None` if it is not."""
    match = _ENVELOPE.match(text)
    return match[2] if match else None


def key_of_note(note: str) -> str | None:
    """The same of the note of a row."""
    match = _SEALED_NOTE.match(note)
    return match[1] if match else None


def etag_of_envelope(text: str) -> tuple[str, str]:
    """How the envelope of this document begins and ends, as `etag` says it of the document itself."""
    return sealed_head(text), sealed_ending(text)[-MARKED:]
