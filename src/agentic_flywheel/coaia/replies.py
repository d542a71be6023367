"""Reads the replies of the coaia tools: the one place that knows their shapes and what their errors mean.

Success is JSON with `"success": true` and nothing else: the stock tools report every failure as a normal
result, some of them as plain text.
"""

import json
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from agentic_flywheel.documents.parse import load, revision_in, tombstone_of
from agentic_flywheel.documents.writes import MARKED, ListRow, Outcome, etag, revision_at_head, sealed_ending
from agentic_flywheel.errors import (
    Damaged,
    FlywheelError,
    NewerSchema,
    StashRefused,
    StashSilent,
    StashUnavailable,
    StashUnreached,
)
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.plain_text import cause

UNREADABLE = 2**62
"""A revision above all others: what is there must never be overwritten."""

NONSENSE = "The coaia child answered something that makes no sense."

TRANSIENT = re.compile(r"Error \d|Connection|closed|reset|refused|timed? ?out", re.IGNORECASE)
"""Errors of the connection to Redis (redis-py 4.3 `connection.py`); all others are its own answers."""

NO_RIGHT = "The user executing the script can't run this command"
"""How Redis 6 and 7.0 say it of a script; all others, and both of a command alone, begin with NOPERM."""

OTHER_HOST = re.compile(r"certificate is not valid for '[^']*'")
OTHER_NAME = "REDIS_URL must have the host name that its certificate names."
"""What to do about a certificate for another host."""

_DONE = ("put", "there")
"""What `coaia_restore` answers of a document that is there now; all else is why it is not."""

UNREACHED = re.compile(r"Error -?\d+ (?=connecting to )")
"""Those that say that there was no connection to send anything on; the number is of no use to a reader."""


class StartedWithoutRedis(StashUnavailable):
    """The child was started while Redis was away, and will not look for it again."""


@dataclass(frozen=True, slots=True)
class RemoteState:
    """What a poll of the stash showed. `epoch` changes when it lost everything, `run` when it was started again.

    Either may be empty, where it cannot be known: Redis takes no writes, or does not say.

    `deleted` are the keys and texts of tombstones announced since; `after` is where to go on. The rest is `None` where
    it is not known.
    """

    epoch: str
    run: str
    deleted: list[tuple[str, str]]
    after: str
    time: int | None = None
    """Redis' own, in microseconds since 1970."""
    evicted: int | None = None
    """Keys that Redis has evicted since it was started."""
    roomy: bool = False
    """Whether it certainly need not evict anything for a while."""
    policy: str | None = None
    """Its `maxmemory-policy`."""
    listed: tuple[int, int] | None = None
    """Sessions in the list, and the newest one's `saved_at` (0: it is empty): both only grow but by deletions."""


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """Which version is stored under a key, told without its text.

    `revision` of the document (`None`: there is none; `UNREADABLE`: what is there is no text) and the last 80
    characters, which name its last write; `tombstone`: the revision that was deleted, if there is a tombstone.
    """

    revision: int | None
    ending: str
    tombstone: int | None

    def is_of(self, text: str) -> bool:
        """Whether that text is this version; never if its shape is not ours."""
        return self.is_version(revision_at_head(text), etag(text)[1])

    def is_version(self, revision: int, ending: str) -> bool:
        """Whether it is the version of that revision which ends so, in clear or sealed."""
        same = self.ending in (ending, sealed_ending(ending)[-MARKED:])
        return bool(ending) and same and revision == self.revision


@dataclass(frozen=True, slots=True)
class IndexPage:
    """Entries of the list, newest first; `older` is where to go on, `None` at the end.

    `unlisted` are sessions that are stored but not in the list.
    """

    entries: list[ListRow]
    older: tuple[int, str] | None
    unlisted: list[str]


def understood(answer: JSONObject | str, key: str | None) -> JSONObject:
    """The reply to a call about `key`, if it reports success; empty if it reports that the key is absent.

    Raises:
        StashUnavailable: it reports a failure, or is no reply.
        Damaged: what is stored under the key is no text of ours.

    """
    reply: object = answer
    if isinstance(answer, str):
        try:
            reply = json.loads(answer)
        except ValueError:
            reply = None
    if not isinstance(reply, dict):
        raise StashUnavailable("The coaia child answered something that is not JSON.")
    reply = cast("JSONObject", reply)
    if reply.get("success") is True:
        if not isinstance(reply.get("current"), str | None):
            raise StashUnavailable(NONSENSE)
        return reply
    error = str(reply.get("error", ""))
    if error == f"Key '{key}' not found in Redis":
        return {}
    raise _failure(error, key)


def _failure(error: str, key: str | None) -> FlywheelError:
    """What an error means; the wordings are those of coaiapy-mcp 0.4.3 `tools.py` and of redis-py."""
    if error.startswith("Redis is not available"):
        return StartedWithoutRedis("Redis was not available when the coaia child started; it is being replaced.")
    if "WRONGTYPE" in error or "DAMAGED" in error:
        return Damaged(f"What is stored under {key!r} in Redis is not text of ours; it is left as it is.")
    error = _without_script(error)
    if other := OTHER_HOST.search(error):
        return StashUnreached(f"{cause(other[0])}. {OTHER_NAME}")
    if re.search("time(d )?out", error, re.IGNORECASE):
        return StashSilent(f"Redis did not answer in time ({cause(error)}).")
    if unreached := UNREACHED.match(error):
        return StashUnreached(f"Redis cannot be reached ({cause(error[unreached.end() :])}).")
    if error and not TRANSIENT.search(error):
        return StashRefused(cause(error))
    return StashUnavailable(cause(error) if error else "The coaia child reported no reason.")


def _without_script(error: str) -> str:
    """A refusal of Redis without the name of our script."""
    before = r"^((ERR )?Error running script \(call to \w+\): )?(@user_script: ?\d+: )*"
    error = re.sub(before, "", error.removeprefix("Redis error: "))
    if error.startswith(NO_RIGHT):
        error = f"NOPERM {error}"
    return re.sub(r"\.? script: [0-9a-f]{40}, on @user_script:\d+\.?$", "", error)


@contextmanager
def _making_sense() -> Generator[None]:
    """Report a reply of another shape than expected."""
    try:
        yield
    except (KeyError, TypeError, ValueError, IndexError) as exc:
        raise StashUnavailable(NONSENSE) from exc


@_making_sense()
def remote_state(reply: JSONObject, after: str) -> RemoteState:
    """What `coaia_watch` replies; `after` is the place that was asked for."""
    rows = [(str(identity), str(key), str(text)) for identity, key, text in reply["deleted"]]
    listed = reply["listed"]
    return RemoteState(
        str(reply["epoch"] or ""),
        str(reply["run"]),
        [(key, text) for _, key, text in rows],
        rows[-1][0] if rows else after,
        reply["time"],
        reply["evicted"],
        reply["roomy"],
        reply["policy"],
        listed and (int(listed[0]), int(listed[1])),
    )


def texts_read(reply: JSONObject, count: int) -> list[bool | str | None]:
    """What `coaia_read_some` replies for so many documents: a text, or whether one is as it was known to be."""
    found: object = reply.get("found")
    if not isinstance(found, list) or len(rows := cast("list[object]", found)) != count:
        raise StashUnavailable(NONSENSE)
    return [row if isinstance(row, str | None) else row == 1 for row in rows]


@_making_sense()
def stored_versions(reply: JSONObject, keys: Sequence[str]) -> dict[str, StoredVersion | None]:
    """What `coaia_marks` replies for these keys."""
    return {key: _version(row) for key, row in zip(keys, reply["marks"], strict=True)}


def _version(row: Sequence[str | None] | None) -> StoredVersion | None:
    """The version told by how a document begins and ends, and how its tombstone begins."""
    if row is None:
        return None
    beginning, end, tombstone = row
    if beginning is None or end is None or tombstone is None:
        return StoredVersion(UNREADABLE, end or "", revision_at_head(tombstone) if tombstone else None)
    revision = revision_at_head(beginning) if beginning else None
    return StoredVersion(revision, end[-MARKED:], revision_at_head(tombstone) if tombstone else None)


def version_of(text: str | None) -> StoredVersion | None:
    """The version of a document or tombstone that was read."""
    if text is None:
        return None
    tombstone = tombstone_of(text)
    return (
        StoredVersion(None, "", tombstone.revision)
        if tombstone
        else StoredVersion(revision_at_head(text), text[-MARKED:], None)
    )


def restored(reply: JSONObject, count: int) -> list[str]:
    """What `coaia_restore` replies for so many documents: "put", "there", or why it was refused."""
    answers: object = reply.get("done")
    if not isinstance(answers, list) or len(cast("list[object]", answers)) != count:
        raise StashUnavailable(NONSENSE)
    done = [str(answer) for answer in cast("list[object]", answers)]
    return [answer if answer in _DONE else cause(_without_script(answer)) for answer in done]


def outcome(reply: JSONObject) -> Outcome:
    """What `coaia_commit` replies."""
    return Outcome(accepted=bool(reply.get("committed")), current=reply.get("current"))


@_making_sense()
def index_page(index: str, reply: JSONObject) -> IndexPage:
    """The page that `coaia_recent` replies."""
    older = reply.get("older")
    place = (int(older[0]), str(older[1])) if older else None
    return IndexPage(entries(index, reply), place, [str(member) for member in reply.get("unlisted", [])])


@_making_sense()
def entries(index: str, reply: JSONObject) -> list[ListRow]:
    """The entries that `coaia_recent` replies."""
    return [ListRow(index, str(m), int(score), note or "") for m, score, note in reply.get("entries", [])]


def revision_of(text: str | None) -> int:
    """The revision of a document; 0 for none, and above all others for one that must never be overwritten."""
    if text is None:
        return 0
    try:
        return revision_in(load(text, "the document"))
    except (Damaged, NewerSchema):
        return UNREADABLE
