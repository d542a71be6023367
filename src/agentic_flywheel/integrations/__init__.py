"""The store as a library for other programs."""

from agentic_flywheel.integrations.redis_state import RedisConfig, RedisExecutionCache, RedisSessionManager

__all__ = ["RedisConfig", "RedisExecutionCache", "RedisSessionManager"]
