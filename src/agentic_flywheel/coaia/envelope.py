"""Seals documents and notes of lists on their way to the stash, and opens them on their way back.

    {"schema_version":2,"id":…,"revision":…,"key":…,"data_key":…,"saved_at":…,"kept_until":…,"body":…,"ending_mark":…}

The body is the document whole, under a key of its own that is sealed with the named one. How an envelope begins and
ends follows from the document alone, so that a compare-and-set needs no more than the text that its writer saw.
"""

import base64
import json
import re

from agentic_flywheel.documents.writes import MARKED, sealed_ending, sealed_head
from agentic_flywheel.errors import Damaged
from agentic_flywheel.json_text import dumps
from agentic_flywheel.sealing import KeyRing, WrongKey, new_key, seal, unseal

_TIMES = re.compile(r'"(saved_at|kept_until)":("[0-9T:.+-]{1,40}"|null)')
"""What of a document may be read without a key: when it was saved, and when it ends."""

_ENVELOPE = re.compile(r'\{"schema_version":2,.{0,4000}?"key":"')

_NOTE = "sealed"
"""The first item of a sealed note."""


class Envelopes:
    """Seals with the newest key of a ring, and opens what any of them sealed; what is in clear is let through."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def close(self, key: str, text: str) -> str:
        """The envelope of the document under `key`."""
        data_key = new_key()
        name, wrapped = self._ring.wrap(data_key, key)
        times = dict(_TIMES.findall(text[-4096:]))
        fields = {"key": name, "data_key": wrapped}
        told = "".join(f'"{field}":{times[field]},' for field in ("saved_at", "kept_until") if field in times)
        body = base64.b64encode(seal(data_key, text.encode(), key)).decode()
        return f'{sealed_head(text)}{dumps(fields)[1:-1]},{told}"body":"{body}"{sealed_ending(text)}'

    def open(self, key: str, text: str) -> str:
        """The document in an envelope, or the text itself if it is none.

        Raises:
            Damaged: it cannot be opened; the message says why.

        """
        if not _ENVELOPE.match(text):
            return text
        try:
            envelope = json.loads(text)
            data_key = self._ring.unwrap(str(envelope["key"]), str(envelope["data_key"]), key)
            return unseal(data_key, base64.b64decode(envelope["body"]), key).decode()
        except (WrongKey, ValueError, KeyError, TypeError) as exc:
            why = str(exc) if isinstance(exc, WrongKey) else "what is sealed was changed"
            what = f"What is stored under {key!r} in Redis"
            raise Damaged(f"{what} cannot be opened: {why}. It is left as it is.") from None

    def rewrapped(self, key: str, text: str) -> str | None:
        """The envelope under the newest key; `None` if it is under that already, or no envelope.

        Raises:
            Damaged: its key is not here.

        """
        if not _ENVELOPE.match(text):
            return None
        try:
            envelope = json.loads(text)
            if envelope["key"] == self._ring.newest:
                return None
            data_key = self._ring.unwrap(str(envelope["key"]), str(envelope["data_key"]), key)
        except (WrongKey, ValueError, KeyError, TypeError) as exc:
            raise Damaged(f"What is stored under {key!r} in Redis cannot be opened: {exc}.") from None
        name, wrapped = self._ring.wrap(data_key, key)
        old = dumps({"key": envelope["key"], "data_key": envelope["data_key"]})[1:-1]
        return text.replace(old, dumps({"key": name, "data_key": wrapped})[1:-1], 1)

    def close_note(self, member: str, note: str) -> str:
        """The note of a row of a list, sealed."""
        data_key = new_key()
        name, wrapped = self._ring.wrap(data_key, member)
        return dumps([_NOTE, name, wrapped, base64.b64encode(seal(data_key, note.encode(), member)).decode()])

    def open_note(self, member: str, note: str) -> str:
        """The note, or nothing where it cannot be opened: its row is listed by its id then."""
        if not note.startswith(f'["{_NOTE}",'):
            return note
        try:
            _, name, wrapped, body = json.loads(note)
            return unseal(self._ring.unwrap(name, wrapped, member), base64.b64decode(body), member).decode()
        except (WrongKey, ValueError, TypeError):
            return ""


def is_envelope(text: str) -> bool:
    """Whether a text is sealed."""
    return bool(_ENVELOPE.match(text))


def etag_of_envelope(text: str) -> tuple[str, str]:
    """How the envelope of this document begins and ends, as `etag` says it of the document itself."""
    return sealed_head(text), sealed_ending(text)[-MARKED:]
