"""Reads the parts of a message, in whatever way its program writes them: text, thoughts, calls, results, files.

A part is told by the name of its kind or, where it has none, by the field that holds it. Written from what these give
of themselves: OpenAI's two interfaces and Agents, Anthropic, Gemini, ADK, Bedrock and Strands, pydantic-ai, LangChain,
LlamaIndex, Semantic Kernel, Agent Framework, AutoGen, Haystack, agno, smolagents, AI SDK, A2A, Open WebUI.
"""

from collections.abc import Iterator
from typing import NamedTuple

from agentic_flywheel.documents.turn_values import (
    as_list,
    as_object,
    as_text,
    as_words,
    first_object,
    first_of,
    first_text,
    is_data,
    is_list,
    is_object,
)
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.plain_text import ellipsis

TEXT, SYSTEM, THINKING, CALL, RESULT, FILE, REFUSAL, OTHER = (
    "text", "system", "thinking", "calls", "result", "attachment", "refusal", "",
)  # fmt: skip

LONGEST_CALL = 300
"""Characters of a call's arguments that are shown; searched are all."""


class Part(NamedTuple):
    """Something that can be read; `words` is what of it is searched."""

    kind: str
    shown: str
    words: str


_KIND = ("type", "part_kind", "block_type", "content_type", "kind")
_NAME = ("name", "tool_name", "toolName", "function_name", "tool", "server_label")
_ARGUMENTS = ("arguments", "args", "input", "tool_kwargs", "tool_args", "action", "queries", "code", "parameters")
_OUTPUT = ("output", "result", "response", "content", "results", "outputs", "items", "errorText", "error")
_FILE_NAME = ("filename", "file_name", "fileName", "name", "title", "displayName", "display_name", "path")
_FILE_TEXT = ("extracted_content", "extracted_text", "extractedText", "text", "content")
_PLACE = ("url", "uri", "file_uri", "fileUri", "data_uri", "image_url", "file_id")
_MEDIA = ("media_type", "mime_type", "mimeType", "mediaType", "image_mimetype", "contentType", "format")

_CALLS = frozenset((
    "function_call", "custom_tool_call", "tool_use", "server_tool_use", "mcp_tool_use", "tool_call", "tool-call",
    "builtin-tool-call", "mcp_call", "web_search_call", "file_search_call", "computer_call", "code_interpreter_call",
    "local_shell_call", "shell_call", "apply_patch_call", "image_generation_call", "mcp_approval_request",
    "invalid_tool_call", "server_tool_call", "mcp_server_tool_call", "tool", "dynamic-tool", "tool-invocation",
))  # fmt: skip
_RESULTS = frozenset((
    "tool_result", "tool-result", "function_call_output", "custom_tool_call_output", "function_result",
    "tool-return", "builtin-tool-return", "retry-prompt", "computer_call_output", "local_shell_call_output",
    "shell_call_output", "apply_patch_call_output", "mcp_tool_result", "web_search_tool_result",
    "code_execution_tool_result", "server_tool_result", "mcp_server_tool_result",
))  # fmt: skip
_THINKING = frozenset(("thinking", "reasoning", "text_reasoning", "redacted_thinking", "thought", "summary_text"))
_TEXTS = frozenset((
    "text", "input_text", "output_text", "user-prompt", "summary", "reasoning_text", "transcript", "citable",
))  # fmt: skip
_FILES = frozenset((
    "image", "image_url", "image-url", "input_image", "file", "input_file", "audio", "input_audio", "audio-url",
    "document", "document-url", "video", "video-url", "binary", "data", "uri", "file_reference", "container_upload",
    "source-url", "source-document", "search_result", "media", "hosted_file", "local_image", "attachment",
    "image_asset_pointer", "audio_asset_pointer", "resource",
))  # fmt: skip
_SILENT = frozenset(("step-start", "step-finish", "cache", "cache-point", "snapshot", "patch", "usage", "annotation"))
_SAID = ("text", "content", "thinking", "reasoning", "reasoning_text", "summary", "reasoningText", "description")

_HELD_CALLS = ("toolUse", "functionCall", "function_call", "tool_call", "toolInvocation", "toolCall")
_HELD_RESULTS = (
    "toolResult", "functionResponse", "function_response", "tool_call_result", "codeExecutionResult",
    "code_execution_result", "toolResponse", "tool_response",
)  # fmt: skip
_HELD_FILES = (
    "inlineData", "inline_data", "fileData", "file_data", "image", "document", "video", "audio", "image_url", "file",
)  # fmt: skip


def kind_of(block: JSONObject) -> str:
    """The name of its kind, if it has one."""
    return first_text(block, _KIND)


def stands_alone(block: JSONObject) -> str:
    """The kind of a part that is a turn by itself, as calls, results and thoughts of OpenAI's Responses are."""
    kind = kind_of(block)
    for made, names in ((CALL, _CALLS - {"tool"}), (RESULT, _RESULTS), (THINKING, _THINKING)):
        if kind in names:
            return made
    return ""


_PLAINLY = ("text", None, "output_text", "input_text")


def texts_in(content: object) -> list[str] | None:
    """The texts of a list of nothing but texts, as most are; else `None`. It takes a tenth of the time of reading."""
    texts: list[str] = []
    for block in content if is_list(content) else [None]:
        text = block.get("text") if is_object(block) and block.get("type") in _PLAINLY else block
        if not isinstance(text, str) or (is_object(block) and "thought" in block):
            return None
        texts.append(text)
    return texts


def parts_in(value: object) -> Iterator[Part]:
    """The parts of a content: of a text, a part, or a list of them."""
    for block in value if is_list(value) else [value]:
        if is_object(block):
            yield from part_of(block)
        elif isinstance(block, str):
            if block:
                yield Part(TEXT, block, block)
        elif block is not None:
            yield _other(block)


def part_of(block: JSONObject) -> Iterator[Part]:
    """What can be read of one part, most often one."""
    kind = kind_of(block)
    if kind in _SILENT:
        return
    if kind in _THINKING or block.get("thought") is True:
        yield from thought(block)
    elif kind in _CALLS or (kind.startswith("tool-") and kind not in _RESULTS and "toolCallId" in block):
        held = as_object(block.get("toolInvocation")) or block
        yield from called(held, kind.removeprefix("tool-"))
    elif kind in _RESULTS:
        yield result(block)
    elif kind in ("refusal", "error"):
        said = first_text(block, ("refusal", "message", "text"))
        yield _labelled(REFUSAL if kind == "refusal" else "error", "", said, said)
    elif kind == "system-prompt":
        yield _labelled(SYSTEM, "", as_text(block.get("content")), as_words(block.get("content")))
    elif kind in _FILES:
        yield from _file_or_data(block)
    else:
        yield from (part for part in _without_kind(block, kind) if part.shown not in ("", "{}"))


def _without_kind(block: JSONObject, kind: str) -> Iterator[Part]:
    """A part that is told by the field that holds it."""
    if held := first_object(block, _HELD_CALLS):
        yield call(held)
    elif held := first_object(block, _HELD_RESULTS):
        yield result(held)
    elif held := first_object(block, ("reasoningContent", "reasoning")):
        yield from thought(as_object(held.get("reasoningText")) or held)
    elif held := first_object(block, ("citationsContent", "guardContent")):
        yield from parts_in(held.get("content") or held.get("text"))
    elif held := first_object(block, ("executableCode", "executable_code")):
        yield call({"name": "code"} | held)
    elif isinstance(said := block.get("text"), str) or kind in _TEXTS:
        yield from parts_in(said or block.get("content"))
    else:
        yield _of_fields(block)


def _of_fields(block: JSONObject) -> Part:
    """A part that is told by several of its fields."""
    data, held = block.get("data"), first_of(block, _HELD_FILES)
    if "arguments" in block and "name" in block:
        return call(block)
    if "content" in block and ("call_id" in block or "tool_call_id" in block):
        return result(block)
    if held:
        return file(as_object(held) or {"url": held}, block)
    if isinstance(data, str) or first_of(block, ("url", "raw", "filename", "data_uri")):
        return file(block)
    return _other(data if is_object(data) else block)


def thought(block: JSONObject) -> Iterator[Part]:
    """A thought; one that is encrypted is named."""
    value = first_of(block, _SAID)
    texts = [value] if isinstance(value, str) else as_list(value)
    texts = [text if isinstance(text, str) else first_text(as_object(text), _SAID) for text in texts]
    said = "\n".join(text for text in texts if text)
    yield _labelled(THINKING, "", said, said)


def call(block: JSONObject, name: str = "") -> Part:
    """A call of a tool: its name, the beginning of its arguments."""
    held = as_object(block.get("function")) or block
    name, arguments = first_text(held, _NAME) or name, first_of(held, _ARGUMENTS)
    given = ellipsis(as_text(arguments), LONGEST_CALL)
    return Part(
        CALL, f"({CALL} {name} {given})" if given else f"({CALL} {name})", f"{name} {as_words(arguments)}".strip()
    )


def result(block: JSONObject) -> Part:
    """What a tool answered."""
    name = first_text(block, _NAME) or first_text(as_object(block.get("origin")), _NAME)
    given = first_of(block, _OUTPUT)
    held = as_object(given)
    if held.get("type") in ("text", "json", "error-text", "content") and "value" in held:
        given = held["value"]
    elif set(held) in ({"result"}, {"output"}):
        given = first_of(held, ("result", "output"))
    return _labelled(RESULT, f"of {name}" if name else "", *_answered(given))


def file(block: JSONObject, around: JSONObject | None = None) -> Part:
    """A file: its name, where it is or what it is, and what was read in it."""
    fields = [
        block,
        *(as_object(block.get(name)) for name in ("file", "source", "data", "document", "image", "resource")),
    ]
    fields += [as_object(each.get("data")) for each in fields[1:]] + ([around] if around else [])
    fields += [as_object(block.get(name)) for name in ("image_url", "meta")]
    texts = [first_text(each, _FILE_TEXT) for each in fields]
    texts += [first_text(each, ("data",)) for each in fields if each.get("type") == "text"]
    said = next((text for text in texts if text and not is_data(text)), "")
    if not said and (blocks := as_list(block.get("content"))):
        said = "\n".join(text for each in blocks if (text := first_text(as_object(each), ("text",))))
    named = (first_text(each, names) for names in (_FILE_NAME, _PLACE) for each in fields)
    name = next((text for text in named if text and not is_data(text)), "")
    what = name or next((kind for each in fields if (kind := first_text(each, _MEDIA))), kind_of(block))
    return Part(FILE, f"({FILE} {what}) {said}".replace(" )", ")").rstrip(), f"{name} {said}".strip())


def _file_or_data(block: JSONObject) -> Iterator[Part]:
    """A part of a kind that may hold a file, or, in A2A, any data."""
    data = as_object(block.get("data"))
    yield _other(data) if kind_of(block) == "data" and data else file(block)


def called(block: JSONObject, name: str = "") -> Iterator[Part]:
    """A call, and what the tool answered, where both are one part."""
    block = block | as_object(block.get("state"))  # opencode keeps both there
    name = name.removesuffix("_call")
    yield call(block, name)
    if (answer := first_of(block, ("output", "result", "errorText", "outputs"))) is not None:
        yield result({"name": first_text(block, _NAME) or name, "output": answer})


def _answered(value: object) -> tuple[str, str]:
    """What a tool answered, as text and as words: text in blocks is text, all else JSON."""
    texts: list[str] = []
    for block in as_list(value):
        fields = as_object(block)
        if isinstance(block, str) or isinstance(fields.get("text"), str):
            texts.append(block if isinstance(block, str) else fields["text"])
        elif kind_of(fields) in _FILES or "image" in fields:
            texts.append(file(fields).shown)
        else:
            return as_text(value), as_words(value)
    if texts:
        return "\n".join(texts), "\n".join(texts)
    return as_text(value), as_words(value)


def _labelled(kind: str, more: str, shown: str, words: str) -> Part:
    label = f"({kind} {more})" if more else f"({kind})"
    return Part(kind, f"{label} {shown}".rstrip(), words)


def _other(value: object) -> Part:
    return Part(OTHER, as_text(value), as_words(value))
