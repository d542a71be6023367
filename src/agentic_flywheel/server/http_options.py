"""Holds how to serve over HTTP, and refuses what cannot be: strangers are served only where tokens tell them apart."""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agentic_flywheel.errors import SettingError
from agentic_flywheel.server.token_file import FILE_NAME, TokenFile, TokenFileError
from agentic_flywheel.settings_file import default_path

PATH = "/mcp"
"""Where the one endpoint is."""

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
"""What a client on this machine calls it, as a Host header has it."""


@dataclass(frozen=True, slots=True)
class HTTPOptions:
    """How to serve over HTTP."""

    host: str = "127.0.0.1"
    port: int = 8765
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tokens: Path | None = None
    """The file of tokens; `None` where this person has no home."""
    issuer: str = ""
    audience: str = ""
    claim: str = "sub"
    """The claim of a JWT that names the namespace."""
    jwks_url: str = ""
    """Where the issuer's keys are; empty: as the issuer's metadata says."""
    rate: int = 1000
    """Requests a second of one token or address; 0: as many as there are."""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def hosts(self) -> frozenset[str]:
        """The names, without a port, that a Host header may have: those of loopback, the address, the allowed ones."""
        own = self.host if ":" not in self.host or self.host.startswith("[") else f"[{self.host}]"
        named = () if own in ("0.0.0.0", "[::]", "") else (own,)  # noqa: S104  compared, not bound
        return frozenset(each.lower() for each in (*LOOPBACK_NAMES, *named, *self.allowed_hosts))

    @property
    def scheme(self) -> str:
        """What an address of it begins with."""
        return "https" if self.tls_cert else "http"

    def check(self) -> None:
        """Check what must hold before anything is started.

        Raises:
            SettingError: it would serve strangers, or an option makes no sense; the message says what to do.

        """
        self._check_tls()
        self._check_issuer()
        for origin in self.allowed_origins:
            if not re.fullmatch(r"https?://[^/\s]+", origin):
                raise SettingError(f"--allowed-origin {origin[:100]!r} is no origin, as in https://chat.example.org.")
        for host in self.allowed_hosts:
            if not re.fullmatch(r"[\w.-]+(:\d+)?|\[[0-9a-fA-F:]+\](:\d+)?", host):
                raise SettingError(f"--allowed-host {host[:100]!r} is no name of a host, as in memory.example.org.")
        try:
            has_tokens = bool(TokenFile(self.tokens).tokens()) if self.tokens else False
        except TokenFileError as exc:
            raise SettingError(str(exc)) from None
        if not self.is_loopback and not has_tokens and not self.issuer:
            raise SettingError(
                f"without tokens this serves nobody but this machine, so it does not listen on {self.host}. Make one"
                " with `agentic-flywheel-state tokens add NAME`, name an --issuer, or leave --host at 127.0.0.1."
            )

    def _check_tls(self) -> None:
        if bool(self.tls_cert) != bool(self.tls_key):
            raise SettingError("--tls-cert and --tls-key belong together: name both files, or none.")
        for path in (self.tls_cert, self.tls_key):
            if path and not path.is_file():
                raise SettingError(f"there is no file {path}.")

    def _check_issuer(self) -> None:
        if self.issuer and not self.audience:
            raise SettingError("--issuer needs --audience: the name under which the issuer knows this server.")
        if not self.issuer and (self.audience or self.jwks_url):
            raise SettingError("--audience and --jwks-url need --issuer.")
        for option, url in (("--issuer", self.issuer), ("--jwks-url", self.jwks_url)):
            if url and not is_safe_url(url):
                raise SettingError(f"{option} must be an https URL (http only on this machine).")


def is_safe_url(url: str) -> bool:
    """Whether what is read there was not changed on the way: https, or this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(host) and (
        parts.scheme == "https" or (parts.scheme == "http" and host in ("127.0.0.1", "localhost", "::1"))
    )


def default_tokens() -> Path | None:
    """Where the file of tokens lies: beside the settings file."""
    path = default_path()
    return path.with_name(FILE_NAME) if path else None
