"""Serves over HTTP: puts the parts together, listens, and ends when a signal comes, with what was accepted answered."""

import asyncio
import logging
import sys
from datetime import UTC, datetime

from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.errors import SettingError
from agentic_flywheel.keys import Keys
from agentic_flywheel.plain_text import one_line
from agentic_flywheel.server.begin import log_to_stderr
from agentic_flywheel.server.front import end_at_signals
from agentic_flywheel.server.http_access import Gate
from agentic_flywheel.server.http_app import HTTPApp
from agentic_flywheel.server.http_connections import HTTPServer, bound_socket, configured, raise_file_limit
from agentic_flywheel.server.http_health import Health
from agentic_flywheel.server.http_hosts import HostCheck
from agentic_flywheel.server.http_jwt import Issuer
from agentic_flywheel.server.http_limits import Bodies, RateLimit
from agentic_flywheel.server.http_metadata import ResourceMetadata
from agentic_flywheel.server.http_namespaces import Namespaces, check_folders
from agentic_flywheel.server.http_options import PATH, HTTPOptions
from agentic_flywheel.server.token_file import TokenFile
from agentic_flywheel.server.tool_tracing import open_tracing
from agentic_flywheel.sessions.wiring import open_client
from agentic_flywheel.settings import Settings

logger = logging.getLogger(__name__)

ESCAPES = 4
"""How much longer a session may be in a request: as JSON with escapes, Chinese and emoji are some three times."""

ROOM = 2**20
"""Bytes of a request beside the session in it."""


def serve(settings: Settings, options: HTTPOptions) -> int:
    """Serve until a signal comes; the process's exit code."""
    log_to_stderr(settings.log_level)
    try:
        options.check()
        check_folders(settings)
        raise_file_limit()
        return asyncio.run(_serve(settings, options))
    except SettingError as exc:
        sys.stderr.write(f"agentic-flywheel-state: {one_line(str(exc))}\n")
        return 2


async def _serve(settings: Settings, options: HTTPOptions) -> int:
    client = open_client(settings) if settings.redis_enabled else None
    largest = ESCAPES * settings.max_session_bytes + ROOM
    tracing = open_tracing(settings)
    namespaces = Namespaces(settings, client, largest, tracing)

    def stash() -> Stash:
        assert client  # noqa: S101  asked only where there is one
        return Stash(client, Keys(settings.key_prefix), settings.timeout_seconds, lambda: datetime.now(UTC))

    health = Health(stash if client else None, settings.data_dir if settings.journal else None)
    app = HTTPApp(
        HostCheck(options.hosts, options.allowed_origins),
        _gate(options),
        RateLimit(options.rate),
        Bodies(largest),
        namespaces,
        health,
        ResourceMetadata(options),
    )

    def before_end() -> None:
        health.ending = True
        namespaces.end_streams()

    config = configured(app, options.tls_cert, options.tls_key)
    listener = bound_socket(options.host, options.port)
    server = HTTPServer(config, lambda: _announce(options, listener.getsockname()[1]), before_end)
    try:
        if client:
            client.start()
        async with namespaces:
            await server.serve([listener])
    finally:
        if client:
            await client.aclose()
        if tracing:
            await asyncio.to_thread(tracing.close)
    end_at_signals()
    return 128 + server.received if server.received else 0


def _gate(options: HTTPOptions) -> Gate:
    issuer = Issuer(options.issuer, options.audience, options.claim, options.jwks_url) if options.issuer else None
    return Gate(TokenFile(options.tokens) if options.tokens else None, issuer)


def _announce(options: HTTPOptions, port: int) -> None:
    """Say where it listens, on stderr, whatever the level of the log is."""
    host = f"[{options.host}]" if ":" in options.host and not options.host.startswith("[") else options.host
    sys.stderr.write(f"agentic-flywheel-state listens on {options.scheme}://{host}:{port}{PATH}\n")
    sys.stderr.flush()
