"""Ranks the sessions of the index by a question: by their best turns, and by how many of its words they have.

The full-text search names the turns with some of the words that are rarest. Those are scored anew here, by all words of
the question: function words count less, and a word is worth what it is rare (BM25). A session is worth its best turn, a
little of the next ones, and what of the question it has anywhere.
"""

import math
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence

from agentic_flywheel.journal.compounds import Apart, apart, with_joined
from agentic_flywheel.journal.inflected import other_forms
from agentic_flywheel.journal.misspelt import NEAR, misspelt
from agentic_flywheel.journal.numeronyms import spelt_out
from agentic_flywheel.journal.question import Question
from agentic_flywheel.journal.records import Match, Matches

TURNS = 2**20
"""Row numbers that each session has for its turns."""

CANDIDATES = 200
"""Turns that are scored, and sessions that have all of the words."""

MANY_TURNS = 10_000
"""Turns with the words that candidates are looked for by, the rarest first; beyond, frequent words add nothing."""

FEW_WORDS = 3
"""Words of a question up to which a part of one is looked for in what lists show: that reads all of it."""

PART_OF_A_WORD = 4
"""Letters from which on a part of a word says as much as a word: shorter ones are in many by accident."""

SATURATION, LENGTH = 1.2, 0.5
"""The parameters k1 and b of BM25."""

FUNCTION_WORD = 1.5
"""What a function word is worth, as a word of content that every fourth turn has: counting them all would take long."""

NEXT_TURNS = (1.0, 0.1, 0.05)
"""What the best turns of a session count."""

COVERED = 0.5
"""What the words that a session has anywhere count beside those of its best turn."""

SPOKEN_OF = 150
"""A name that more than one of so many turns has is one of a person who speaks: all of a talk is theirs, and so it
counts once more wherever the talk has it. Either of two who talk may be asked about."""

FIRST_WORDS = "~"
"""Behind the terms of what lists show, no term itself: the title is how the talk begins, and so counts as a turn."""

SHOWN = 2.0
"""What a word in what lists show counts beside one in a turn."""


def ranked(db: sqlite3.Connection, index: str, destinations: Sequence[int], question: Question) -> Matches:
    """The sessions that answer the question, the best first; with all of a few words before those with some."""
    places = ", ".join(map(str, destinations))
    counted = f"SELECT count(*) FROM heads WHERE destination IN ({places}) AND list = ?"  # noqa: S608
    (listed,) = db.execute(counted, (index,)).fetchone()
    (elsewhere,) = db.execute(f"{counted} AND turns_at = 0", (index,)).fetchone()
    search = _Search(db, question)
    allowed = _allowed(db, index, places, question, listed)
    scores, best, has = search.scored(allowed)
    complete = search.with_all(allowed)
    everything = frozenset(question.content)
    for number in complete:
        has[number] = everything
        scores.setdefault(number, 0.0)
    heads = _heads(db, [*scores])
    anywhere = {n: COVERED * search.worth(found) + search.worth(found & search.persons) for n, found in has.items()}
    matches = [
        Match(key, member, scores[n] + anywhere[n], best.get(n, 0), has[n] >= everything, saved_at)
        for n, (_, key, member, saved_at) in heads.items()
    ]
    few = len(question.content) <= FEW_WORDS
    matches.sort(key=lambda match: (few and match.all_words, match.score, match.saved_at, match.member), reverse=True)
    return Matches([*{match.key: match for match in reversed(matches)}.values()][::-1], listed - elsewhere, listed)


def _allowed(
    db: sqlite3.Connection, index: str, places: str, question: Question, listed: int
) -> Collection[int] | None:
    """The numbers of the sessions that may be found; `None` for all in the file."""
    (all_heads,) = db.execute("SELECT count(*) FROM heads").fetchone()
    shared = db.execute("SELECT 1 FROM heads GROUP BY key HAVING count(*) > 1 LIMIT 1") if "," in places else None
    doubled = shared is not None and shared.fetchone() is not None
    if all_heads == listed and not doubled and question.wanted is None:
        return None
    rows = db.execute(
        "SELECT number, key, member, note FROM heads INDEXED BY places"  # noqa: S608  numbers of ours
        f" WHERE destination IN ({places}) AND list = ? ORDER BY destination",
        (index,),
    )
    latest = {key: (number, member, note) for number, key, member, note in rows}
    wanted = question.wanted
    return {number for number, member, note in latest.values() if wanted is None or wanted(member, note)}


def _heads(db: sqlite3.Connection, numbers: Collection[int]) -> dict[int, tuple[int, str, str, int]]:
    query = "SELECT destination, key, member, saved_at FROM heads WHERE number = ?"
    rows = ((number, db.execute(query, (number,)).fetchone()) for number in numbers)
    return {number: row for number, row in rows if row}


class _Search:
    """One question to one moment of the index."""

    def __init__(self, db: sqlite3.Connection, question: Question) -> None:
        self._db = db
        self._content = question.content
        (block,) = db.execute("SELECT block FROM turns_data WHERE id = 1").fetchone() or (b"",)
        self._rows, tokens = _varints(block, 2)
        self._average = max(1.0, tokens / max(1, self._rows))
        self._joined = {one: parts for one, parts in question.joined.items() if self._frequency(one)}
        self._often = {word: sum(map(self._frequency, with_joined(word, self._joined))) for word in question.content}
        self._cut = {word for word in question.content if not self._often[word]}  # or it is part of a word
        self.persons = frozenset(name for name in question.names if self._often[name] * SPOKEN_OF > self._rows)
        self.rarity = dict[str, float]()
        for word, often in self._often.items():
            if often:
                self._note(word, often)
        for word in question.others:
            self.rarity[word] = FUNCTION_WORD
        self._beginnings = {word: self._begun_by(word) for word in self._cut}
        few = len(question.content) <= FEW_WORDS
        unknown = [word for word in self._cut if not self._beginnings[word]]
        otherwise = ((word, spelt_out(db, question.written[word]) or other_forms(db, word)) for word in unknown)
        self._spelt = {word: terms for word, terms in otherwise if terms}
        """Words that are nowhere, but what they are short for is, or what is short for them, or another form."""
        for word, terms in self._spelt.items():
            self._beginnings[word] = terms
            self._note(word, max(map(self._frequency, terms)))
        unknown = [word for word in unknown if word not in self._spelt]
        several = ((word, self._as_several(word, question)) for word in unknown)
        self._apart = {word: found for word, found in several if found}
        """Words that are nowhere as one, but as several."""
        for word, found in self._apart.items():
            self._note(word, len(found.rows))
        self._inside = {word: self._sessions_with(word, few=few) for word in unknown}
        self._near = self._misspelt(question) if len(unknown) < len(question.content) else {}

    def _as_several(self, word: str, question: Question) -> Apart | None:
        divided = question.divided.get(word, ())
        return apart(self._db, question.written[word], divided, self._frequency, CANDIDATES)

    def _misspelt(self, question: Question) -> dict[str, list[str]]:
        """The words that are nowhere, with what they were meant to be: that helps to rank, but no talk has the word."""
        nowhere = (word for word, numbers in self._inside.items() if not numbers and word not in self._apart)
        near = {word: terms for word in nowhere if (terms := misspelt(self._db, question.written[word]))}
        for word, terms in near.items():
            self._beginnings[word] = terms
            self._note(word, max(map(self._frequency, terms)))
            self.rarity[word] *= NEAR
        return near

    def worth(self, found: Collection[str]) -> float:
        """What these words are worth."""
        return sum(self.rarity.get(word, 0.0) for word in found)

    def _frequency(self, word: str) -> int:
        row = self._db.execute("SELECT doc FROM words WHERE term = ?", (word,)).fetchone()
        return row[0] if row else 0

    def _begun_by(self, word: str) -> list[str]:
        """Words that begin so; the most frequent ones say how rare it is."""
        query = "SELECT term, doc FROM words WHERE term >= ? AND term < ? LIMIT 100"
        rows = self._db.execute(query, (word, word + chr(0x10FFFF))).fetchall()
        if rows:
            self._note(word, max(doc for _, doc in rows))
        return [term for term, _ in rows]

    def _note(self, word: str, often: int) -> None:
        """Note in how many turns a word is, and what it is worth for that."""
        self._often[word] = often
        self.rarity[word] = math.log(1 + (self._rows - often + 0.5) / (often + 0.5))

    def _sessions_with(self, word: str, *, few: bool) -> set[int]:
        """The sessions with a word that is none of the index: apart, or inside of another in what lists show."""
        if word in self._apart:
            return {row // TURNS for row in self._apart[word].rows}
        return self._shown_with(word) if few else set()

    def _shown_with(self, word: str) -> set[int]:
        """The sessions with a part of a word in what lists show."""
        query = f"SELECT rowid / {TURNS} FROM turns WHERE rowid IN (SELECT number * {TURNS} FROM heads)"  # noqa: S608
        rows = self._db.execute(f"{query} AND instr(said, ?) LIMIT ?", (word, CANDIDATES)).fetchall()
        if rows and len(word) > 1:
            self.rarity[word] = math.log(1 + self._rows) if len(word) >= PART_OF_A_WORD else FUNCTION_WORD
            return {row[0] for row in rows}
        return set()

    def scored(
        self, allowed: Collection[int] | None
    ) -> tuple[dict[int, float], dict[int, int], dict[int, frozenset[str]]]:
        """By session: what its best turns are worth, the row of the best, and which words of content those have."""
        by_session: dict[int, list[tuple[float, int]]] = defaultdict(list)
        has: dict[int, set[str]] = defaultdict(set)
        meant = {word: word for word in self.rarity}
        meant |= {term: word for word, begun in self._beginnings.items() for term in begun}
        for row, said in self._candidates(allowed):
            found = said.split()
            counts = Counter(meant[term] for term in found if term in meant)
            for one, parts in self._joined.items():
                counts.update({part: found.count(one) for part in parts if one in found and part in self.rarity})
            for word, parts in self._apart.items():
                counts.update({word: often} if (often := parts.count(found)) else {})
            titled = not row % TURNS and found[-1:] != [FIRST_WORDS]
            score = self._score(counts, len(found)) * (SHOWN if titled else 1.0)
            by_session[row // TURNS].append((score, row))
            has[row // TURNS].update(word for word in counts if word in self._content and word not in self._near)
        for word, numbers in self._inside.items():
            if word in self._apart:  # whose turns were scored
                continue
            for number in numbers if allowed is None else numbers & {*allowed}:
                has[number].add(word)
                by_session[number].append((self.rarity[word], number * TURNS))
        scores, best = dict[int, float](), dict[int, int]()
        for number, rows in by_session.items():
            rows.sort(reverse=True)
            scores[number] = sum(part * score for part, (score, _) in zip(NEXT_TURNS, rows, strict=False))
            best[number] = next((row for _, row in rows if row % TURNS), 0)
        return scores, best, {number: frozenset(found) for number, found in has.items()}

    def _score(self, counts: Mapping[str, int], length: int) -> float:
        norm = SATURATION * (1 - LENGTH + LENGTH * length / self._average)
        return sum(self.rarity[word] * n * (SATURATION + 1) / (n + norm) for word, n in counts.items())

    def _candidates(self, allowed: Collection[int] | None) -> list[tuple[int, str]]:
        """The best turns by the words that are rarest."""
        by_rarity = sorted((word for word in self._content if self._often[word]), key=self._often.__getitem__)
        chosen, turns = list[str](), 0
        for word in by_rarity:
            if chosen and turns + self._often[word] > MANY_TURNS:
                break
            chosen.append(word)
            turns += self._often[word]
        if not chosen:
            return []
        query = "SELECT rowid, said FROM turns WHERE turns MATCH ? ORDER BY rank"
        rows = self._db.execute(query + (f" LIMIT {CANDIDATES}" if allowed is None else ""), (self._any(chosen),))
        if allowed is None:
            return rows.fetchall()
        found: list[tuple[int, str]] = []
        for row in rows:
            if row[0] // TURNS in allowed:
                found.append(row)
                if len(found) == CANDIDATES:
                    break
        return found

    def _any(self, chosen: Sequence[str]) -> str:
        return " OR ".join(self._phrase(word) for word in chosen)

    def _phrase(self, word: str) -> str:
        if word in self._apart:
            return f'"{" ".join(self._apart[word].parts)}"'
        if terms := self._spelt.get(word) or self._near.get(word):
            return f"({' OR '.join(map(_quoted, terms))})"
        if word in self._cut:
            return f'"{word}" *'
        return f"({' OR '.join(map(_quoted, with_joined(word, self._joined)))})"

    def with_all(self, allowed: Collection[int] | None) -> set[int]:
        """Sessions that have all words of content, anywhere."""
        plain = [word for word in self._content if word not in self._inside]
        numbers: set[int] | None = None
        if plain:
            query = "SELECT rowid FROM talks WHERE talks MATCH ? ORDER BY rowid DESC"
            rows = self._db.execute(query, (" AND ".join(map(self._phrase, plain)),))
            numbers = set[int]()
            for (number,) in rows:
                if allowed is None or number in allowed:
                    numbers.add(number)
                    if len(numbers) == CANDIDATES:
                        break
        for found in self._inside.values():
            numbers = found if numbers is None else numbers & found
        return {number for number in numbers or () if allowed is None or number in allowed}


def _quoted(term: str) -> str:
    return f'"{term}"'


def _varints(block: bytes, count: int) -> list[int]:
    """The first numbers of a block, as SQLite writes them: FTS5 keeps there how many rows and terms it holds."""
    found: list[int] = []
    value = at = 0
    for byte in block:
        at += 1
        value = value << 8 | byte if at == 9 else value << 7 | byte & 0x7F
        if byte < 0x80 or at == 9:
            found.append(value)
            value = at = 0
            if len(found) == count:
                break
    return found + [0] * (count - len(found))
