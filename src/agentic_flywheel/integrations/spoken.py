"""Says a turn of another program as a plain message, which any model takes: a role and a text."""

from typing import Literal

from agentic_flywheel.documents.turn_parts import SYSTEM
from agentic_flywheel.documents.turn_text import ASSISTANT, TOOL, USER, read, said_in
from agentic_flywheel.json_text import JSONObject

Role = Literal["user", "assistant", "system"]

_ROLES: dict[str, Role] = {USER: "user", ASSISTANT: "assistant", SYSTEM: "system", TOOL: "assistant"}
"""What a tool gave is said by the assistant: as a tool's it would need a call that the model takes for one, and the
person did not say it."""


def spoken(turn: JSONObject) -> tuple[Role, str]:
    """Who says what in a turn: its words, calls and results as text, without what else a program notes of it."""
    role, text = read(turn).role, said_in(turn, whole=False)[1]
    if role == TOOL and not text.startswith("("):
        text = f"(result) {text}"
    return _ROLES.get(role, "user"), text
