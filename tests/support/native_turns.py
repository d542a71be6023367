"""One talk in the turns of many programs and frameworks: shapes as they give them of themselves, words of our own.

Everywhere: the person asks, the assistant thinks, calls a tool that answers, and says it. What nobody should see is
`SEALED` or `PICTURE`; what only programs say is among `FIELDS`.
"""

from dataclasses import dataclass
from typing import Any

Turn = dict[str, Any]

ASKED, THOUGHT, FOUND, ANSWERED = (
    "Which ferns grow in deep shade?", "The bed faces north.", "ostrich fern, 120 cm", "Ostrich ferns do.",
)  # fmt: skip
SEALED = "Q0lQSEVSVEVYVA" * 20
PICTURE = "aVZCT1J3MEtHZ29BQUFB" * 20
DATA_URI = f"data:image/png;base64,{PICTURE}"
FIELDS = ("completed", "finish_reason", "signature", "stop", "kwargs", "toolCallId", "CIPHERTEXT", "base64")
CALL = {"plant": "fern"}
JSON = '{"plant":"fern"}'

THINKS, CALLS, RESULT, RESULT_OF = (
    f"(thinking) {THOUGHT}", f"(calls look_up {JSON})", f"(result) {FOUND}", f"(result of look_up) {FOUND}",
)  # fmt: skip


@dataclass(frozen=True)
class Shape:
    """A talk as a program has it, and what is shown of each turn: who, and the lines."""

    name: str
    turns: list[Turn]
    shown: list[tuple[str, str]]


def lines(*each: str) -> str:
    return "\n".join(each)


def langchain(form: str) -> list[Turn]:
    """Messages as LangChain gives them: by `dumpd`, `messages_to_dict` or `model_dump`."""
    call = {"name": "look_up", "args": CALL, "id": "call_1", "type": "tool_call"}
    more = {"additional_kwargs": {}, "response_metadata": {"finish_reason": "stop"}, "name": None, "id": None}
    ai_content = [{"type": "reasoning", "reasoning": THOUGHT, "extras": {"signature": SEALED}}]
    messages = [
        ("HumanMessage", "human", {"content": ASKED} | more),
        ("AIMessage", "ai", {"content": ai_content, "tool_calls": [call], "invalid_tool_calls": []} | more),
        ("ToolMessage", "tool", {"content": FOUND, "tool_call_id": "call_1", "status": "success"} | more),
        ("AIMessage", "ai", {"content": ANSWERED, "tool_calls": []} | more),
    ]
    if form == "dumpd":
        path = ["langchain", "schema", "messages"]
        return [
            {"lc": 1, "type": "constructor", "id": [*path, name], "kwargs": data | {"type": kind}}
            for name, kind, data in messages
        ]
    if form == "messages_to_dict":
        return [{"type": kind, "data": data | {"type": kind}} for _, kind, data in messages]
    return [data | {"type": kind} for _, kind, data in messages]


USUAL = [("user", ASKED), ("assistant", lines(THINKS, CALLS)), ("tool", RESULT_OF), ("assistant", ANSWERED)]
BARE_RESULT = [*USUAL[:2], ("tool", FOUND), USUAL[3]]
OPENAI_CALL = {"id": "call_1", "type": "function", "function": {"name": "look_up", "arguments": JSON}}
REASONING_ITEM = {
    "id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": THOUGHT}],
    "encrypted_content": SEALED, "status": "completed",
}  # fmt: skip
RESPONSES = [
    {"role": "user", "content": [
        {"type": "input_text", "text": ASKED}, {"type": "input_image", "image_url": DATA_URI}]},
    REASONING_ITEM,
    {"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": JSON,
     "status": "completed"},
    {"type": "function_call_output", "call_id": "call_1", "output": FOUND},
    {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed",
     "content": [{"type": "output_text", "text": ANSWERED, "annotations": [], "logprobs": []}]},
]  # fmt: skip
RESPONSES_SHOWN = [
    ("user", lines(ASKED, "(attachment input_image)")), ("assistant", THINKS), ("assistant", CALLS), ("tool", RESULT),
    ("assistant", ANSWERED),
]  # fmt: skip
ANTHROPIC = [
    {"role": "user", "content": [
        {"type": "text", "text": ASKED, "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}},
        {"type": "document", "title": "bed.txt", "source": {"type": "text", "data": "clay soil"}},
    ]},
    {"role": "assistant", "content": [
        {"type": "thinking", "thinking": THOUGHT, "signature": SEALED}, {"type": "redacted_thinking", "data": SEALED},
        {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": CALL},
    ]},
    {"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": FOUND}]}
    ]},
    {"role": "assistant", "content": [{"type": "text", "text": ANSWERED}]},
]  # fmt: skip
GEMINI = [
    {"role": "user", "parts": [{"text": ASKED}, {"inlineData": {"mimeType": "image/png", "data": PICTURE}}]},
    {"role": "model", "parts": [
        {"text": THOUGHT, "thought": True}, {"functionCall": {"name": "look_up", "args": CALL},
                                             "thoughtSignature": SEALED},
    ]},
    {"role": "user", "parts": [{"functionResponse": {"name": "look_up", "response": {"result": FOUND}}}]},
    {"role": "model", "parts": [{"text": ANSWERED}]},
]  # fmt: skip
GEMINI_SHOWN = [
    ("user", lines(ASKED, "(attachment image/png)")), ("model", lines(THINKS, CALLS)), ("user", RESULT_OF),
    ("model", ANSWERED),
]  # fmt: skip


def adk(author: str, role: str, *parts: Turn, snake: bool = False) -> Turn:
    """An event as Google ADK dumps it, with what is not set."""
    unset = {"error_code": None} if snake else {"errorCode": None, "finishReason": None, "output": None}
    content = {"parts": [*parts], "role": role}
    return {"content": content, "author": author, "id": f"e-{author}-{len(parts)}", "actions": {}} | unset


TEXT_NONE = {"functionCall": None, "functionResponse": None, "inlineData": None, "text": None, "thought": None}
ADK = [
    adk("user", "user", TEXT_NONE | {"text": ASKED}),
    adk("gardener", "model", TEXT_NONE | {"text": THOUGHT, "thought": True, "thoughtSignature": SEALED},
        TEXT_NONE | {"functionCall": {"id": "call_1", "name": "look_up", "args": CALL, "willContinue": None}}),
    adk("gardener", "user", {"function_response": {"name": "look_up", "response": {"result": FOUND}}}, snake=True),
    adk("gardener", "model", TEXT_NONE | {"text": ANSWERED}),
]  # fmt: skip
PYDANTIC_AI = [
    {"kind": "request", "state": "complete", "instructions": None, "parts": [
        {"part_kind": "system-prompt", "content": "Be brief.", "timestamp": "2026-11-29T18:00:00Z"},
        {"part_kind": "user-prompt", "timestamp": "2026-11-29T18:00:00Z", "content": [
            ASKED, {"kind": "binary", "data": PICTURE, "media_type": "image/png", "identifier": "a9993e"},
            {"kind": "image-url", "url": "https://example.org/bed.png", "media_type": "image/png"},
        ]},
    ]},
    {"kind": "response", "finish_reason": "stop", "state": "complete", "usage": {"input_tokens": 7}, "parts": [
        {"part_kind": "thinking", "content": THOUGHT, "signature": SEALED, "id": None},
        {"part_kind": "tool-call", "tool_name": "look_up", "args": JSON, "tool_call_id": "call_1"},
    ]},
    {"kind": "request", "parts": [
        {"part_kind": "tool-return", "tool_name": "look_up", "content": FOUND, "outcome": "success"},
    ]},
    {"kind": "response", "parts": [{"part_kind": "text", "content": ANSWERED, "citations": None}]},
]  # fmt: skip
LLAMA_INDEX = [
    {"role": "user", "additional_kwargs": {}, "blocks": [
        {"block_type": "text", "text": ASKED},
        {"block_type": "image", "image": PICTURE, "path": None, "url": None, "image_mimetype": "image/png"}]},
    {"role": "assistant", "additional_kwargs": {}, "blocks": [
        {"block_type": "thinking", "content": THOUGHT, "num_tokens": None, "additional_information": {}},
        {"block_type": "tool_call", "tool_call_id": "call_1", "tool_name": "look_up", "tool_kwargs": CALL}]},
    {"role": "tool", "additional_kwargs": {"tool_call_id": "call_1"}, "blocks": [
        {"block_type": "text", "text": FOUND}]},
    {"role": "assistant", "additional_kwargs": {}, "blocks": [{"block_type": "text", "text": ANSWERED}]},
]  # fmt: skip
SEMANTIC_KERNEL = [
    {"content_type": "message", "role": role, "finish_reason": None, "metadata": {}, "items": [
        {"ai_model_id": None, "metadata": {}} | item for item in items]}
    for role, *items in (
        ("user", {"content_type": "text", "text": ASKED},
         {"content_type": "image", "uri": None, "data_uri": f"data:image/png;,{PICTURE}"}),
        ("assistant", {"content_type": "reasoning", "text": THOUGHT},
         {"content_type": "function_call", "id": "call_1", "name": "look_up", "plugin_name": "p", "arguments": CALL}),
        ("tool", {"content_type": "function_result", "id": "call_1", "result": FOUND, "name": "look_up"}),
        ("assistant", {"content_type": "text", "text": ANSWERED, "encoding": None}),
    )
]  # fmt: skip
AGENT_FRAMEWORK = [
    {"type": "message", "role": role, "additional_properties": {}, "contents": [*contents]}
    for role, *contents in (
        ("user", {"type": "text", "text": ASKED}, {"type": "data", "uri": DATA_URI, "media_type": "image/png"}),
        ("assistant", {"type": "text_reasoning", "text": THOUGHT, "protected_data": SEALED},
         {"type": "function_call", "call_id": "call_1", "name": "look_up", "arguments": JSON, "hosted": False}),
        ("tool", {"type": "function_result", "call_id": "call_1", "result": FOUND,
                  "items": [{"type": "text", "text": FOUND}]}),
        ("assistant", {"type": "text", "text": ANSWERED}, {"type": "usage", "usage_details": {"completed": 1}}),
    )
]  # fmt: skip
AUTOGEN_CALL = {"id": "call_1", "arguments": JSON, "name": "look_up"}
AUTOGEN = [
    {"id": str(number), "models_usage": None, "metadata": {}, "created_at": "2026-11-29T18:00:00Z"} | message
    for number, message in enumerate((
        {"source": "user", "content": [ASKED, {"data": PICTURE}], "type": "MultiModalMessage"},
        {"source": "gardener", "content": [AUTOGEN_CALL], "type": "ToolCallRequestEvent"},
        {"source": "gardener", "type": "ToolCallExecutionEvent",
         "content": [{"content": FOUND, "name": "look_up", "call_id": "call_1", "is_error": False}]},
        {"source": "gardener", "content": ANSWERED, "type": "TextMessage"},
    ))
]  # fmt: skip
HAYSTACK = [
    {"role": role, "meta": {"finish_reason": "stop"}, "name": None, "_content" if old else "content": [part]}
    for old, role, part in (
        (True, "user", {"text": ASKED}),
        (False, "assistant", {"reasoning": {"reasoning_text": THOUGHT, "extra": {"signature": SEALED}}}),
        (False, "assistant", {"tool_call": {"tool_name": "look_up", "arguments": CALL, "id": "call_1"}}),
        (True, "tool", {"tool_call_result": {"result": FOUND, "error": False, "origin": {"tool_name": "look_up"}}}),
        (False, "assistant", {"text": ANSWERED}),
    )
]  # fmt: skip
STRANDS = [
    {"role": "user", "content": [
        {"text": ASKED}, {"image": {"format": "png", "source": {"bytes": PICTURE}}}, {"cachePoint": {"type": "x"}}]},
    {"role": "assistant", "content": [
        {"reasoningContent": {"reasoningText": {"text": THOUGHT, "signature": SEALED}}},
        {"toolUse": {"toolUseId": "call_1", "name": "look_up", "input": CALL}}]},
    {"role": "user", "content": [
        {"toolResult": {"toolUseId": "call_1", "status": "success", "content": [{"text": FOUND}]}}]},
    {"role": "assistant", "content": [{"text": ANSWERED}]},
]  # fmt: skip
SMOLAGENTS = [
    {"task": ASKED, "task_images": None},
    {"step_number": 1, "timing": {"start_time": 0}, "model_input_messages": [{"role": "user", "content": "a prompt"}],
     "tool_calls": [OPENAI_CALL], "error": None, "model_output": THOUGHT, "observations": FOUND,
     "model_output_message": {"role": "assistant", "content": THOUGHT}, "is_final_answer": False},
    {"step_number": 2, "model_output": ANSWERED, "tool_calls": None, "error": {"type": "E", "message": "too long"}},
]  # fmt: skip
AI_SDK = [
    {"id": "m1", "role": "user", "parts": [
        {"type": "text", "text": ASKED},
        {"type": "file", "mediaType": "image/png", "filename": "bed.png", "url": DATA_URI}]},
    {"id": "m2", "role": "assistant", "parts": [
        {"type": "step-start"}, {"type": "reasoning", "text": THOUGHT, "state": "done"},
        {"type": "tool-look_up", "toolCallId": "call_1", "state": "output-available", "input": CALL, "output": FOUND},
        {"type": "text", "text": ANSWERED, "state": "done"},
        {"type": "source-url", "sourceId": "s1", "url": "https://example.org/ferns", "title": "Ferns"}]},
]  # fmt: skip
A2A = [
    {"kind": "message", "messageId": "m1", "role": "user", "parts": [
        {"kind": "text", "text": ASKED},
        {"kind": "file", "file": {"name": "bed.png", "mimeType": "image/png", "bytes": PICTURE}}]},
    {"messageId": "m2", "role": "ROLE_AGENT", "parts": [{"text": ANSWERED}, {"data": {"height": "120 cm"}}]},
]  # fmt: skip
OPEN_WEBUI = [
    {"role": "user", "content": "", "attachments": [{"name": "pots.md", "extracted_content": "ragwort in pots"}]},
    {"role": "user", "content": ASKED, "files": [
        {"type": "file", "id": "f1", "file": {"filename": "bed.txt", "data": {"content": "clay soil"}}}]},
    {"role": "assistant", "content": ANSWERED, "refusal": "Not the weather."},
]  # fmt: skip

MESSAGE_CALL = {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": CALL}
PROGRAMS = [
    Shape("Claude Code", [
        {"type": "user", "uuid": "1", "parentUuid": None, "message": {"role": "user", "content": ASKED}},
        {"type": "assistant", "uuid": "2", "message": {"id": "m", "role": "assistant", "content": [MESSAGE_CALL]}},
    ], [USUAL[0], ("assistant", CALLS)]),
    Shape("Codex", [
        {"type": "response_item", "ordinal": 1, "payload": {"type": "message", "role": "user", "content": [
            {"type": "input_text", "text": ASKED}]}},
        {"type": "response_item", "payload": REASONING_ITEM},
        {"type": "event_msg", "payload": {"type": "item_completed", "item": {"type": "AgentMessage", "content": [
            {"type": "Text", "text": ANSWERED}]}}},
    ], [USUAL[0], ("assistant", THINKS), USUAL[3]]),
    Shape("Gemini CLI", [
        {"id": "1", "type": "user", "content": ASKED},
        {"id": "2", "type": "gemini", "content": ANSWERED, "thoughts": [{"subject": "Bed", "description": THOUGHT}],
         "toolCalls": [{"id": "c", "name": "look_up", "args": CALL, "result": FOUND, "status": "success"}]},
    ], [USUAL[0], ("assistant", lines(THINKS, ANSWERED, CALLS, RESULT_OF))]),
    Shape("Qwen Code", [{"uuid": str(n), "type": "user", "message": turn} for n, turn in enumerate(GEMINI)],
          GEMINI_SHOWN),
    Shape("opencode", [
        {"info": {"id": "msg_1", "role": "user"}, "parts": [{"id": "prt_1", "type": "text", "text": ASKED}]},
        {"info": {"role": "assistant"}, "parts": [
            {"type": "step-start"}, {"type": "reasoning", "text": THOUGHT},
            {"type": "tool", "tool": "look_up", "state": {"status": "completed", "input": CALL, "output": FOUND}}]},
    ], [USUAL[0], ("assistant", lines(THINKS, CALLS, RESULT_OF))]),
    Shape("Langflow", [
        {"sender": "User", "text": ASKED, "files": "[]", "category": "message", "properties": {"state": "complete"}},
        {"sender": "Machine", "text": ANSWERED, "content_blocks": []},
    ], [("User", ASKED), ("Machine", ANSWERED)]),
    Shape("Claude's export", [
        {"uuid": "1", "sender": "human", "text": ASKED, "content": [{"type": "text", "text": ASKED}],
         "attachments": [{"file_name": "bed.txt", "extracted_content": "clay soil"}],
         "files": [{"file_name": "b.png"}]},
    ], [("human", lines(ASKED, "(attachment bed.txt) clay soil", "(attachment b.png)"))]),
    Shape("ChatGPT's export", [
        {"author": {"role": "user", "name": None}, "content": {"content_type": "text", "parts": [ASKED]}},
        {"author": {"role": "assistant"}, "content": {"content_type": "thoughts", "thoughts": [{"content": THOUGHT}]}},
    ], [USUAL[0], ("assistant", THINKS)]),
    Shape("ShareGPT", [{"from": "human", "value": ASKED}, {"from": "gpt", "value": ANSWERED}],
          [("human", ASKED), ("gpt", ANSWERED)]),
    Shape("AI SDK, model messages", [
        {"role": "user", "content": [{"type": "text", "text": ASKED}]},
        {"role": "assistant", "content": [
            {"type": "tool-call", "toolCallId": "call_1", "toolName": "look_up", "input": CALL}]},
        {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "call_1", "toolName": "look_up",
                                      "output": {"type": "text", "value": FOUND}}]},
    ], [USUAL[0], ("assistant", CALLS), USUAL[2]]),
]  # fmt: skip

SHAPES = [
    *PROGRAMS,
    Shape("plain", [{"role": "user", "content": ASKED}, {"role": "assistant", "content": ANSWERED, "ts": 7}],
          [("user", ASKED), ("assistant", f'{ANSWERED} {{"ts":7}}')]),
    Shape("OpenAI chat", [
        {"role": "user", "content": [{"type": "text", "text": ASKED}, {"type": "image_url", "image_url": {
            "url": DATA_URI}}, {"type": "file", "file": {"filename": "bed.pdf", "file_data": DATA_URI}}]},
        {"role": "assistant", "content": None, "refusal": None, "reasoning_content": THOUGHT,
         "tool_calls": [OPENAI_CALL]},
        {"role": "tool", "tool_call_id": "call_1", "content": FOUND},
        {"role": "assistant", "content": [{"type": "text", "text": ANSWERED}, {"type": "refusal", "refusal": "No."}]},
    ], [("user", lines(ASKED, "(attachment image_url)", "(attachment bed.pdf)")), USUAL[1],
        ("tool", f'{FOUND} {{"tool_call_id":"call_1"}}'), ("assistant", lines(ANSWERED, "(refusal) No."))]),
    Shape("Responses", RESPONSES, RESPONSES_SHOWN),
    Shape("OpenAI Agents", [
        {"role": "user", "content": ASKED}, {**RESPONSES[2], "id": "__fake_id__"}, RESPONSES[3],
        {**RESPONSES[4], "id": "__fake_id__"}], [USUAL[0], *RESPONSES_SHOWN[2:]]),
    Shape("Anthropic", ANTHROPIC, [
        ("user", lines(ASKED, "(attachment image/png)", "(attachment bed.txt) clay soil")),
        ("assistant", lines(THINKS, "(thinking)", CALLS)), ("user", RESULT), USUAL[3]]),
    Shape("Gemini", GEMINI, GEMINI_SHOWN),
    Shape("Google ADK", ADK, [
        ("user", ASKED), ("gardener", lines(THINKS, CALLS)), ("gardener", RESULT_OF), ("gardener", ANSWERED)]),
    Shape("pydantic-ai", PYDANTIC_AI, [
        ("user", lines("(system) Be brief.", ASKED, "(attachment image/png)",
                       "(attachment https://example.org/bed.png)")), *USUAL[1:]]),
    *(Shape(f"LangChain {form}", langchain(form), BARE_RESULT) for form in ("dumpd", "messages_to_dict", "model_dump")),
    Shape("LlamaIndex", LLAMA_INDEX, [("user", lines(ASKED, "(attachment image/png)")), *BARE_RESULT[1:]]),
    Shape("Semantic Kernel", SEMANTIC_KERNEL, [("user", lines(ASKED, "(attachment image)")), *USUAL[1:]]),
    Shape("Agent Framework", AGENT_FRAMEWORK, [
        ("user", lines(ASKED, "(attachment image/png)")), USUAL[1], ("tool", RESULT), USUAL[3]]),
    Shape("AutoGen", AUTOGEN, [
        ("user", lines(ASKED, "(attachment)")), ("gardener", CALLS), ("gardener", RESULT_OF), ("gardener", ANSWERED)]),
    Shape("Haystack", HAYSTACK, [
        ("user", ASKED), ("assistant", THINKS), ("assistant", CALLS), ("tool", RESULT_OF), USUAL[3]]),
    Shape("Strands", STRANDS, [
        ("user", lines(ASKED, "(attachment png)")), ("assistant", lines(THINKS, CALLS)), ("user", RESULT), USUAL[3]]),
    Shape("agno", [
        {"role": "user", "content": ASKED, "images": [{"content": PICTURE, "mime_type": "image/png"}]},
        {"role": "assistant", "content": ANSWERED, "reasoning_content": THOUGHT, "tool_calls": [OPENAI_CALL]},
    ], [("user", lines(ASKED, "(attachment image/png)")), ("assistant", lines(THINKS, ANSWERED, CALLS))]),
    Shape("smolagents", SMOLAGENTS, [
        ("user", ASKED), ("assistant", lines(THOUGHT, CALLS, RESULT)),
        ("assistant", lines(ANSWERED, "(error) too long"))]),
    Shape("AI SDK", AI_SDK, [
        ("user", lines(ASKED, "(attachment bed.png)")),
        ("assistant", lines(THINKS, CALLS, RESULT_OF, ANSWERED, "(attachment Ferns)"))]),
    Shape("A2A", A2A, [
        ("user", lines(ASKED, "(attachment bed.png)")), ("ROLE_AGENT", lines(ANSWERED, '{"height":"120 cm"}'))]),
    Shape("Open WebUI", OPEN_WEBUI, [
        ("user", "(attachment pots.md) ragwort in pots"), ("user", lines(ASKED, "(attachment bed.txt) clay soil")),
        ("assistant", lines(ANSWERED, "(refusal) Not the weather."))]),
]  # fmt: skip
