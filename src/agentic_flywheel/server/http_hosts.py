"""Refuses requests that a foreign web page makes a browser send: by the Host and Origin of each, on every address.

A page that has its own name point to this machine (DNS rebinding) sends that name as Host, and its origin.
"""

import re
from collections.abc import Collection

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^:\[\]]+)(?::\d{0,5})?")
_LOCAL_ORIGIN = re.compile(r"https?://(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?")


class HostCheck:
    """The hosts and origins of requests that are answered."""

    def __init__(self, hosts: Collection[str], origins: Collection[str]) -> None:
        self._hosts = frozenset(hosts)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    def host_problem(self, hosts: list[str]) -> str:
        """What is wrong with the Host headers of a request; empty if nothing is."""
        host = hosts[0].lower() if len(hosts) == 1 else ""
        name = _HOST.fullmatch(host)
        if host and (host in self._hosts or (name and name[1] in self._hosts)):
            return ""
        return "This host is not served. Whoever runs the server can add it: --allowed-host NAME."

    def origin_problem(self, origins: list[str]) -> str:
        """What is wrong with the Origin headers of a request; empty if nothing is, as where a browser sent none."""
        if not origins:
            return ""
        origin = origins[0].lower() if len(origins) == 1 else ""
        if origin and (origin in self._origins or _LOCAL_ORIGIN.fullmatch(origin)):
            return ""
        return "Pages of this origin are not served. Whoever runs the server can add it: --allowed-origin ORIGIN."

    def allows(self, origins: list[str]) -> str:
        """The origin to which a browser may show an answer; empty if there is none."""
        return origins[0] if origins and not self.origin_problem(origins) else ""
