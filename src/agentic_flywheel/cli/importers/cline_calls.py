"""Tells what a model said in a task of Cline: words, thoughts, and calls, which may stand as XML in its text."""

import re
from collections.abc import Iterator

from agentic_flywheel.cli.importers.blocks import spoken, thought
from agentic_flywheel.cli.importers.conversation import text
from agentic_flywheel.documents.turn_values import as_object
from agentic_flywheel.json_text import JSONObject

SHOWN = {"attempt_completion": "result", "ask_followup_question": "question", "plan_mode_respond": "response",
          "plan_mode_response": "response"}  # fmt: skip
"""Calls whose words the person is shown, by the field that has them."""

_TOOLS = (
    *SHOWN, "execute_command", "read_file", "write_to_file", "replace_in_file", "apply_diff", "insert_content",
    "search_and_replace", "search_files", "list_files", "list_code_definition_names", "codebase_search",
    "browser_action", "use_mcp_tool", "access_mcp_resource", "load_mcp_documentation", "web_fetch", "web_search",
    "new_task", "switch_mode", "fetch_instructions", "update_todo_list", "new_rule", "condense", "edit_file",
)  # fmt: skip

_BEGINS = re.compile(rf"<({'|'.join(_TOOLS)}|thinking)>")
_FIELD = re.compile(r"<(\w{1,40})>")
_INTERRUPTED = "[Response interrupted by user]"


def of_model(blocks: list[JSONObject], own: str) -> list[JSONObject]:
    """The blocks of an answer; `own` begins the ids of calls that have none."""
    said = list[JSONObject]()
    for block in blocks:
        kind = block.get("type")
        if kind == "text":
            said += _spoken(text(block.get("text")), own)
        elif kind == "thinking":
            said += thought(block.get("thinking"))
        elif kind == "tool_use":
            said += _called(text(block.get("id")), text(block.get("name")), as_object(block.get("input")))
    for number, block in enumerate(each for each in said if each.get("id") == own):
        block["id"] = f"{own}/{number}"
    return said


def _spoken(words: str, own: str) -> Iterator[JSONObject]:
    """The words of a text, and what stands in it as XML; a call that was cut off goes to its end."""
    words, at = words.rstrip().removesuffix(_INTERRUPTED), 0
    found = _BEGINS.search(words)
    while found:
        yield from spoken(words[at : found.start()].strip())
        end, then = f"</{found[1]}>", _BEGINS.search(words, found.end())
        stop = words.rfind(end, found.end(), then.start() if then else len(words))
        if stop < 0:  # what it writes holds such a mark, or it was cut off
            stop = words.find(end, found.end())
        stop = len(words) if stop < 0 else stop
        inside, at = words[found.end() : stop], stop + len(end)
        yield from thought(inside.strip()) if found[1] == "thinking" else _called(own, found[1], _fields(inside))
        found = then if then and then.start() >= at else _BEGINS.search(words, at)
    yield from spoken(words[at:].strip())


def _fields(inside: str) -> JSONObject:
    """The fields of a call; one that has no end is the last."""
    fields, found = JSONObject(), _FIELD.search(inside)
    while found:
        end = f"</{found[1]}>"
        stop = inside.find(end, found.end())
        fields[found[1]] = inside[found.end() : stop if stop >= 0 else len(inside)].strip("\n")
        found = _FIELD.search(inside, stop + len(end)) if stop >= 0 else None
    return fields


def _called(own: str, name: str, given: JSONObject) -> Iterator[JSONObject]:
    shown = given.get(SHOWN.get(name, ""))
    if isinstance(shown, str):
        yield from spoken(shown.strip())
    else:
        yield {"type": "tool_use", "id": own, "name": name, "input": given}
