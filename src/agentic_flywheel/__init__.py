"""Conversations that survive: an MCP server that keeps sessions and flow results."""

__version__ = "0.1.0"

__all__ = ["__version__"]
