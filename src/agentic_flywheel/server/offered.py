"""Says which tools are offered: all, or only those for conversations (`FLYWHEEL_TOOLS`)."""

from typing import Any

FLOW_TOOLS = frozenset({"cache_result", "get_result", "get_flow_history"})
"""What keeps and reads the results of flows."""


def is_offered(tool: str, setting: str) -> bool:
    """Whether a tool of this name is there with this value of the setting."""
    return setting == "all" or tool not in FLOW_TOOLS


def offered(result: dict[str, Any], setting: str) -> dict[str, Any]:
    """A prepared result with the tools that are offered, if it lists tools."""
    if "tools" not in result:
        return result
    return result | {"tools": [tool for tool in result["tools"] if is_offered(tool["name"], setting)]}
