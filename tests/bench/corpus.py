"""Talks of a size: turns of about 500 bytes that read like a conversation, some of it French, some with emoji."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.documents.codec import encode
from agentic_flywheel.documents.model import Document
from agentic_flywheel.json_text import dumps

TURN_BYTES = 500
"""Of JSON: a question with its circumstances, or a short answer."""

SENTENCES = (
    "What did we decide about the harvest in the north field?",
    "Monday, if it stays dry; the forecast gives us until Thursday at the latest.",
    "The irrigation log shows 12.5 mm since Sunday, which is less than the clover needs.",
    "Ask Ana whether the second trailer is back from the workshop, and who paid for the axle.",
    "I compared the three offers: the cheapest leaves out transport, so in the end it is the dearest.",
    "Noted. I will remind you on Friday and keep the list of open questions until then.",
    "Can you put that in a table, with one row per field and the hectares in the last column?",
    "Le voisin a demandé si l'on pouvait déplacer la clôture avant l'été ; j'ai dit que ça dépendait du géomètre.",
    "Très bien, on garde l'idée du marché à Besançon, même si ça fait deux heures de route.",
    "La facture n° 4711 n'est toujours pas réglée : faut-il relancer « Dupré & Fils » ?",
    "The soil sample came back: pH 6.3, a little phosphorus, nothing to worry about 🌱",
    "Great news 🎉 the co-op takes all the squash, even the crooked ones.",
    'She wrote: "call me when the lorry is loaded", then nothing more for two days.',
    "Step 1: drain the tank. Step 2: check the valve (left of the pump). Step 3: refill, slowly.",
    "If the price falls below 0.31 €/kg we store it; above that we sell at once, said the plan of May.",
    "I am not sure about that: the two sources disagree by a factor of three, and neither says how it measured.",
)
MODELS = ("small-4", "large-2", "large-3")

Turn = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Talk:
    """One version of a conversation: as turns, and as the text of its session document for who keeps only text."""

    history: list[Turn]
    mark: str
    """Words that stand in no other version."""
    text: str


def turn(rng: random.Random, number: int, mark: str = "", size: int = TURN_BYTES) -> Turn:
    """A turn of about `size` bytes of JSON, by the user or, if its number is odd, by the assistant."""
    made: Turn = {"role": "user", "content": ""}
    if number % 2:
        made = {
            "role": "assistant",
            "content": "",
            "metadata": {"model": rng.choice(MODELS), "seconds": round(rng.uniform(0.4, 9), 3), "sources": []},
        }
    words = [mark] if mark else []
    left = size - len(dumps(made).encode()) - len(mark)
    while left > 0:
        sentence = f"{rng.choice(SENTENCES)} ({rng.randrange(10_000)})"
        words.append(sentence.encode()[:left].decode(errors="ignore"))
        left -= len(words[-1].encode()) + 1
    made["content"] = " ".join(words)
    return made


def history_of(size: int, rng: random.Random) -> list[Turn]:
    """Turns that make a session document of about `size` bytes."""
    left = size - len(text_of([]).encode())
    history: list[Turn] = []
    while left > 0:
        history.append(turn(rng, len(history), size=min(TURN_BYTES, max(left, 120))))
        left -= len(dumps(history[-1]).encode()) + 1
    return history


def changed(history: list[Turn], mark: str, rng: random.Random) -> Talk:
    """The same talk with another last turn, which bears the mark."""
    size = len(dumps(history[-1]).encode())
    made = [*history[:-1], turn(rng, len(history) - 1, mark, size)]
    return Talk(made, mark, text_of(made))


def grown(talk: Talk, mark: str, rng: random.Random) -> tuple[Talk, Turn]:
    """The talk with one turn more, and that turn."""
    added = turn(rng, len(talk.history), mark)
    made = [*talk.history, added]
    return Talk(made, mark, text_of(made)), added


def text_of(history: list[Turn]) -> str:
    """The session document with these turns, as our own server would write it."""
    now = datetime(2026, 11, 22, tzinfo=UTC)
    session = UniversalSession(id="s", backend=BackendType.CUSTOM, history=history, created_at=now, updated_at=now)
    return encode(Document(session, 1, now, now + timedelta(days=30), ttl_seconds=2_592_000))
