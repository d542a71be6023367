"""The store as a library for other programs, and what they do in Langfuse."""

from typing import TYPE_CHECKING, Any

from agentic_flywheel.integrations.redis_state import RedisConfig, RedisExecutionCache, RedisSessionManager

if TYPE_CHECKING:  # imported when it is asked for
    from agentic_flywheel.integrations.langfuse_tracer import (
        LangfuseObservation,
        LangfuseScore,
        LangfuseTracerManager,
        get_current_trace_id,
        trace_mcp_tool,
    )

__all__ = [
    "LangfuseObservation",
    "LangfuseScore",
    "LangfuseTracerManager",
    "RedisConfig",
    "RedisExecutionCache",
    "RedisSessionManager",
    "get_current_trace_id",
    "trace_mcp_tool",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401  what a module has
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from agentic_flywheel.integrations import langfuse_tracer

    return getattr(langfuse_tracer, name)
