"""Talks that are saved as people and programs do: whole, by their tail or what is new; retyped, cut, restarted.

The model: every turn that somebody said is stored once. Nobody can tell the same words said again from the same words
sent again, so there a turn may be missing, if the answer to that save said what it was taken for; and it may stand
there once more when it is sent yet again.
"""

import random
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.documents.alignment import ONE_TEXT
from agentic_flywheel.documents.same_words import folded, text_in
from agentic_flywheel.integrations.session_objects import SessionObjects
from agentic_flywheel.keys import Keys
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.results import SaveResult
from agentic_flywheel.sessions.store import Save, SessionStore

from .shelf import Shelf

Turn = dict[str, Any]
KEYS = Keys("p")
SENDS = ("whole", "tail", "new")
CHANGES = ("none", "blank", "cut", "blocks", "decomposed", "order", "all kinds")
SHORT = ("yes", "continue", "Done.", "ok, thanks")
SENTENCES = (
    "What grows in deep shade behind the shed, number {n} asks?",
    "{n}: sword ferns and hostas, if the soil stays moist over summer.",
    "Déjà vu à la crème brûlée, numéro {n}, avec des œufs et du thé.",
    "{n} 漢字とかな交じりの文をここに書いておきましょうね。",
    "Look\tat line {n}\n    of the file and tell me  what is wrong with it.",
    "{n}",
)


@dataclass
class Writer:
    """Somebody with a talk, who sends it in one way."""

    name: str
    sends: str
    change: str
    restarts: float
    python: bool
    talk: list[Turn] = field(default_factory=list[Turn])
    unsent: int = 0
    memory: CallerViews = field(default_factory=CallerViews)
    objects: SessionObjects = field(default_factory=SessionObjects)


class Case:
    """One session, its writers and what they do, made from a seed."""

    def __init__(self, seed: int, *, repeats: bool = True) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.shelf = Shelf()
        self.now = datetime(2027, 1, 1, tzinfo=UTC)
        self.faults: list[str] = []
        self.said: Counter[tuple[str, str]] = Counter()
        self.may_lack: Counter[tuple[str, str]] = Counter()
        self.number = 0
        self.store = self._process()
        pick = self.random.choice
        self.repeats = pick((0.0, 0.0, 0.1, 0.4)) if repeats else 0.0
        self.writers = [
            Writer(name, pick(SENDS), pick(CHANGES), pick((0.0, 0.3, 1.0)), python=self.random.random() < 0.2)
            for name in "ABC"[: pick((1, 2, 2, 3))]
        ]

    def _process(self) -> SessionStore:
        repository = Repository(self.shelf, None, KEYS, lambda: self.now)
        return SessionStore(
            repository, KEYS, session_ttl_seconds=0, max_bytes=10**8, revisions=10, user="", clock=lambda: self.now
        )  # fmt: skip

    async def run(self) -> list[str]:
        """Let them talk and save; what went wrong."""
        length = self.random.choice((1, 2, 3, 8, 30, 200))
        while sum(len(writer.talk) for writer in self.writers) < length and not self.faults:
            writer = self.random.choice(self.writers)
            for _ in range(self.random.choice((1, 2, 2, 2, 3, 7))):
                self._say(writer)
            if self.random.random() < 0.9:
                await self._send(writer)
            if self.random.random() < 0.1:  # the answer did not arrive
                await self._send(writer)
        for writer in self.writers:
            if not self.faults:
                await self._send(writer)
        return self.faults

    def _say(self, writer: Writer) -> None:
        self.number += 1
        role = ("user", "assistant")[len(writer.talk) % 2]
        chance = self.random.random()
        if chance < self.repeats:
            turn: Turn = {"role": role, "content": self.random.choice(SHORT)}
        elif chance > 0.95:
            call = {"id": f"call_{self.number}", "function": {"name": "look", "arguments": f'{{"n": {self.number}}}'}}
            turn = {"role": "assistant", "content": "", "tool_calls": [call]}
        else:
            text = self.random.choice(SENTENCES).format(n=f"{writer.name}{self.number}")
            turn = {"role": role, "content": text * self.random.choice((1, 1, 1, 9))}
            if chance > 0.9:
                turn["id"] = self.random.choice((f"msg_{self.number}", self.number % 5, "__fake_id__", ["a", "Class"]))
        writer.talk.append(turn)
        writer.unsent += 1
        self.said[_words(turn)] += 1

    async def _send(self, writer: Writer) -> None:
        self.now += timedelta(seconds=1)
        if self.random.random() < writer.restarts:
            writer.memory, writer.objects = CallerViews(), SessionObjects()
            self.store = self._process()
        back = {"whole": len(writer.talk), "tail": self.random.choice((1, 2, 4, 9)), "new": 0}[writer.sends]
        begin = max(0, len(writer.talk) - writer.unsent - back)
        old = len(writer.talk) - writer.unsent
        part = [self._as_sent(turn, writer) if begin + i < old else turn for i, turn in enumerate(writer.talk[begin:])]
        writer.unsent = 0
        if writer.python:
            part = [self._as_sent(turn, writer) if i < old else turn for i, turn in enumerate(writer.talk)]
            session = UniversalSession(
                id="s", backend=BackendType.CUSTOM, created_at=self.now, updated_at=self.now, history=part
            )
            answers: list[SaveResult] = []
            save = self.store.save

            async def listen(asked: Save, memory: CallerViews) -> SaveResult:
                answers.append(await save(asked, memory))
                return answers[-1]

            self.store.save = listen  # type: ignore[method-assign]
            await writer.objects.save(self.store, session, session, None, 0)
            self.store.save = save  # type: ignore[method-assign]
            answer = answers[-1]
        else:
            answer = await self.store.save(Save(session_id="s", history=part), writer.memory)
        self._judge(writer, part, answer)

    def _judge(self, writer: Writer, part: list[Turn], answer: SaveResult) -> None:
        stored = Counter(map(_words, self._stored()))
        told = f"seed {self.seed}, {writer.name} {writer.sends} {writer.change}"
        unsent = Counter(_words(t) for w in self.writers for t in w.talk[len(w.talk) - w.unsent :])
        for words, count in (self.said - unsent).items():
            lacking = count - stored[words] - self.may_lack[words]
            if lacking > 0 and "sent again" in answer.message and words[1] in SHORT_FOLDED:
                self.may_lack[words] += lacking
            elif lacking > 0:
                self.faults.append(f"{told}: lost {lacking} of {words}")
        for words, count in (stored - self.said).items():
            if "said again" in answer.message and len(words[1]) < ONE_TEXT:
                self.said[words] += count
                continue
            if count <= self.may_lack[words]:  # an answer said that they cannot be told apart
                continue
            self.faults.append(f"{told}: {count} too many of {words}")
        if answer.added_turns + answer.resent_turns != len(part):
            self.faults.append(f"{told}: {answer.added_turns} new and {answer.resent_turns} sent again of {len(part)}")

    def _stored(self) -> list[Turn]:
        from agentic_flywheel.documents.parse import load

        return load(self.shelf.kept[KEYS.session("s")].text, "s")["history"] if self.shelf.kept else []

    def _as_sent(self, turn: Turn, writer: Writer) -> Turn:
        """The turn as it is sent again."""
        change = self.random.choice(CHANGES) if writer.change == "all kinds" else writer.change
        text = turn["content"]
        if self.random.random() < 0.5 or not text:
            return turn
        if change == "blank":
            return turn | {
                "content": self.random.choice((text + " ", " " + text, text.replace(" ", "  ", 1), text + "\n"))
            }
        if change == "cut" and len(folded(text)) >= 24:
            return turn | {
                "content": text[: max(2 * len(text) // 3, 22)] + self.random.choice(("", "…", "...", " [truncated]"))
            }
        if change == "blocks":
            return turn | {"content": [{"type": "text", "text": text}]}
        if change == "decomposed":
            return turn | {"content": unicodedata.normalize("NFD", text)}
        if change == "order":
            return dict(reversed(turn.items()))
        return turn


SHORT_FOLDED = frozenset(map(folded, SHORT))


def _words(turn: Turn) -> tuple[str, str]:
    """By what the model tells turns apart."""
    return turn["role"], folded(text_in(turn)) or str(turn.get("tool_calls"))
