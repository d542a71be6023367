"""Writes a resumed session as text for a model or a person: what is known of it, then its numbered turns.

Programs read the structured content. Sending the same JSON in both would double every answer.
"""

from agentic_flywheel.json_text import JSONObject, dumps
from agentic_flywheel.sessions.budget import MIN_TEXT, shortened
from agentic_flywheel.sessions.results import ResumeResult

LONGEST_TEXT = 256_000
"""Characters of a transcript, whatever was asked for: beyond that only programs read on, in the structured content."""

BESIDE_THE_TURNS = 100
"""Characters of the line that says which turns are missing."""

_SAID = {"role", "content"}
_SHOWN = ("title", "summary", "tags", "status", "user_id", "current_flow_id", "context", "updated_at")


def transcript(result: ResumeResult, limit: int) -> str:
    """The answer of a resume in about `limit` characters: its sentence, the session's fields, its newest turns."""
    if result.session is None:
        return result.message
    fields = {name: value for name in _SHOWN if (value := result.session.get(name))}
    lines = [result.message]
    limit = min(limit, LONGEST_TEXT) - BESIDE_THE_TURNS
    for name, value in fields.items():
        line = f"{name}: {value if isinstance(value, str) else dumps(value)}"
        lines.append(shortened(line, max(MIN_TEXT, limit // 2 - sum(map(len, lines)))))
    room = limit - sum(len(line) + 1 for line in lines)
    history: list[JSONObject] = result.session["history"]
    first = result.next_before_turn or 0
    turns: list[str] = []
    for number in range(len(history) - 1, -1, -1):
        line = f"[{first + number}] {_said(history[number])}"
        if not turns:
            line = shortened(line, max(MIN_TEXT, room))
        room -= len(line) + 1
        if room < 0 and turns:
            lines.append(
                f"Turns {first} to {first + number} are in the structured content, or with a smaller max_tokens."
            )
            break
        turns.append(line)
    return "\n".join([*lines, "", *reversed(turns)])


def markdown(session: JSONObject) -> str:
    """A whole session for a person to read: its title and summary, then its turns under headings of their own."""
    title = session.get("title") or session["id"]
    lines = [f"# {title}", ""]
    if summary := session.get("summary"):
        lines += [summary, ""]
    about = [f"session `{session['id']}`", f"revision {session['revision']}", f"saved {session['saved_at']}"]
    lines += [", ".join([*about, *(f"#{tag}" for tag in session.get("tags") or ())]), ""]
    for number, turn in enumerate(session["history"]):
        role, content = turn.get("role"), turn.get("content")
        plain = isinstance(role, str) and isinstance(content, str)
        lines += [f"## {number} {role if plain else ''}".rstrip(), "", content if plain else dumps(turn), ""]
    return "\n".join(lines)


def _said(turn: JSONObject) -> str:
    role, content = turn.get("role"), turn.get("content")
    if not isinstance(role, str) or not isinstance(content, str):
        return dumps(turn)
    rest = {name: value for name, value in turn.items() if name not in _SAID}
    return f"{role}: {content}" + (f" {dumps(rest)}" if rest else "")
