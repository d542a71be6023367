"""Gets JSON from one HTTP server, within bounds of time and size, and sends its key to no other.

Only http and https. A redirect is followed on the same host alone, and never from https to http. No error and no log
holds the key, or a word of what was answered.
"""

import json
import ssl
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException, HTTPMessage
from ipaddress import ip_address
from typing import IO, Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.plain_text import quoted

SILENCE_SECONDS = 20.0
"""How long a server may say nothing: a flow with many messages is read from a database first."""

ANSWER_SECONDS = 300.0
"""How long one answer may take in all."""

MAX_ANSWER_BYTES = 2**30
"""Bytes of one answer."""

MAX_PARSED_BYTES = 2**26
"""Bytes of an answer that is parsed in memory: a page of messages, or the list of flows."""

READ_AT_ONCE = 2**16
"""Bytes, so that how long it takes is looked at now and then."""

_BLANK = b" \t\r\n\xef\xbb\xbf"

_MEANS = {
    401: "does not accept the key",
    403: "does not accept the key, or it may not read this",
    404: "does not have {path}",
    429: "asks to be left alone for a while",
}
"""What a status means, where it says something to do."""


class HttpServer:
    """One server: `program` is what it is called, `url` its address, `headers` what is sent with each request.

    `key_told` is the end of a sentence that says how to give another key.

    Raises:
        InvalidArgument: the address is none of an HTTP server.

    """

    def __init__(
        self,
        program: str,
        url: str,
        headers: Mapping[str, str],
        key_told: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._program = program
        self._headers = dict(headers)
        self._key_told = key_told
        self._clock = clock
        self._address = _address(url)
        self.url = self._address.geturl()
        self._opener = _opener(self._address, program)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._program}, {self.url})"

    def json(self, path: str, **query: object) -> Any:  # noqa: ANN401
        """What a path answers, as JSON.

        Raises:
            InvalidArgument: it cannot be had; the message says why and what to do.

        """
        parts = list[bytes]()
        self._read(path, query, parts.append, MAX_PARSED_BYTES)
        try:
            return json.loads(b"".join(parts))
        except (ValueError, RecursionError):
            self._fail(f"answered {path} with something that is no JSON. Is it the address of {self._program}?")

    def copy(self, path: str, target: IO[bytes], **query: object) -> None:
        """Write what a path answers into a file.

        Raises:
            InvalidArgument: it cannot be had; the message says why and what to do.

        """
        self._read(path, query, target.write, MAX_ANSWER_BYTES)

    def _read(self, path: str, query: Mapping[str, object], take: Callable[[bytes], object], limit: int) -> None:
        given = {name: value for name, value in query.items() if value is not None}
        url = f"{self.url}{quote(path)}" + (f"?{urlencode(given)}" if given else "")
        request = Request(url, headers={"Accept": "application/json", **self._headers})  # noqa: S310  http and https
        until, size = self._clock() + ANSWER_SECONDS, 0
        try:
            with self._opener.open(request, timeout=SILENCE_SECONDS) as answer:
                while data := answer.read1(READ_AT_ONCE):
                    if not size and data.lstrip(_BLANK).startswith(b"<"):
                        self._fail(f"answered {path} with a web page. Is it the address of {self._program} itself?")
                    size += len(data)
                    if size > limit:
                        self._fail(f"answered {path} with more than {limit:,} bytes, which are not taken.")
                    if self._clock() > until:
                        self._fail(f"took longer than {ANSWER_SECONDS:g} seconds to answer {path}.")
                    take(data)
                if answer.length:  # it is not told otherwise
                    self._broke_off()
        except HTTPError as exc:
            with exc:
                self._refused(exc.code, path)
        except (OSError, HTTPException) as exc:
            self._unreached(exc)

    def _refused(self, status: int, path: str) -> NoReturn:
        if status in (401, 403):
            self._fail(f"{_MEANS[status] if self._headers else 'wants a key'} ({status}). {self._key_told}")
        means = _MEANS.get(status, "failed at {path}" if status >= 500 else "refuses {path}").format(path=path)
        hint = " Is it the address of the program itself, and of no older version?" if status == 404 else ""
        self._fail(f"{means} ({status}).{hint or ' Try again later.' * (status >= 429)}")

    def _unreached(self, exc: Exception) -> NoReturn:
        cause = exc.reason if isinstance(exc, URLError) else exc
        if isinstance(cause, ssl.SSLCertVerificationError):
            self._fail(f"has a certificate that is not trusted: {cause.verify_message}.")
        if isinstance(cause, ssl.SSLError):
            self._fail("does not speak TLS there: is it http, and not https?")
        if isinstance(cause, TimeoutError):
            self._fail(f"said nothing for {SILENCE_SECONDS:g} seconds.")
        if isinstance(cause, HTTPException):
            self._broke_off()
        self._fail("cannot be reached. Does it run there? Name its address with --url.")

    def _broke_off(self) -> NoReturn:
        self._fail("broke off its answer, or speaks no HTTP there. Try again.")

    def _fail(self, what: str) -> NoReturn:
        raise InvalidArgument(f"{self._program} at {self.url} {what}") from None


def _address(url: str) -> SplitResult:
    """The address without `/` and `/api/v1` at its end, which people copy along.

    Raises:
        InvalidArgument: it is none.

    """
    try:
        parts = urlsplit(url.strip())
        is_one = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        parts, is_one = urlsplit(""), False
    if parts.username is not None or parts.password is not None:
        raise InvalidArgument("--url has a user or a password in it, which are not sent: the key goes into --api-key.")
    if not is_one or parts.query or parts.fragment or any(each <= " " for each in parts.geturl()):
        raise InvalidArgument(f"--url must be like http://localhost:3000 or https://host/path, not {quoted(url[:80])}.")
    path = parts.path.rstrip("/").removesuffix("/api/v1").rstrip("/")
    return parts._replace(path=path)


def _opener(address: SplitResult, program: str) -> OpenerDirector:
    """What opens addresses of that host; a proxy of the environment is not asked for this machine's own."""
    proxies = [ProxyHandler({})] if _is_here(address.hostname or "") else []
    return build_opener(_SameHost(address, program), *proxies)


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _SameHost(HTTPRedirectHandler):
    def __init__(self, address: SplitResult, program: str) -> None:
        self._address = address
        self._program = program

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        before, after = self._address, urlsplit(newurl)
        same = (after.scheme, after.hostname, after.port) == (before.scheme, before.hostname, before.port)
        safer = before.scheme == "http" and after.scheme == "https" and after.hostname == before.hostname
        if not same and not (safer and before.port in (None, 80) and after.port in (None, 443)):
            fp.close()
            there = f"{after.scheme}://{after.hostname or ''}" + (f":{after.port}" if after.port else "")
            raise InvalidArgument(
                f"{self._program} at {before.geturl()} sends on to {quoted(there)}, where its key is not sent. If that"
                " is right, name that address with --url."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)
