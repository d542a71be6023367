"""LangGraph's checkpoints and LangChain's messages, kept in the store."""

from agentic_flywheel.integrations.langgraph.chat_history import FlywheelChatMessageHistory
from agentic_flywheel.integrations.langgraph.saver import FlywheelSaver

__all__ = ["FlywheelChatMessageHistory", "FlywheelSaver"]
