"""Many clients on several processes, one killed in the middle: what was acknowledged must be there."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from .http import HTTPProcess
from .raw_http import RawClient


@dataclass
class Load:
    """What the clients did: acknowledged turns of each session, errors by what they were."""

    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    broken: set[int] = field(default_factory=set)
    """The ports whose connections broke."""
    seconds: float = 0.0

    @property
    def saves(self) -> int:
        return sum(map(len, self.acknowledged.values()))


async def load(
    servers: list[HTTPProcess],
    tokens: list[str],
    clients: int,
    seconds: float,
    kills: HTTPProcess | None,
    talk: str = "load",
) -> Load:
    """Let each client append to a session of its own, of this name and its number.

    A third of the way in, one process is killed, then started.
    """
    result, begun = Load(), time.monotonic()
    tasks = [
        asyncio.create_task(
            _client(f"{talk}-{number}", number, servers, tokens[number % len(tokens)], begun + seconds, result)
        )
        for number in range(clients)
    ]
    if kills:
        await asyncio.sleep(seconds / 3)
        await asyncio.to_thread(kills.kill)
        await asyncio.sleep(seconds / 6)
        await asyncio.to_thread(kills.start)
    await asyncio.gather(*tasks)
    result.seconds = time.monotonic() - begun
    return result


async def _client(
    session: str, number: int, servers: list[HTTPProcess], token: str, until: float, result: Load
) -> None:
    said = result.acknowledged.setdefault(session, [])
    at = number % len(servers)
    client, turn = RawClient(servers[at].port, token), 0
    while time.monotonic() < until:
        text = f"client {number} says for the {turn}th time what nobody else does"
        try:
            answer = await client.call("save_session", session_id=session, history=[{"role": "user", "content": text}])
        except (OSError, EOFError) as exc:  # sent once more, to another process
            result.errors[type(exc).__name__] += 1
            result.broken.add(client.port)
            client.close()
            at = (at + 1) % len(servers)
            client = RawClient(servers[at].port, token)
            await asyncio.sleep(0.05)
            continue
        if answer["saved"]:
            said.append(text)
            turn += 1
        else:
            result.errors[str(answer.get("reason"))] += 1
    client.close()


async def lost_or_doubled(server: HTTPProcess, tokens: list[str], result: Load) -> list[str]:
    """The sessions that have not each acknowledged turn once, as one process sees them."""
    wrong: list[str] = []
    for number, (session, said) in enumerate(result.acknowledged.items()):
        client = RawClient(server.port, tokens[number % len(tokens)])
        stored: list[str] = []
        before: dict[str, int] = {}
        while True:
            found = await client.call("resume_session", session_id=session, max_tokens=200_000, **before)
            if not found["found"]:
                break
            stored = [turn["content"] for turn in found["session"]["history"]] + stored
            if not found.get("next_before_turn"):
                break
            before = {"before_turn": found["next_before_turn"]}
        client.close()
        counted = Counter(stored)
        if any(counted[each] != 1 for each in said):
            wrong.append(f"{session}: {len(said)} acknowledged, {len(stored)} stored")
    return wrong
