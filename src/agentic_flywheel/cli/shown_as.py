"""`sessions show --as`: a session in the lines of another program, for a person to hand it over; nothing is written.

Read from Claude Code 2.1.332 and Codex 0.171.0, which both go on with such a file where they keep their own. Every turn
is its words: calls and results of another program's tools mean nothing there, and a history with a call that lacks its
result is refused by the models' interfaces. So they stand as text, as `show` has them.
"""

from collections.abc import Iterator
from uuid import NAMESPACE_URL, uuid5

from agentic_flywheel.documents.turn_text import said_in
from agentic_flywheel.json_text import JSONObject, dumps

CLAUDE_CODE, CODEX = "2.1.332", "0.171.0"


def lines(session: JSONObject, program: str) -> str:
    """The session as this program's transcript."""
    made = _claude_code(session) if program == "claude-code" else _codex(session)
    return "".join(dumps(line) + "\n" for line in made)


def _turns(session: JSONObject) -> Iterator[tuple[str, str, str]]:
    """Who speaks, user or assistant, the words, and when."""
    history: list[JSONObject] = session["history"]
    for turn in history:
        who, said = said_in(turn, whole=False)
        if not said.strip():
            continue
        at = str(turn.get("created_at") or session.get("updated_at") or session.get("saved_at") or "")
        role = "assistant" if who == "assistant" else "user"
        yield role, said if who in ("assistant", "user", None) else f"[{who}] {said}", at


def _cwd(session: JSONObject) -> str:
    return str(session["context"].get("cwd") or "/")


def _id(session: JSONObject, *parts: object) -> str:
    """An id as both programs make them, always the same for the same turn."""
    return str(uuid5(NAMESPACE_URL, " ".join(map(str, (session["id"], *parts)))))


def _claude_code(session: JSONObject) -> Iterator[JSONObject]:
    own, parent = _id(session), None
    for number, (role, said, at) in enumerate(_turns(session)):
        message: JSONObject = {"role": role, "content": said}
        if role == "assistant":
            content = [{"type": "text", "text": said}]
            message = {"id": f"msg_{number}", "type": "message", "role": role, "model": "<synthetic>",
                       "content": content, "stop_reason": "end_turn"}  # fmt: skip
        yield {
            "parentUuid": parent,
            "isSidechain": False,
            "userType": "external",
            "cwd": _cwd(session),
            "sessionId": own,
            "version": CLAUDE_CODE,
            "type": role,
            "message": message,
            "uuid": (parent := _id(session, number)),
            "timestamp": at,
        }
    if title := session.get("title"):
        yield {"type": "custom-title", "customTitle": title, "sessionId": own}


def _codex(session: JSONObject) -> Iterator[JSONObject]:
    began = str(session.get("created_at") or session.get("saved_at") or "")
    meta = {"id": _id(session), "timestamp": began, "cwd": _cwd(session), "originator": "codex_cli_rs",
            "cli_version": CODEX, "source": "cli"}  # fmt: skip
    yield {"timestamp": began, "type": "session_meta", "payload": meta}
    for role, said, at in _turns(session):
        kind = "output_text" if role == "assistant" else "input_text"
        message = {"type": "message", "role": role, "content": [{"type": kind, "text": said}]}
        yield {"timestamp": at, "type": "response_item", "payload": message}
        event = "agent_message" if role == "assistant" else "user_message"
        yield {"timestamp": at, "type": "event_msg", "payload": {"type": event, "message": said}}
