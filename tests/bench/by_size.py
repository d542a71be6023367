"""Save, append, resume and results, against the size of the session."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from .corpus import Talk, Turn, changed, grown, history_of
from .measure import Call, Progress, Run, Spot, interleave, timed
from .ours import Ours
from .peers import Peer

SIZES = {"1 KB": 1_000, "10 KB": 10_000, "100 KB": 100_000, "1 MB": 1_000_000, "5 MB": 5_000_000}
SHARE = {"1 KB": 1.0, "10 KB": 1.0, "100 KB": 0.5, "1 MB": 0.25, "5 MB": 0.1}
"""Of the rounds: what is slow needs fewer of them, and has less noise."""

OUTGROWN = 1.1
"""A session that has grown to so many times its size gives way to a new one, before the next append."""

RESULT_BYTES = 10_000
"""The size of the execution results that are kept and brought back."""

SAVE, APPEND, RESUME, IN_BUDGET = "save", "append", "resume", "resume within the default budget"
CACHE, GET = "cache a result", "get a result"

DEFAULT_TOKENS = 20_000
"""What `resume_session` answers at the most unless it is asked for more."""


class BySize:
    """The operations on sessions of a size, for these peers."""

    def __init__(self, run: Run, peers: Sequence[Peer], redis: Any, rng: random.Random, progress: Progress) -> None:
        self._run = run
        self._peers = peers
        self._redis = redis
        self._rng = rng
        self._progress = progress
        self._versions = 0

    async def measure(self, size: str, rounds: int, wanted: frozenset[str]) -> None:
        """The wanted operations at one size."""
        history = history_of(SIZES[size], self._rng)
        rounds = max(2, round(rounds * SHARE[size]))
        measured = {SAVE: self._save, APPEND: self._append, RESUME: self._resume}
        for operation, call_of in measured.items():
            if operation in wanted:
                await self._interleave(operation, size, call_of, self._peers, history, rounds)
        if RESUME in wanted:
            ours = [peer for peer in self._peers if isinstance(peer, Ours) and peer.has_budget]
            await self._interleave(IN_BUDGET, size, self._resume, ours, history, rounds)
        if "results" in wanted and SIZES[size] == RESULT_BYTES:
            keepers = [keeper for peer in self._peers if (keeper := peer.results())]
            await self._interleave(CACHE, size, self._save, keepers, history, rounds)
            await self._interleave(GET, size, self._resume, keepers, history, rounds)

    async def _interleave(
        self,
        operation: str,
        size: str,
        call_of: Callable[[Peer, Spot, list[Turn]], Call],
        peers: Sequence[Peer],
        history: list[Turn],
        rounds: int,
    ) -> None:
        calls = {peer.name: call_of(peer, Spot(operation, size, peer.name), history) for peer in peers}
        await interleave(self._run, operation, size, calls, rounds=rounds, rng=self._rng, progress=self._progress)

    def _mark(self) -> str:
        self._versions += 1
        return f"version {self._versions}:"

    def _save(self, peer: Peer, spot: Spot, history: list[Turn]) -> Call:
        async def call() -> float:
            talk = changed(history, self._mark(), self._rng)
            milliseconds, answer = await timed(peer.save(_key(spot), talk))
            self._check(peer, spot, _key(spot), talk, answer)
            return milliseconds

        return call

    def _append(self, peer: Peer, spot: Spot, history: list[Turn]) -> Call:
        talk: Talk | None = None
        key, began = "", 0

        async def call() -> float:
            nonlocal talk, key, began
            if talk is None or len(talk.text) > OUTGROWN * began:
                talk = changed(history, self._mark(), self._rng)
                key, began = f"{_key(spot)} {talk.mark}", len(talk.text)
                self._check(peer, spot, key, talk, await peer.save(key, talk))
            talk, added = grown(talk, self._mark(), self._rng)
            milliseconds, answer = await timed(peer.append(key, added))
            self._check(peer, spot, key, talk, answer)
            return milliseconds

        return call

    def _resume(self, peer: Peer, spot: Spot, history: list[Turn]) -> Call:
        talk = changed(history, self._mark(), self._rng)
        saved = False

        async def call() -> float:
            nonlocal saved
            if not saved:
                self._check(peer, spot, _key(spot), talk, await peer.save(_key(spot), talk))
                saved = True
            in_budget = spot.operation == IN_BUDGET
            milliseconds, answer = await timed(peer.resume(_key(spot), DEFAULT_TOKENS if in_budget else len(talk.text)))
            resumed = peer.history(answer)
            if resumed:
                expected = talk.history[-len(resumed) :] if in_budget else talk.history
                assert resumed == expected, f"{peer.name} resumed something else"
                self._run.checked["resumed what was saved"] += 1
            else:
                self._run.errors[spot] += 1
            return milliseconds

        return call

    def _check(self, peer: Peer, spot: Spot, key: str, talk: Talk, answer: object) -> None:
        if peer.kept(answer):
            make_sure(self._run, peer, key, talk, self._redis)
        else:
            self._run.errors[spot] += 1


def _key(spot: Spot) -> str:
    return f"{spot.operation} {spot.scale}"


def make_sure(run: Run, peer: Peer, key: str, talk: Talk, redis: Any) -> None:
    """Make sure that an acknowledged write is in Redis, if that is where the peer keeps it."""
    if where := peer.in_redis(key):
        assert talk.mark in (redis.get(where) or ""), f"{peer.name} acknowledged {key}, which is not in Redis"
        run.checked["acknowledged and in Redis"] += 1
    else:
        run.checked["acknowledged"] += 1
