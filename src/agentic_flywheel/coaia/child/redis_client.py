"""Makes the child's Redis client: it tries nothing twice and waits for nothing long, whatever redis-py is installed.

redis-py's own defaults move: version 8 tries ten times more, asks for a protocol that Redis has only since 6.0, and
allows a hundred connections in the life of a pool. So all that matters is set here.
"""

# pyright: basic
# redis-py has no types that hold for all its versions; in strict mode every line that touches it would be an error.

import inspect
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

MOST_CONNECTIONS = 2**31
"""As good as no limit: each of our threads has one at the most, yet some versions count all that there ever were."""

OF_NEWER_CLIENTS: dict[str, Any] = {"protocol": 2, "driver_info": None}
"""What redis-py 4 does not take: later ones ask for a protocol that Redis has only since 6.0, and tell their name."""


def connect(url: str, timeout: float, *, cluster: bool) -> Any:  # noqa: ANN401  it is untyped
    """A client of the Redis at `url`, or of its cluster, that waits `timeout` seconds for an answer."""
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": timeout,
        "health_check_interval": 30,
        "max_connections": MOST_CONNECTIONS,
        "retry": Retry(NoBackoff(), 0),  # a write that may have arrived is for the parent to repeat
        "retry_on_timeout": False,
    }
    known = inspect.signature(redis.Redis.__init__).parameters
    options |= {name: value for name, value in OF_NEWER_CLIENTS.items() if name in known}
    if not url.startswith("unix:"):  # whose connection takes no such option
        options["socket_connect_timeout"] = timeout
    if cluster:
        from cluster import Cluster

        return Cluster.from_url(url, **options)
    return redis.from_url(url, **options)
