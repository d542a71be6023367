"""Reads the talks that opencode kept as files before it had a database: `storage/session/<project>/ses_….json`.

Read from 1.0.152 and 1.1.65. Beside the sessions lie `storage/message/<session>/msg_….json` and
`storage/part/<message>/prt_….json`, which hold what the columns of the database do (`opencode.py`). 1.18.33 leaves them
where they are and lists none of them, so that whoever went over to it has these talks here alone. A fork is a whole
copy.
"""

from collections.abc import Iterator

from agentic_flywheel.cli.importers import opencode
from agentic_flywheel.cli.importers.beside import Beside
from agentic_flywheel.cli.importers.conversation import Imported, instant, text
from agentic_flywheel.cli.importers.json_entries import BadEntry
from agentic_flywheel.documents.turn_values import as_object
from agentic_flywheel.json_text import JSONObject

_STORAGE = 2
"""Folders from that of a session's file up to the one in which all lies."""


def is_session(value: JSONObject) -> bool:
    """Whether it is a session's file."""
    return text(value.get("id")).startswith("ses_") and {"projectID", "time"} <= value.keys()


def conversation(info: JSONObject, beside: Beside) -> Iterator[Imported | BadEntry]:
    """The talk of a session's file, and before it what of it cannot be read."""
    parent = text(info.get("parentID"))
    yield from opencode.talk(info, _messages(beside, text(info.get("id"))), _caller(beside, parent, info.get("id")))


def _messages(beside: Beside, session: str) -> list[object]:
    """The messages of a session with their parts, as an export has them."""
    found = sorted(beside.objects_in(_STORAGE, f"message/{session}"), key=_place)
    return [{"info": each, "parts": beside.objects_in(_STORAGE, f"part/{text(each.get('id'))}")} for each in found]


def _place(message: JSONObject) -> tuple[float, str]:
    began = instant(as_object(message.get("time")).get("created"))
    return began.timestamp() if began else 0.0, text(message.get("id"))


def _caller(beside: Beside, parent: str, session: object) -> str:
    """The call in the talk of its `parent` that began a sub-agent's."""
    for message in _messages(beside, parent) if parent else ():
        for part in map(as_object, as_object(message)["parts"]):
            if as_object(as_object(part.get("state")).get("metadata")).get("sessionId") == session:
                return text(part.get("callID"))
    return ""
