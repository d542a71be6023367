"""Names the tools that a client is told of, with what they do to stored data, and the shortest schemas that say it."""

from typing import Any

from mcp.server.mcpserver.tools import Tool
from mcp_types import ToolAnnotations

from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.server.arguments import offering_null
from agentic_flywheel.server.clients import MOST_SHOWN
from agentic_flywheel.server.offered import is_offered
from agentic_flywheel.server.sdk_internals import schemas_of, set_schemas
from agentic_flywheel.server.tools import Tools
from agentic_flywheel.settings import Settings

_READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
"""Changes no content. A resume also renews the session's life, as a read renews the time of a file's last use."""
_RESTORES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
"""Takes nothing away for good, and done twice it is done once."""
_DELETES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
_BEGINS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
"""Takes nothing away for good; without an id each call begins something new."""

_LONG = {"anthropic/maxResultSizeChars": MOST_SHOWN}
"""For Claude Code, which shows 50,000 characters of an answer, else its beginning: what larger ones it may show.

Answers of the default budget are below that anyway; this is for a `max_tokens` that asks for more."""

_AT_ONCE = {"anthropic/alwaysLoad": True}
"""For Claude Code, which otherwise shows a model the names of tools alone until it looks for one."""


def published(tools: Tools, settings: Settings) -> list[Tool]:
    """The tools, as far as the settings offer them."""
    delete = tools.delete_session if settings.ask == "auto" else tools.delete_unasked
    every = [
        _tool(tools.save_session, "Save a conversation", _BEGINS, _AT_ONCE),
        _tool(tools.resume_session, "Resume a conversation", _READS, _AT_ONCE | _LONG),
        _tool(tools.list_sessions, "List conversations", _READS, _LONG),
        _tool(delete, "Delete a conversation", _DELETES, name="delete_session"),
        _tool(tools.list_revisions, "List a conversation's revisions", _READS),
        _tool(tools.restore_session, "Restore a revision", _RESTORES),
        _tool(tools.fork_session, "Fork a conversation", _BEGINS),
        _tool(tools.cache_result, "Keep a flow result", _BEGINS),
        _tool(tools.get_result, "Get a flow result", _READS, _LONG),
        _tool(tools.get_flow_history, "Get a flow's results", _READS, _LONG),
        _tool(tools.persistence_status, "Where conversations are kept", _READS),
    ]
    return [tool for tool in every if is_offered(tool.name, settings.tools)]


def _tool(
    function: Any,  # noqa: ANN401  any tool's signature
    title: str,
    annotations: ToolAnnotations,
    meta: JSONObject | None = None,
    name: str | None = None,
) -> Tool:
    about = " ".join((function.__doc__ or "").split())
    tool = Tool.from_function(function, name, title, about, annotations=annotations, meta=meta)
    parameters, output = schemas_of(tool)
    set_schemas(
        tool,
        _arguments(parameters),
        _compact(output, null_where_required=True) if output else None,  # which clients check every answer against
    )
    return tool


def _arguments(schema: JSONObject) -> JSONObject:
    """The schema of a tool's arguments: closed. Free objects say that they are open, or strict clients close them."""
    short = _compact(schema)
    required = short.get("required", ())
    for name, kind in short["properties"].items():
        if schema["properties"][name].get("additionalProperties"):
            kind["additionalProperties"] = True
        short["properties"][name] = kind if name in required else offering_null(kind)
    return {**short, "additionalProperties": False}


def _compact(schema: JSONObject, *, null_where_required: bool = False, nullable: bool = False) -> JSONObject:
    """A schema without what no client needs: generated titles, nulls that mean absent, "anything goes"."""
    short = {name: value for name, value in schema.items() if (name, value) != ("additionalProperties", True)}
    short.pop("title", None)
    if "properties" in short:
        always = schema.get("required", ()) if null_where_required else ()
        short["properties"] = {
            name: _compact(value, nullable=name in always) for name, value in schema["properties"].items()
        }
    if "anyOf" in short and not nullable:
        (kind,) = [option for option in short.pop("anyOf") if option != {"type": "null"}]
        short |= kind
    if short.get("default", 0) in (None, ""):
        del short["default"]
    return short
