"""`serve --http`: makes of the options of the command line what the server is told."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from agentic_flywheel.server.http_options import HTTPOptions, default_tokens
from agentic_flywheel.settings import Settings


def serve_http(settings: Settings, options: Namespace) -> int:
    """Serve over HTTP until a signal comes; the exit code."""
    from agentic_flywheel.server.http_serve import serve

    plain = {"host": options.host, "port": options.port, "claim": options.namespace_claim, "rate": options.rate}
    given: dict[str, Any] = {name: value for name, value in plain.items() if value is not None}
    http = HTTPOptions(
        allowed_hosts=tuple(options.allowed_host),
        allowed_origins=tuple(options.allowed_origin),
        tls_cert=_path(options.tls_cert),
        tls_key=_path(options.tls_key),
        tokens=_path(options.tokens_file) or default_tokens(),
        issuer=options.issuer,
        audience=options.audience,
        jwks_url=options.jwks_url,
        **given,
    )
    return serve(settings, http)


def _path(text: str | None) -> Path | None:
    return Path(text).expanduser() if text else None
