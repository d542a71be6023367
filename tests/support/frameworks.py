"""Turns as agent frameworks give them of themselves."""

from typing import Any

Turn = dict[str, Any]


def human(text: str) -> Turn:
    """A message as LangChain's `dumpd` gives it: the id is the path of its class."""
    path = ["langchain", "schema", "messages", "HumanMessage"]
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": {"content": text, "type": "human"}}


def ai(text: str) -> Turn:
    """Another of its kinds, with an id of its own further down."""
    path = ["langchain", "schema", "messages", "AIMessage"]
    kwargs = {"content": text, "type": "ai", "id": f"run--{text}", "tool_calls": []}
    return {"lc": 1, "type": "constructor", "id": path, "kwargs": kwargs}


def asked(text: str) -> Turn:
    """An input item of OpenAI Agents, as `to_input_list` gives it."""
    return {"content": text, "role": "user"}


def answered(text: str) -> Turn:
    """Its output item with a Chat Completions model: all of them have one id."""
    content = [{"annotations": [], "text": text, "type": "output_text"}]
    return {"id": "__fake_id__", "content": content, "role": "assistant", "status": "completed", "type": "message"}


def called(number: int) -> list[Turn]:
    """A call of a tool and its result."""
    call = {"arguments": "{}", "call_id": f"call_{number}", "name": "weather", "type": "function_call"}
    result = {"call_id": f"call_{number}", "output": "sun", "type": "function_call_output"}
    return [call | {"id": "__fake_id__"}, result]


NATIVE = {
    "LangChain": [human("a"), ai("b"), human("c"), ai("d"), human("e"), ai("f")],
    "OpenAI Agents": [asked("a"), *called(1), answered("b"), asked("c"), *called(2), answered("d")],
    "OpenAI Agents, the same answer again": [asked("a"), answered("Done."), asked("b"), answered("Done.")],
    "counters that start anew": [
        {"id": number, "content": f"{run}{number}"} for run in ("first run", "second run") for number in range(3)
    ],
    "an answer that grows": [{"content": "a"}, *({"id": "msg_1", "content": "word " * n} for n in range(1, 5))],
}  # fmt: skip
