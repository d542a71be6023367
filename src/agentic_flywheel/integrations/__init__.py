"""Ways for other programs to use the store as a library."""

from agentic_flywheel.integrations.redis_state import RedisConfig, RedisExecutionCache, RedisSessionManager

__all__ = ["RedisConfig", "RedisExecutionCache", "RedisSessionManager"]
