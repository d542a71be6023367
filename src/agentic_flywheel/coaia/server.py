"""The child: a program of its own that serves coaiapy-mcp's Redis tools under MCP SDK 2, with the verbs they lack.

It is the only place that touches Redis, over the connection that coaiapy-mcp's own tools use. It imports
nothing of this package, so that `FLYWHEEL_COAIA_PYTHON` may run this file in another environment that has
`coaiapy-mcp` and `mcp` 2. Every reply is JSON text, `{"success": true, …}` or `{"success": false, "error": "…"}`,
as coaiapy-mcp's own are. It never logs a key or a value.

Environment: `REDIS_URL` (validated by the parent), `REDIS_CLUSTER` ("true"), `FLYWHEEL_CHILD_SOCKET_TIMEOUT`
(seconds), `FLYWHEEL_CHILD_PARENT` (its pid). The parent also sees to a private folder and HOME (`client.py`).
"""

# pyright: basic
# redis-py 4 and coaiapy have no types; in strict mode every line that touches them would be an error.

import ctypes
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from functools import partial
from typing import Any

import anyio
import anyio.to_thread
import mcp_types as types
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server

ANNOUNCED_DELETIONS = 10_000
"""Tombstones that the stream of deletions holds; whoever was away for longer meets them one by one."""

RECONCILE_UP_TO = 20_000
"""Keys in a database up to which each listing looks for sessions that the index does not know (about 10 ms)."""

# One key, one round trip. A document is compared by its beginning, which names its revision, and its end, which
# names the write that made it; it is never decoded here: Lua's cjson would turn [] into {} and damage big integers.
_COMMIT = """
if ARGV[1] == '' then
  if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
elseif redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) ~= ARGV[1] then
  return 0
elseif ARGV[5] ~= '' and redis.call('GETRANGE', KEYS[1], -#ARGV[5], -1) ~= ARGV[5] then
  return 0
end
if ARGV[2] == 'drop' then
  redis.call('DEL', KEYS[1])
elseif ARGV[4] == '0' then
  redis.call('SET', KEYS[1], ARGV[3])
else
  redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
end
return 1
"""

_REVISION = re.compile(
    r'\s*\{\s*"schema_version"\s*:\s*\d+\s*,\s*"id"\s*:\s*"(?:[^"\\]|\\.)*"\s*,\s*"revision"\s*:\s*(\d{1,18})\b'
)
"""How a session document and its tombstone begin."""

Reply = dict[str, Any]
Verb = Callable[..., Reply]


class Verbs:
    """The verbs, over coaiapy-mcp's Redis client. All are synchronous: each call has a worker thread."""

    def __init__(
        self,
        tools: Any,  # noqa: ANN401  both are untyped
        client: Any,  # noqa: ANN401
        error: type[Exception],
        refusal: type[Exception],
    ) -> None:
        self._tools = tools
        self._redis = client
        self._error = error
        self._refusal = refusal
        self._commit_script = client.register_script(_COMMIT)

    def coaia_tash(self, key: str, value: str, ttl_seconds: float = 0) -> Reply:
        """Store text under a key; with ttl_seconds it expires, without it never does."""
        if not ttl_seconds:
            return _finish(self._tools.coaia_tash(key, value))
        self._redis.set(key, value, px=_milliseconds(ttl_seconds))
        return {"success": True, "message": f"Stored '{key}' in Redis"}

    def coaia_fetch(self, key: str) -> Reply:
        """Fetch the text under a key."""
        return _finish(self._tools.coaia_fetch(key))

    def coaia_list(self, pattern: str = "*", limit: int = 10_000) -> Reply:
        """List keys that match a Redis glob."""
        keys: list[str] = []
        for key in self._redis.scan_iter(match=pattern, count=1000):
            keys.append(key)
            if len(keys) >= limit:
                break
        return {"success": True, "keys": sorted(set(keys))}

    def coaia_drop(self, key: str) -> Reply:
        """Remove a key."""
        return {"success": True, "dropped": bool(self._redis.delete(key))}

    def coaia_commit(
        self,
        key: str,
        value: str,
        expected: str,
        grave: str,
        ending: str = "",
        buried: str = "",
        ttl_seconds: float = 0,
        bury: bool = False,  # noqa: FBT001, FBT002  an argument of a tool, always passed by name
        entry: list[Any] | None = None,
        deletions: str = "",
    ) -> Reply:
        """Write, if what the writer saw is still there.

        expected, ending: how the document seen begins and ends, or "" if there was none.
        grave: the key that holds the tombstone of `key`; buried: the tombstone seen there when no document was.
        bury: value is a tombstone; it goes to the grave, and `key` is removed.
        entry: [index, member, score, note] for the listing; bury removes it.
        deletions: the stream in which a burial is announced.
        """
        if not expected and (self._redis.get(grave) or "") != buried:
            return {"success": True, "committed": False, "current": self._current(key, grave)}
        before = None
        if bury:  # the tombstone first: it beats only revisions up to its own, so it harms nothing if we stop here
            before = self._redis.get(grave)
            if not before or not _beats(before, value):
                self._redis.set(grave, value, px=_milliseconds(ttl_seconds) or None)
        arguments = [expected, "drop" if bury else "", "" if bury else value, _milliseconds(ttl_seconds), ending]
        try:
            accepted = self._commit_script(keys=[key], args=arguments)
        except self._refusal:
            if bury:  # no right to delete: what cannot be removed must not look as if it were
                self._redis.set(grave, before or "", px=_milliseconds(ttl_seconds) if before else 1)
            raise
        if not accepted:
            current = self._current(key, grave)
            if not bury or current != value:  # else what was there is beaten by this very tombstone, and gone
                return {"success": True, "committed": False, "current": current}
        if not expected and not bury and (self._redis.get(grave) or "") != buried:  # deleted in this very moment
            self._commit_script(keys=[key], args=[value, "drop", "", 0, ""])
            return {"success": True, "committed": False, "current": self._current(key, grave)}
        try:  # it is written all the same: a listing finds it later, and who touches it meets its tombstone
            if entry:
                self.coaia_index(*entry[:3], note="" if bury else entry[3])
            if bury and deletions:
                fields = {"key": key, "text": value}
                self._redis.xadd(deletions, fields, maxlen=ANNOUNCED_DELETIONS, approximate=True)
        except self._error:
            return {"success": True, "committed": True, "unlisted": True}
        return {"success": True, "committed": True}

    def coaia_read(self, key: str, grave: str) -> Reply:
        """The document under a key unless the tombstone under `grave` beats it; else that tombstone, else null."""
        return {"success": True, "current": self._current(key, grave)}

    def coaia_index(self, index: str, member: str, score: int, note: str = "") -> Reply:
        """Put a member with its note into a listing; without a note take it out."""
        with self._redis.pipeline(transaction=False) as pipe:
            if note:
                pipe.zadd(index, {member: score})
                pipe.hset(f"{index}:notes", member, note)
            else:
                pipe.zrem(index, member)
                pipe.hdel(f"{index}:notes", member)
            pipe.execute()
        return {"success": True}

    def coaia_recent(self, index: str, documents: str, limit: int = 100, before: list[Any] | None = None) -> Reply:
        """A page of a listing, newest first, older than before ([score, member]).

        documents: what the keys of listed documents begin with. The first page also takes out members whose
        document is gone, and names up to 100 documents that the listing does not know.
        """
        unlisted = []
        if before is None:
            try:
                unlisted = self._reconcile(index, documents)
            except self._error:  # no right to SCAN: the list is served as it is
                unlisted = []
        highest, last = (before[0], before[1]) if before else ("+inf", "")
        entries: list[tuple[str, int]] = []
        offset = 0
        while len(entries) < limit:
            page = self._redis.zrevrangebyscore(index, highest, "-inf", start=offset, num=limit, withscores=True)
            entries += [
                (m, int(s)) for m, s in page if before is None or int(s) < before[0] or m.encode() < last.encode()
            ]
            offset += len(page)
            if len(page) < limit:
                break
        entries = entries[:limit]
        notes = self._redis.hmget(f"{index}:notes", [m for m, _ in entries]) if entries else []
        rows = [[member, score, note] for (member, score), note in zip(entries, notes, strict=True)]
        unlisted += [member for member, _, note in rows if note is None]
        return {"success": True, "entries": rows, "unlisted": unlisted, "more": len(entries) == limit}

    def coaia_watch(self, epoch: str, offer: str, deletions: str, after: str) -> Reply:
        """What tells whether Redis lost everything, and what was deleted meanwhile.

        epoch: a key that holds a random text; without one it is set to `offer`.
        deletions, after: the stream of deletions, and the id of the last one known.
        """
        with self._redis.pipeline(transaction=False) as pipe:
            pipe.set(epoch, offer, nx=True)
            pipe.get(epoch)
            time, _, number = after.partition("-")  # the next id, since Redis before 6.2 knows no exclusive ranges
            pipe.xrange(deletions, min=f"{time}-{int(number or 0) + 1}", count=1000)
            _, current, announced = pipe.execute(raise_on_error=False)
        if isinstance(current, Exception):
            raise current
        if isinstance(announced, Exception):  # no right to streams, or a Redis older than they are
            announced = []
        deleted = [[identity, entry.get("key"), entry.get("text")] for identity, entry in announced]
        return {"success": True, "epoch": current, "deleted": deleted, "run": self._run_id()}

    def coaia_status(self) -> Reply:
        """What Redis says of itself: version, role, persistence, eviction policy, keys in the database."""
        info: dict[str, Any] = {}
        for section in ("server", "replication", "persistence", "memory"):
            answer = self._redis.info(section)
            first = next(iter(answer.values()), None)
            info |= first if isinstance(first, dict) else answer  # a cluster answers per node
        wanted = ("redis_version", "role", "aof_enabled", "maxmemory_policy", "maxmemory", "rdb_last_save_time")
        return {"success": True} | {name: info.get(name) for name in wanted}

    def _run_id(self) -> str:
        """What a restart of Redis changes; empty where it cannot be asked."""
        try:
            answer = self._redis.info("server")
        except self._error:
            return ""
        nodes = answer.values() if "run_id" not in answer else [answer]
        return " ".join(sorted(str(node.get("run_id", "")) for node in nodes if isinstance(node, dict)))

    def _current(self, key: str, grave: str) -> str | None:
        """What is there: a tombstone beats every revision up to its own; a deletion that was cut off is finished."""
        with self._redis.pipeline(transaction=False) as pipe:
            document, tombstone = pipe.get(key).get(grave).execute()
        if document is None or tombstone is None:
            return tombstone if document is None else document
        if not _beats(tombstone, document):
            return document
        with suppress(self._refusal):  # without the right to delete it stays hidden
            self._commit_script(keys=[key], args=[document, "drop", "", 0, ""])
        return tombstone

    def _reconcile(self, index: str, documents: str) -> list[str]:
        size = self._redis.dbsize()
        if (sum(size.values()) if isinstance(size, dict) else size) > RECONCILE_UP_TO:
            return []
        stored = {
            key[len(documents) :] for key in self._redis.scan_iter(match=f"{documents}*", count=1000, _type="string")
        }
        listed = set(self._redis.zrange(index, 0, -1))
        for member in listed - stored:
            if not self._redis.exists(documents + member):  # a scan may miss a key that was written meanwhile
                self.coaia_index(index, member, 0)
        return sorted(stored - listed)[:100]


def _beats(tombstone: str, document: str) -> bool:
    """Whether the revision of a tombstone is not below that of a document; one without a revision is never beaten."""
    buried, revision = _REVISION.match(tombstone), _REVISION.match(document)
    return bool(buried and revision and int(buried[1]) >= int(revision[1]))


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000)) if seconds else 0


def _finish(coroutine: Any) -> Reply:  # noqa: ANN401
    """The reply of one of coaiapy's coroutines, which never wait for anything."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise RuntimeError("a coaiapy tool waited")


def _property(kind: str | list[str]) -> dict[str, Any]:
    return {"type": kind}


_TEXT, _NUMBER, _LIST = _property("string"), _property("number"), _property(["array", "null"])
_SCHEMAS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "coaia_tash": ({"key": _TEXT, "value": _TEXT, "ttl_seconds": _NUMBER}, ("key", "value")),
    "coaia_fetch": ({"key": _TEXT}, ("key",)),
    "coaia_list": ({"pattern": _TEXT, "limit": _NUMBER}, ()),
    "coaia_drop": ({"key": _TEXT}, ("key",)),
    "coaia_read": ({"key": _TEXT, "grave": _TEXT}, ("key", "grave")),
    "coaia_commit": (
        {
            "key": _TEXT, "value": _TEXT, "expected": _TEXT, "grave": _TEXT, "ending": _TEXT, "buried": _TEXT,
            "ttl_seconds": _NUMBER, "bury": _property("boolean"), "entry": _LIST, "deletions": _TEXT,
        },
        ("key", "value", "expected", "grave"),
    ),
    "coaia_index": (
        {"index": _TEXT, "member": _TEXT, "score": _NUMBER, "note": _TEXT},
        ("index", "member", "score"),
    ),
    "coaia_recent": (
        {"index": _TEXT, "documents": _TEXT, "limit": _NUMBER, "before": _LIST},
        ("index", "documents"),
    ),
    "coaia_watch": (
        {"epoch": _TEXT, "offer": _TEXT, "deletions": _TEXT, "after": _TEXT},
        ("epoch", "offer", "deletions", "after"),
    ),
    "coaia_status": ({}, ()),
}  # fmt: skip


def _tool(name: str) -> types.Tool:
    properties, required = _SCHEMAS[name]
    schema = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return types.Tool(name=name, description=getattr(Verbs, name).__doc__, input_schema=schema)


def _connect() -> Verbs:
    """Import coaiapy-mcp without its pings (a frozen Redis would hang them for ever) and give it our client."""
    with redirect_stdout(sys.stderr):
        import redis

        ping = redis.Redis.ping
        redis.Redis.ping = lambda *_args, **_kwargs: True  # type: ignore[method-assign]
        try:
            from coaiapy_mcp import tools
        finally:
            redis.Redis.ping = ping
    timeout = float(os.environ.get("FLYWHEEL_CHILD_SOCKET_TIMEOUT", "1.5"))
    options: dict[str, Any] = {
        "decode_responses": True,
        "socket_timeout": timeout,
        "health_check_interval": 30,
    }
    if not os.environ["REDIS_URL"].startswith("unix:"):  # whose connection takes no such option
        options["socket_connect_timeout"] = timeout
    if os.environ.get("REDIS_CLUSTER") == "true":
        client = redis.RedisCluster.from_url(os.environ["REDIS_URL"], **options)
    else:
        client = redis.from_url(os.environ["REDIS_URL"], **options)
    tools.redis_client = client
    tools.REDIS_AVAILABLE = True
    return Verbs(tools, client, redis.RedisError, redis.ResponseError)


def _run(verb: Verb, arguments: dict[str, Any]) -> Reply:
    import redis

    try:
        return verb(**arguments)
    except redis.RedisError as exc:
        return {"success": False, "error": f"Redis error: {exc}"}
    except UnicodeDecodeError:
        return {"success": False, "error": "Redis error: DAMAGED the value is not UTF-8 text"}
    except (TypeError, ValueError, IndexError):
        return {"success": False, "error": "Wrong arguments"}


async def _serve(verbs: Verbs) -> None:
    async def list_tools(_context: object, _params: object) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_tool(name) for name in _SCHEMAS])

    async def call_tool(_context: object, params: types.CallToolRequestParams) -> types.CallToolResult:
        if params.name in _SCHEMAS:
            run = partial(_run, getattr(verbs, params.name), params.arguments or {})
            reply = await anyio.to_thread.run_sync(run, abandon_on_cancel=True)
        else:
            reply = {"success": False, "error": "Unknown tool"}
        text = json.dumps(reply, ensure_ascii=False, separators=(",", ":"))
        return types.CallToolResult(content=[types.TextContent(type="text", text=text)])

    server: Server[Any] = Server("coaia", on_list_tools=list_tools, on_call_tool=call_tool)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def _die_with_parent() -> None:
    """On Linux the kernel ends this process with its parent, even while a call is stuck; elsewhere EOF does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if str(os.getppid()) != os.environ.get("FLYWHEEL_CHILD_PARENT", str(os.getppid())):
            sys.exit(0)  # it died before we could ask


def main() -> None:
    """Serve until standard input ends."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair: it ends this process in its own time
    anyio.run(_serve, _connect())


if __name__ == "__main__":
    main()
