"""LangGraph's checkpoints and messages, kept in the store."""

from agentic_flywheel.integrations.langgraph.saver import FlywheelSaver

__all__ = ["FlywheelSaver"]
