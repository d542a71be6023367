"""Puts the messages of ChatGPT together that a person saw as one answer: thoughts, calls, their results and words."""

from typing import cast

from agentic_flywheel.json_text import JSONObject


def answers(history: list[JSONObject], model: object) -> list[JSONObject]:
    """The turns, one for each answer; `end_turn` ends one, and leaves.

    An answer has the id of its first words, which it keeps when it grows. The `model` of the talk is not repeated.
    """
    groups: list[list[JSONObject]] = []
    is_open = False
    for turn in history:
        is_part = turn["role"] in ("assistant", "tool")
        if is_part and is_open:
            groups[-1].append(turn)
        else:
            groups.append([turn])
        is_open = is_part and not turn.pop("end_turn", False)
        turn.pop("end_turn", None)
    made = [_one(group) for group in groups]
    for turn in made:
        if turn.get("model") == model:
            turn.pop("model", None)
    return made


def _one(group: list[JSONObject]) -> JSONObject:
    spoken = [turn for turn in group if turn["role"] == "assistant"]
    if len(group) == 1 or not spoken:
        return group[0]
    first = next((turn for turn in spoken if _has_words(turn)), spoken[0])
    blocks: list[JSONObject] = []
    for turn in group:
        said = turn["content"]
        blocks += [{"type": "text", "text": said}] if isinstance(said, str) else cast("list[JSONObject]", said)
    _pair(blocks)
    texts = [block["text"] for block in blocks if block["type"] == "text"]
    whole = "\n\n".join(texts) if len(texts) == len(blocks) else blocks
    given = (turn.get("attachments") for turn in group)
    attachments = [each for some in given if isinstance(some, list) for each in cast("list[object]", some)]
    return first | {"content": whole} | ({"attachments": attachments} if attachments else {})


def _has_words(turn: JSONObject) -> bool:
    said = turn["content"]
    return isinstance(said, str) or any(block.get("type") == "text" for block in cast("list[JSONObject]", said))


def _pair(blocks: list[JSONObject]) -> None:
    """Let each result name the call that it answers: the last one of its tool, or else the last one."""
    calls: dict[str, object] = {}
    for place, block in enumerate(blocks):
        name = str(block.get("name"))
        if block["type"] == "tool_use" and block.get("id"):
            calls[name] = calls[""] = block["id"]
        elif block["type"] == "tool_result" and "tool_use_id" not in block:
            call = calls.get(name, calls.get(""))
            blocks[place] = {"type": "tool_result"} | ({"tool_use_id": call} if call else {}) | block
