"""The operations on sessions that one client owns: it appends, replaces, deletes and begins anew; others only look.

While a write of unknown outcome may still arrive, the owner only appends: a replace or a deletion that meets a late
write may lose to it by the contract, and then nothing could be said of the outcome.
"""

import json
import random
from collections.abc import Callable
from typing import Any

from ...support.conversations import exact
from ..caller import Caller
from ..turns import Turns
from .model import Exact, Model, State, Write, appended, deleted, replaced

OWNED_EACH = 5  # sessions of one owner in use at a time
SAVES_A_WINDOW = 60  # then an owner goes on with other sessions
KEPT_TURNS = 60  # a longer session is replaced by a short one
REPLACE_SHARE, EXPECT_SHARE, RESEND_SHARE, IDS_SHARE = 0.2, 0.3, 0.3, 0.4
WHOLE = 10_000_000


class Owner:
    """One client in its part as owner, and as onlooker at what others own."""

    def __init__(self, caller: Caller, model: Model, rng: random.Random, turns: Turns) -> None:
        self._caller = caller
        self._name = caller.name
        self._machine = caller.seat.machine
        self._model = model
        self._rng = rng
        self._turns = turns
        self._saves = 0

    def _session(self) -> Exact:
        number = self._saves // SAVES_A_WINDOW * OWNED_EACH + self._rng.randrange(OWNED_EACH)
        return self._model.owned_session(f"own-{self._name}-{number}", self._name, self._machine)

    async def save(self) -> None:
        """Append, or replace; with a revision or without, only what is new or all of it."""
        session = self._session()
        self._saves += 1
        await self._caller.ready()
        ids = self._rng.random() < IDS_SHARE
        new = self._turns.some(self._rng.randint(1, 3), ids=ids)
        arguments: dict[str, Any] = {"session_id": session.id, "history": new}
        write = self._model.write(self._name, session.id, new)
        result: Callable[[State], State] = appended(write.turns)
        dice = self._rng.random()
        way = "append"
        if session.is_exact and (dice < REPLACE_SHARE or len(session.only or ()) > KEPT_TURNS):
            arguments["mode"], result, way = "replace", replaced(write.turns), "replace"
        elif session.is_exact and session.only and session.certain and dice < REPLACE_SHARE + RESEND_SHARE:
            arguments["history"], way = [*map(json.loads, session.only), *new], "resend"
        expects = self._rng.random() < EXPECT_SHARE and session.is_exact and session.revision is not None
        if expects and way != "resend":
            arguments["expected_revision"], way = session.revision, f"{way} expecting {session.revision}"
        await self._send(session, write, result, way, arguments)
        if write.outcome == "unknown" and (ids or way != "append"):
            if way == "resend":  # the new server remembers nothing, so the history is not sent again, nor is the new
                return
            write.repeated = True
            await self._caller.ready()
            await self._send(session, write, result, f"{way} again", arguments)

    async def _send(
        self, session: Exact, write: Write, result: Callable[[State], State], way: str, arguments: dict[str, Any]
    ) -> None:
        before = session.only if session.is_exact else "several"
        certain = session.is_exact
        session.begin(write, result)
        answer = await self._caller.call(
            "save_session", f"{session.id} {way} write {write.number} {self._turns.names(write.turns)}", **arguments
        )
        if answer is None:
            write.outcome = "unknown"
            session.unknown()
        elif answer.get("saved"):
            write.outcome, write.stored_in = "acknowledged", answer["stored_in"]
            self._caller.book.acknowledged += 1
            session.acknowledged(write.stored_in, answer["turns"])
            session.revision = None if answer["provisional"] else answer["revision"]
            if certain and answer["turns"] != len(session.only):
                text = f"turns: {answer['turns']}, but the session has {len(session.only)}"
                self._caller.wrong(session.id, text, before=before, **write.facts())
        else:
            write.outcome, write.reason = "refused", str(answer.get("reason"))
            session.unknown()
            text = "a save was refused though nobody else writes this session"
            self._caller.wrong(session.id, text, message=answer.get("message"), **write.facts())

    async def delete(self) -> None:
        """Delete, again and again while the outcome is unknown: a deletion that arrives late would undo later saves."""
        session = self._session()
        await self._caller.ready()
        if not session.settled:
            return
        write = self._model.write(self._name, session.id, [])
        for _ in range(10):
            existed = session.exists
            session.begin(write, deleted)
            answer = await self._caller.call(
                "delete_session", f"{session.id} write {write.number}", session_id=session.id
            )
            session.revision = None
            if answer is None:
                write.outcome, write.repeated = "unknown", True
                session.unknown()
                await self._caller.ready()
                continue
            if answer.get("deleted") or answer.get("reason") in ("deleted", "not_found", "expired"):
                write.outcome, write.reason = "acknowledged", str(answer.get("reason"))
                self._caller.book.acknowledged += 1
                if existed is not None and existed is not answer["deleted"] and not write.repeated:
                    text = (
                        f"deleted: {answer['deleted']} ({write.reason}), but there was {'one' if existed else 'none'}"
                    )
                    self._caller.wrong(session.id, text, **write.facts())
                session.acknowledged("")
                session.settled = session.settled or session.states == {None}
                return
            write.outcome, write.reason = "refused", str(answer.get("reason"))
            if existed is False:  # of what never was, nobody knows anything while Redis is away
                session.acknowledged("")
            else:
                session.unknown()
                self._caller.wrong(session.id, f"a deletion was refused: {answer}", **write.facts())
            return

    async def resume(self) -> None:
        """Read one's own session: exactly what was acknowledged."""
        session = self._session()
        await self._caller.ready()
        answer = await self._caller.call("resume_session", session.id, session_id=session.id, max_tokens=WHOLE)
        if answer is not None:
            self._compare(session, _state(answer), answer, session.states)
            session.certain = session.is_exact and bool(answer.get("found"))

    async def resume_of_others(self) -> None:
        """Read what another client owns. On the same machine it is known exactly if nothing was written meanwhile."""
        if not (theirs := [s for s in self._model.owned.values() if s.owner != self._name][-40:]):
            return
        session = self._rng.choice(theirs)
        await self._caller.ready()
        version, under_way = session.version, bool(session.writes) and session.writes[-1].outcome == "under way"
        answer = await self._caller.call("resume_session", session.id, session_id=session.id, max_tokens=WHOLE)
        if answer is None:
            return
        quiet = session.machine == self._machine and session.version == version and not under_way
        state = _state(answer)
        if state is not None or quiet:
            self._compare(session, state, answer, session.states if quiet else session.ever)

    def _compare(self, session: Exact, state: State, answer: dict[str, Any], allowed: set[State]) -> None:
        if state in allowed:
            return
        known = {
            "seen": _short(state), "allowed": [_short(each) for each in sorted(allowed, key=repr)[-3:]],
            "source": answer.get("source"), "reason": answer.get("reason"), "revision": answer.get("revision"),
            "stale": answer.get("stale"), "owner": session.owner, "last_write": session.writes[-1:],
        }  # fmt: skip
        if state is None:
            self._caller.wrong(session.id, f"answered {answer.get('reason')} though this machine saved it", **known)
        elif allowed == {None}:
            self._caller.wrong(session.id, "found, though this machine had deleted it", **known)
        elif state in session.ever:
            self._caller.wrong(session.id, "an older state than the last acknowledged on this machine", **known)
        else:
            text = "a state that never was"
            self._caller.book.violation("torn", f"{session.id} {self._name} {answer.get('revision')}", text, **known)

    async def list_own(self) -> None:
        """List one's own sessions: all that exist, none that was deleted."""
        await self._caller.ready()
        mine = [session for session in self._model.owned.values() if session.owner == self._name]
        pattern = f"own-{self._name}-*"
        answer = await self._caller.call("list_sessions", pattern, pattern=pattern, limit=1000)
        if not answer:
            return
        listed = {row["id"] for row in answer["sessions"]}
        for session in mine:
            if session.writes and session.exists is not None and session.exists is not (session.id in listed):
                text = "not listed, but it is there" if session.exists else "listed, but it is not there"
                about = f"{self._name} {session.id} list after write {session.writes[-1].number}"
                known = {"scope": answer["scope"], "last_write": session.writes[-1:]}
                self._caller.book.violation("wrongly reported", about, text, **known)


def _state(answer: dict[str, Any]) -> State:
    return tuple(exact(turn) for turn in answer["session"]["history"]) if answer.get("found") else None


def _short(state: State) -> str:
    return "none" if state is None else f"{len(state)}: {Turns.names(state[-6:])}"
