"""Knows what the SDK's server answers to a client's first questions: `initialize`, `server/discover`, `ping` and lists.

The answers stand in `prepared.json`, which `python -m tests.prepared` makes. Whatever is not beyond doubt is left to
the server. A client that listens for changes is told so, and has an empty list of resources until the server is there,
which then says that the list has changed: some clients show no tools before these two have come.
"""

import json
import time
from pathlib import Path
from typing import Any, Literal, cast

from agentic_flywheel.server.offered import offered

PREPARED = Path(__file__).with_name("prepared.json")
"""`versions`: by protocol version and method, the place of the result in `results`."""

META = "io.modelcontextprotocol/"
VERSION, CAPABILITIES, CLIENT = f"{META}protocolVersion", f"{META}clientCapabilities", f"{META}clientInfo"
SUBSCRIPTION = f"{META}subscriptionId"

DISCOVER, LISTEN, RESOURCES = "server/discover", "subscriptions/listen", "resources/list"

ACKNOWLEDGED = "notifications/subscriptions/acknowledged"

LIST_CHANGES = {"toolsListChanged", "promptsListChanged", "resourcesListChanged"}

CHUNK = 65_536
"""Bytes of a longer line are not looked at."""

JSONObject = dict[str, Any]


class Answers:
    """Knows what the server would answer, and what it must be told of what was answered in its place."""

    def __init__(self, tools: str = "all") -> None:
        """`tools`: which of them are offered (`FLYWHEEL_TOOLS`)."""
        prepared: JSONObject = json.loads(PREPARED.read_bytes())
        self._results: list[JSONObject] = [offered(result, tools) for result in prepared["results"]]
        self._prepared: dict[str, dict[str, int]] = prepared["versions"]
        self._modern = next(version for version, known in self._prepared.items() if DISCOVER in known)
        self._latest = max(self._prepared.keys() - {self._modern})
        self._version: str | None = None
        self._opened: Literal["modern", "unknown"] | None = None
        self._hears_of_list = False
        self.acknowledged: set[int | str] = set()
        """The ids of what listens and was told so."""
        self.owes_list = False
        """Whether an empty list of resources was given, and the client must hear that it has changed."""
        self.listens_since: float | None = None
        """When a client was first told that it hears of changes of the list, in seconds since 1970."""

    @property
    def opened(self) -> bool:
        """Whether the server was handed a request, by which it chose its protocol."""
        return self._version is not None or self._opened is not None

    def answer(self, line: bytes, *, discover_only: bool = False) -> bytes | None:
        """The answer to a line, as one; none where the server must be given it."""
        message = _request(line)
        if message is None:
            if not is_notification(line):
                self._opened = self._opened or "unknown"
            return None
        method, params = message["method"], cast("JSONObject", message.get("params", {}))
        version = None if discover_only and method != DISCOVER else self._version_of(method, params)
        place = self._prepared[version].get(method) if version else None
        if method == RESOURCES:
            place = place if self._hears_of_list else None
            self.owes_list = self.owes_list or place is not None
        if place is None and method == DISCOVER and (asked := self._other_version(params)):
            return _line({"id": message["id"], "error": _unsupported(asked, self._modern)})
        if place is None:
            self._opened = self._opened or ("modern" if VERSION in _meta(params) else "unknown")
            return None
        if method == "initialize":
            self._version = version
        return _line({"id": message["id"], "result": self._results[place]})

    def acknowledgement(self, line: bytes) -> bytes | None:
        """What a client that begins to listen is told first, as a line; the server must be given its request, too."""
        message = _request(line)
        if message is None or message["method"] != LISTEN:
            return None
        params = cast("JSONObject", message.get("params", {}))
        honored = _honored(params.get("notifications"))
        asked = {name: value for name, value in params.items() if name != "notifications"}
        if honored is None or self._version_of(LISTEN, asked) != self._modern:
            return None
        if "resourcesListChanged" in honored:
            self._hears_of_list = True
            self.listens_since = self.listens_since or time.time()
        self.acknowledged.add(message["id"])
        said = {"_meta": {SUBSCRIPTION: message["id"]}, "notifications": honored}
        return _line({"method": ACKNOWLEDGED, "params": said})

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

    def _other_version(self, params: JSONObject) -> str | None:
        """The version that a client asks with where we have another one: being told so chooses no protocol."""
        meta = _meta(params)
        asked = meta.get(VERSION)
        if self.opened or params.keys() != {"_meta"} or not isinstance(asked, str) or asked == self._modern:
            return None
        is_plain = (CLIENT not in meta or _is_client(meta[CLIENT])) and _are_capabilities(meta.get(CAPABILITIES))
        return asked if is_plain and _is_token(meta) else None


def _unsupported(asked: str, modern: str) -> JSONObject:
    """What the SDK's server says to another version."""
    data = {"supported": [modern], "requested": asked}
    return {"code": -32022, "message": "Unsupported protocol version", "data": data}


def _line(message: JSONObject) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **message}, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _honored(notifications: object) -> JSONObject | None:
    """What the server notifies of, of what a client listens for; none where the server must say."""
    if not isinstance(notifications, dict):
        return None
    asked = cast("JSONObject", notifications)
    if asked.keys() - LIST_CHANGES or not all(isinstance(value, bool) for value in asked.values()):
        return None
    return {name: True for name, value in asked.items() if value}


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


def is_notification(line: bytes) -> bool:
    """Whether a line is beyond doubt a notification, which is not answered."""
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
