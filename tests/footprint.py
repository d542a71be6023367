"""How many bytes of a Redis' memory a session takes: its key, its place in the index, its note, a tombstone.

    python -m tests.footprint

Prints the table of `rispecs/scale.spec.md`. Not collected by pytest.
"""

import random
import sys
import tempfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from agentic_flywheel.documents.delete import DeleteCommand
from agentic_flywheel.documents.save import SaveCommand
from agentic_flywheel.documents.writes import ListRow, Write
from agentic_flywheel.json_text import dumps
from agentic_flywheel.keys import Keys

from .support.conversations import TALK
from .support.redis_server import RedisServer

SIZES = (1_000, 10_000, 50_000)
SESSIONS = 1_000
LISTED = 100_000
WORDS = " ".join(str(turn["content"]) for turn in TALK).split()
KEYS = Keys("agentic_flywheel")


def session(rng: random.Random, size: int) -> Write:
    """The first save of a session with about `size` bytes of turns."""
    session_id = f"session_{rng.getrandbits(128):032x}"
    turns: list[dict[str, str]] = []
    while len(dumps(turns)) < size:
        turns.append({"role": "user", "content": " ".join(rng.choices(WORDS, k=40))})
    change = SaveCommand(
        key=KEYS.session(session_id),
        operation=f"{rng.getrandbits(64):016x}.1",
        session_id=session_id,
        index=KEYS.index,
        history=turns,
        title=" ".join(rng.choices(WORDS, k=5)),
        summary=" ".join(rng.choices(WORDS, k=30)),
        default_ttl_seconds=2_592_000,
        max_bytes=2**24,
    )
    write = change.apply(None, datetime.now(UTC)).write
    assert write is not None, "there was nothing before it"
    return write


def entry_of(write: Write) -> ListRow:
    assert write.list_row is not None, "sessions are listed"
    return write.list_row


def main() -> None:
    rng = random.Random(5)
    with tempfile.TemporaryDirectory() as folder:
        redis = RedisServer(Path(folder)).start()
        client = redis.client()

        def cost(count: int, put: Callable[[], Iterable[object]]) -> str:
            before = client.info("memory")["used_memory"]
            for _ in put():
                pass
            return f"{(client.info('memory')['used_memory'] - before) / count:,.0f}"

        def alive(write: Write, key: str) -> object:
            return client.set(key, write.text, px=2_592_000_000)

        try:
            texts, keys = [], []
            for size in SIZES:
                client.flushall()
                writes = [session(rng, size) for _ in range(SESSIONS)]
                texts.append(f"{sum(len(write.text.encode()) for write in writes) / SESSIONS:,.0f}")
                keys.append(cost(SESSIONS, lambda writes=writes: (alive(write, write.key) for write in writes)))
            client.flushall()
            entry = entry_of(session(rng, 500))
            names = [f"session_{rng.getrandbits(128):032x}" for _ in range(LISTED)]
            places = cost(
                LISTED, lambda: (client.zadd("i", {name: entry.saved_at + n}) for n, name in enumerate(names))
            )
            notes = cost(LISTED, lambda: (client.hset("n", name, entry.note) for name in names))
            gone = session(rng, 10_000)
            burial = DeleteCommand(key=gone.key, member=entry_of(gone).member).apply(gone.text, datetime.now(UTC)).write
            assert burial is not None, "it is there"
            graves = cost(
                SESSIONS, lambda: (alive(burial, KEYS.tombstone(KEYS.session(name))) for name in names[:SESSIONS])
            )
        finally:
            redis.kill()
    rows = [("the document's text", texts), ("its key, expiry included", keys),
            ("its place in the index, at 100,000 sessions", [places] * 3),
            ("its note for lists, at 100,000 sessions", [notes] * 3), ("a tombstone", [graves] * 3)]  # fmt: skip
    sys.stdout.write("| what | 1 KB of turns | 10 KB | 50 KB |\n|---|---|---|---|\n")
    sys.stdout.writelines(f"| {name} | {' | '.join(values)} |\n" for name, values in rows)


if __name__ == "__main__":
    main()
