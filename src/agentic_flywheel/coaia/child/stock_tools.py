"""The two verbs of coaiapy-mcp: its own where it is installed, imported when one is first called, else ours alike."""

# pyright: basic
# redis-py and coaiapy have no types; in strict mode every line that touches them would be an error.

import importlib.util
import sys
import threading
from typing import Any

import redis

Reply = dict[str, Any]


def stock_tools(client: Any) -> "CoaiapyTools | OwnTools":  # noqa: ANN401  it is untyped
    """`coaia_tash` and `coaia_fetch` over our Redis client, as this interpreter has them."""
    return OwnTools(client) if importlib.util.find_spec("coaiapy_mcp") is None else CoaiapyTools(client)


class OwnTools:
    """The verbs of an interpreter without coaiapy-mcp. They answer as its own do."""

    def __init__(self, client: Any) -> None:  # noqa: ANN401
        self._redis = client

    def coaia_tash(self, key: str, value: str) -> Reply:
        """Store text under a key, for ever."""
        self._redis.set(key, value)
        return {"success": True, "message": f"Stored '{key}' in Redis"}

    def coaia_fetch(self, key: str) -> Reply:
        """Fetch the text under a key."""
        value = self._redis.get(key)
        if value is None:
            return {"success": False, "error": f"Key '{key}' not found in Redis"}
        return {"success": True, "value": value}


class CoaiapyTools:
    """coaiapy-mcp's tools over our Redis client, imported when one is first called: that takes a second of a processor.

    Our own store calls none of them: it always tells how long a text is to live, which they do not take.
    """

    def __init__(self, client: Any) -> None:  # noqa: ANN401
        self._client = client
        self._module: Any = None
        self._one_at_a_time = threading.Lock()

    def coaia_tash(self, key: str, value: str) -> Reply:
        """Store text under a key, for ever."""
        return finish(self._get().coaia_tash(key, value))

    def coaia_fetch(self, key: str) -> Reply:
        """Fetch the text under a key."""
        return finish(self._get().coaia_fetch(key))

    def _get(self) -> Any:  # noqa: ANN401
        """The module `coaiapy_mcp.tools`."""
        with self._one_at_a_time:
            if self._module is None:
                try:
                    self._module = self._load()
                except Exception as exc:  # its import reads configuration and does much else
                    raise ImportError(f"coaiapy-mcp cannot be imported: {exc}") from exc
        return self._module

    def _load(self) -> Any:  # noqa: ANN401
        """Import it, and give it our client."""
        tools = load_tools()
        tools.redis_client = self._client
        tools.REDIS_AVAILABLE = True
        return tools


def load_tools() -> Any:  # noqa: ANN401
    """Import the module `coaiapy_mcp.tools` without its pings: a frozen Redis would hang them for ever."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)  # who answers meanwhile waits for the interpreter's lock a tenth as long
    ping = redis.Redis.ping
    redis.Redis.ping = lambda *_args, **_kwargs: True  # type: ignore[method-assign]
    try:
        from coaiapy_mcp import tools
    finally:
        redis.Redis.ping = ping
        sys.setswitchinterval(interval)
    return tools


def finish(coroutine: Any) -> Reply:  # noqa: ANN401
    """The reply of one of coaiapy's coroutines, which never wait for anything."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("a coaiapy tool waited")
