"""Answers the first questions of a client while the SDK is being imported, from answers that the SDK's server gave.

Clients wait one to three seconds for a first answer, and importing the SDK takes longer on a busy machine. So this
file, which imports nothing heavy, reads standard input from the first moment. It answers `initialize`,
`server/discover`, `ping` and the lists of tools, prompts and templates from `prepared.json`, and leaves everything else
to the server, in its order: whatever it is not sure of, the server answers. `python -m tests.prepared` makes the file.

The server is then given what it must have seen: an `initialize` that was answered here, whose answer it gives once more
and which is left out, and every line that was not answered here. What asks and changes nothing is not repeated.
"""

import gc
import json
import os
import select
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Literal, cast

from agentic_flywheel.settings import Settings

PREPARED = Path(__file__).with_name("prepared.json")
"""`versions`: by protocol version and method, the place of the result in `results`."""

META = "io.modelcontextprotocol/"
VERSION, CAPABILITIES, CLIENT = f"{META}protocolVersion", f"{META}clientCapabilities", f"{META}clientInfo"

DISCOVER = "server/discover"

PAUSE_SECONDS = 0.01
"""How long the next question of a client that was answered may take before the import begins, which slows answers."""

CONVERSATION_SECONDS = 0.1
"""After this time the import begins, whatever the client asks."""

CHUNK = 65_536

UNREAD_BYTES = 2**20
"""What is read ahead for the server; the rest waits in the pipe."""

SWITCH_SECONDS = 0.0005
"""How long the import may go on while an answer is due; Python's own is ten times as much."""

JSONObject = dict[str, Any]


def serve(settings: Settings) -> int:
    """Serve over standard input and output until input ends or a signal comes; the process's exit code."""
    gc.disable()  # nothing that imports make is garbage, and looking for it takes a sixth of the start
    front = None
    if sys.platform != "win32":  # there `select` knows no pipes
        front = Front()
        front.begin()
    from agentic_flywheel.server import app

    return app.serve(settings, front)


class Answers:
    """Knows what the server would answer, and what it must be told of what was answered in its place."""

    def __init__(self) -> None:
        prepared: JSONObject = json.loads(PREPARED.read_bytes())
        self._results: list[JSONObject] = prepared["results"]
        self._prepared: dict[str, dict[str, int]] = prepared["versions"]
        self._modern = next(version for version, known in self._prepared.items() if DISCOVER in known)
        self._latest = max(self._prepared.keys() - {self._modern})
        self._version: str | None = None
        self._opened: Literal["modern", "unknown"] | None = None

    @property
    def opened(self) -> bool:
        """Whether the server was handed a request, by which it chose its protocol."""
        return self._version is not None or self._opened is not None

    def answer(self, line: bytes, *, discover_only: bool = False) -> bytes | None:
        """The answer to a line, as one; none where the server must be given it."""
        message = _request(line)
        if message is None:
            if not _is_notification(line):
                self._opened = self._opened or "unknown"
            return None
        method, params = message["method"], cast("JSONObject", message.get("params", {}))
        version = None if discover_only and method != DISCOVER else self._version_of(method, params)
        place = self._prepared[version].get(method) if version else None
        if place is None:
            self._opened = self._opened or ("modern" if VERSION in _meta(params) else "unknown")
            return None
        if method == "initialize":
            self._version = version
        said = {"jsonrpc": "2.0", "id": message["id"], "result": self._results[place]}
        return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"

    def _version_of(self, method: str, params: JSONObject) -> str | None:
        """The version in which this is to be answered; none if that is not for us to say."""
        if method == "initialize":
            asked: object = params.get("protocolVersion")
            plain = params.keys() == {"protocolVersion", "capabilities", "clientInfo"} and isinstance(asked, str)
            if self.opened or not plain or not _is_client(params["clientInfo"]):
                return None
            known = asked if asked in self._prepared and asked != self._modern else self._latest
            return str(known) if _are_capabilities(params["capabilities"]) else None
        meta = _meta(params)
        if params.keys() - {"_meta"} or ("_meta" in params and not meta) or not _is_token(meta):
            return None
        if self._version:
            return None if VERSION in meta else self._version
        if self._opened == "unknown" or not (CLIENT not in meta or _is_client(meta[CLIENT])):
            return None
        return self._modern if meta.get(VERSION) == self._modern and _are_capabilities(meta.get(CAPABILITIES)) else None


class Front:
    """Holds standard input and output from the start of this process until the server takes them over."""

    def __init__(self) -> None:
        self.answers = Answers()
        self.unread = bytearray()
        """What the server is to read before standard input."""
        self.initialized_as: int | str | None = None
        """The id of the `initialize` in it that was answered already."""
        self._line = b""
        self._at_end = False
        self._owes = False
        self._woken, self._wake = os.pipe()
        self._switch_seconds = SWITCH_SECONDS
        self._thread = threading.Thread(target=self._answer_until_woken, name="front", daemon=True)

    def begin(self) -> None:
        """Answer what has arrived, and go on in a thread.

        From here on, a signal ends the process at once: nothing was acknowledged yet.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda received, _: os._exit(128 + received))
        waited = 0.0
        while waited < CONVERSATION_SECONDS and self._reads and _readable(0, within=PAUSE_SECONDS if waited else 0):
            self._take()
            waited += PAUSE_SECONDS
        self._switch_seconds = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        self._thread.start()

    def hand_over(self) -> None:
        """Leave standard input to the server, which reads `unread` first."""
        os.write(self._wake, b".")
        self._thread.join()
        sys.setswitchinterval(self._switch_seconds)
        os.close(self._wake)
        os.close(self._woken)
        self.unread += self._line

    @property
    def _reads(self) -> bool:
        return not self._at_end and len(self.unread) + len(self._line) < UNREAD_BYTES

    def _answer_until_woken(self) -> None:
        while self._reads and self._woken not in _readable(0, self._woken):
            self._take()

    def _take(self) -> None:
        """Read what is there, and answer it or keep it."""
        try:
            chunk = os.read(0, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # the terminal has gone
            chunk = b""
        self._at_end = not chunk
        *lines, self._line = (self._line + (chunk or b"\n")).split(b"\n")
        for line in lines:
            if line:
                self._answer(line + b"\n")
        if self._at_end and not self._owes:
            os._exit(0)  # everything is answered, and nobody will ask any more

    def _answer(self, line: bytes) -> None:
        is_open = self.answers.opened
        if answer := self.answers.answer(line):
            _write(answer)
            if self.answers.opened and not is_open:
                self.initialized_as = json.loads(line)["id"]
                self.unread += line
        else:
            self._owes = self._owes or not _is_notification(line)
            self.unread += line


def _readable(*descriptors: int, within: float | None = None) -> list[int]:
    try:
        return select.select(descriptors, [], [], within)[0]
    except OSError:  # there is no standard input, as reading it says
        return [0]


def _write(data: bytes) -> None:
    """Write to standard output; a client that has gone is no error."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(1, view) :]
        except BlockingIOError:
            select.select([], [1], [])
        except OSError:
            return


def _request(line: bytes) -> JSONObject | None:
    """The request in a line, where it is one beyond doubt."""
    if len(line) > CHUNK or b"\\ud" in line.lower():  # half of a surrogate pair is refused by the server
        return None
    message = _object(line)
    if message is None or message.keys() - {"jsonrpc", "id", "method", "params"} or message.get("jsonrpc") != "2.0":
        return None
    identity, params = message.get("id"), message.get("params", {})
    known = isinstance(identity, str) or (type(identity) is int and abs(identity) < 2**53)
    return message if known and isinstance(message.get("method"), str) and isinstance(params, dict) else None


def _is_notification(line: bytes) -> bool:
    message = _object(line)
    return message is not None and "id" not in message and isinstance(message.get("method"), str)


def _object(line: bytes) -> JSONObject | None:
    try:
        message: object = json.loads(line.decode(), parse_constant=_refuse, parse_float=_refuse)
    except (ValueError, RecursionError):
        return None
    return cast("JSONObject", message) if isinstance(message, dict) else None


def _refuse(number: str) -> float:
    """Raise `ValueError`: no question that is answered here has a number with a point in it."""
    raise ValueError(number)


def _meta(params: JSONObject) -> JSONObject:
    meta: object = params.get("_meta")
    return cast("JSONObject", meta) if isinstance(meta, dict) else {}


def _is_token(meta: JSONObject) -> bool:
    """Whether nothing in it is checked but by us."""
    checked = {name for name in meta if name.startswith(META)} - {VERSION, CAPABILITIES, CLIENT}
    return not checked and type(meta.get("progressToken", "")) in (str, int)


def _is_client(client: object) -> bool:
    """Whether this is a client's name and version as every version of the protocol takes them."""
    if not isinstance(client, dict):
        return False
    texts = cast("JSONObject", client)
    known = {"name", "version", "title", "description", "websiteUrl"}
    return {"name", "version"} <= texts.keys() <= known and all(isinstance(text, str) for text in texts.values())


CAPABILITY = {"roots", "sampling", "elicitation", "tasks", "extensions", "experimental"}


def _are_capabilities(capabilities: object) -> bool:
    """Whether every version of the protocol takes these capabilities of a client: objects in objects."""
    if not isinstance(capabilities, dict):
        return False
    given = cast("JSONObject", capabilities)
    return all(_is_capability(name, given[name]) for name in CAPABILITY & given.keys())


def _is_capability(name: str, value: object) -> bool:
    members = _members(value)
    if name == "roots":
        return members is not None and all(part == "listChanged" and isinstance(of, bool) for part, of in members)
    return _is_nested(value, 4 if name == "tasks" else 2)


def _is_nested(value: object, levels: int) -> bool:
    """Whether it is an object, and what it holds, too, so many levels down."""
    members = _members(value)
    return members is not None and (levels == 1 or all(_is_nested(inner, levels - 1) for _, inner in members))


def _members(value: object) -> list[tuple[str, object]] | None:
    return list(cast("JSONObject", value).items()) if isinstance(value, dict) else None
