"""Flow backends (Flowise, Langflow, custom) and the session they share."""

from agentic_flywheel.backends.base import BackendType, FlowStatus, UniversalSession

__all__ = ["BackendType", "FlowStatus", "UniversalSession"]
