"""Says whose tokens are taken (RFC 9728), so that a client with a browser can get one by itself."""

import json
from urllib.parse import urlsplit

from agentic_flywheel.server.http_options import PATH, HTTPOptions

WELL_KNOWN = "/.well-known/"
"""What the addresses begin with at which clients look for such documents."""

_RESOURCE = f"{WELL_KNOWN}oauth-protected-resource"


class ResourceMetadata:
    """What is said of an issuer's tokens; nothing where there is no issuer."""

    def __init__(self, options: HTTPOptions) -> None:
        self._issuer, self._scheme = options.issuer, options.scheme
        self._public = options.audience if options.audience.startswith(("https://", "http://")) else ""

    def document(self, path: str, host: str) -> bytes | None:
        """The document at a path, as the client calls this host; `None` if there is none."""
        if not self._issuer or not f"{path}/".startswith(f"{_RESOURCE}/"):
            return None
        return json.dumps({
            "resource": self._resource(host),
            "authorization_servers": [self._issuer],
            "bearer_methods_supported": ["header"],
        }).encode()  # fmt: skip

    def challenge(self, host: str) -> str:
        """What a request without a valid token is answered in `WWW-Authenticate`."""
        if not self._issuer:
            return "Bearer"
        scheme, place, path, *_ = urlsplit(self._resource(host))
        return f'Bearer resource_metadata="{scheme}://{place}{_RESOURCE}{path.rstrip("/")}"'

    def _resource(self, host: str) -> str:
        """The address of the endpoint as clients have it."""
        return self._public or f"{self._scheme}://{host}{PATH}"
