"""Knows how much of an answer each client shows its model, by the name that the client gives itself.

Measured with the programs, in the releases named: a long answer was given, and what stood in the request to the model
was looked at. Continue, the AI SDK, Mastra, LangChain, Agno, DSPy, BeeAI, OpenHands and Hermes show everything, as Kilo
does of what we send; what is not named here is not known. Mistral Vibe 3.0.3 shows 16,000 characters, but names itself
`mcp`, as every program of that library does that says nothing else.
"""

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from agentic_flywheel.server.sdk_internals import CallNext, HandlerResult, ServerRequestContext
from agentic_flywheel.sessions.budget import BYTES_PER_TOKEN, DEFAULT_TOKENS

CLIENT_INFO = "io.modelcontextprotocol/clientInfo"
CODEX_TURN = "x-codex-turn-metadata"
"""What Codex says of each call, the model's name among it."""

LONGEST_NAME = 200
"""Characters of the name of a client or a model that are looked at."""

MOST_SHOWN = 500_000
"""Characters of an answer that Claude Code shows of a tool which asks for it, as all of ours with long answers do."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a client shows: bytes of each form of an answer, and whether the model may read the rest in a file."""

    size: int
    keeps_the_rest: bool = False
    line: int = 0
    """Characters of a line, where it cuts each that is longer; with room for those that it counts as two."""


CLIENTS: tuple[tuple[str, str, Shown], ...] = (
    # a part of the client's name (all of it between `=`), the beginning of the model's
    ("claude-code", "", Shown(MOST_SHOWN - 20_000, keeps_the_rest=True)),  # 2.1.332; other tools: 50,000 characters
    ("gemini-cli", "", Shown(39_500, keeps_the_rest=True)),  # 0.61.0: 40,000 characters of the text
    ("opencode", "", Shown(50_000, keeps_the_rest=True)),  # 1.18.33: 50 KB of the text
    ("qwen-c", "", Shown(13_500, keeps_the_rest=True)),  # 0.24.4: 28,000 characters of both forms together
    ("cline", "", Shown(3_600)),  # CLI 3.0.65: 8,000 characters of the whole result as JSON, both forms in it
    ("codex", "gpt-5", Shown(47_000)),  # 0.171.0: 48,000 bytes of the structured content
    ("codex", "gpt-6", Shown(18_000)),  # 40,000 characters of both forms, which a program of the model's writes out
    ("codex", "", Shown(11_000)),  # a model that Codex does not know: 12,000 bytes
    ("=pi=", "", Shown(19_000, keeps_the_rest=True)),  # 1.6.0: 20 KiB of the text; a script's output, 40,000 characters
    ("openclaw", "", Shown(9_000)),  # 2026.9.6: the first 20,000 characters of the JSON in lines, as a JSON text
    ("kimi-code", "", Shown(45_000, keeps_the_rest=True, line=950)),  # 2.1.0: of over 50,000, 2,000 of each line
    ("nanocoder", "", Shown(19_500)),  # 1.30.0: 20,000 characters of the text
    ("fast-agent", "", Shown(15_500)),  # 0.10.48: 16,000 bytes of the structured content
)

_shown: ContextVar[Shown | None] = ContextVar("shown", default=None)


def shown_now() -> Shown | None:
    """What the client of this request shows, if that is known."""
    return _shown.get()


def budget_of(max_tokens: int) -> tuple[int, bool]:
    """The budget of an answer, and whether all of it must fit: what was asked for, else what the client shows."""
    shown = _shown.get()
    if shown is None or max_tokens != DEFAULT_TOKENS or shown.size >= DEFAULT_TOKENS * BYTES_PER_TOKEN:
        return max_tokens, False
    return shown.size // BYTES_PER_TOKEN, True


@lru_cache(64)  # each request asks
def shown_by(client: str, model: str = "") -> Shown | None:
    """What a client of that name shows."""
    client, model = "=" + client.lower().replace(" ", "-").replace("_", "-") + "=", model.lower()
    matching = (shown for name, begin, shown in CLIENTS if name in client and model.startswith(begin))
    return next(matching, None)


async def note_client(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """The middleware: notes for each request which client it is of, by `initialize` or by the request itself."""
    meta = _object((ctx.params or {}).get("_meta"))
    handshake = ctx.session.client_params
    name = handshake.client_info.name if handshake else _object(meta.get(CLIENT_INFO)).get("name")
    model = _object(meta.get(CODEX_TURN)).get("model")
    token = _shown.set(shown_by(str(name or "")[:LONGEST_NAME], str(model or "")[:LONGEST_NAME]))
    try:
        return await call_next(ctx)
    finally:
        _shown.reset(token)


def _object(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
