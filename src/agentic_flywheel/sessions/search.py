"""Searches sessions by a question: in the turns of those that this machine has, and in what lists show of all.

All of it is searched in the index of this machine, into which the newest rows of the shared list are brought first. The
sessions that answer it best come first: of few words those that have all of them. What Redis shows of
them now is what is answered.
"""

import contextlib
import difflib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from agentic_flywheel.documents.writes import ListRow
from agentic_flywheel.errors import Damaged, JournalUnavailable, Unavailable
from agentic_flywheel.journal.folding import stem, words
from agentic_flywheel.journal.function_words import without_function_words
from agentic_flywheel.journal.question import MOST_TYPED, Question
from agentic_flywheel.journal.records import Match, Matches
from agentic_flywheel.journal.threads import in_thread
from agentic_flywheel.json_text import JSONObject, load_object
from agentic_flywheel.keys import Keys
from agentic_flywheel.plain_text import quoted
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.sessions.cursors import SearchPosition, read_search_cursor, write_search_cursor
from agentic_flywheel.sessions.results import ListResult, Matched
from agentic_flywheel.sessions.session_filter import SessionFilter
from agentic_flywheel.sessions.unexpired import unexpired_rows

SOME_MORE = 5
"""Matches looked up beyond a page, since some may be gone by now."""

NEAR_AMONG = 2_000
"""The newest sessions, among whose titles near ones are looked for after a miss."""

NEAR = 3
"""Near titles that a miss offers."""

NEAR_AMONG_TERMS = 5_000
"""Words that were said, with the first letter of one that was not, among which near ones are looked for."""

SHORTEST_PART = 5
"""Letters of a part of a compound: shorter ones are in many words by accident. Its ending may be left out."""

SHORTEST_NEAR = 4
"""Letters of a word that may be misspelt; of a shorter one every other is near."""

NOT_ALL = "Others are still to be read: ask again."
"""What is said where the best of those that were read are not the best of all, perhaps."""

NO_WORD = "Nothing has a word of the question."
"""How the message of a miss begins."""

ALIKE = 0.75
"""How alike a word of a title and one of the question must be, from 0 to 1."""


async def search(
    repository: Repository,
    keys: Keys,
    session_filter: SessionFilter,
    now: datetime,
    limit: int,
    cursor: str,
    deadline: float | None,
) -> ListResult:
    """Rows of the sessions that match, each with `matched`, and an `excerpt` where a turn has the words.

    Long: it is the order of the steps.

    Raises:
        InvalidArgument: the cursor is none that an answer to the same question gave.

    """
    position = read_search_cursor(cursor, session_filter) if cursor else SearchPosition()
    others = replace(session_filter, query="")

    def wanted(member: str, note: str) -> bool:
        return bool(others.matching([ListRow("", member, 0, note)], now))

    question = Question.of(session_filter.query, None if others == SessionFilter() else wanted)
    deadline = repository.deadline(reading=True) if deadline is None else deadline
    deadline = await repository.deadline_once_ready(deadline)
    listed = await repository.refresh_list(keys.index, deadline)
    problems = [listed.why] if listed.why else []
    try:
        matches = await repository.search(keys.index, question)
    except JournalUnavailable as exc:
        scope = "shared" if listed.shared else "this machine"
        return ListResult(sessions=[], scope=scope, message=" ".join(dict.fromkeys([*problems, str(exc)])))
    start = next((n for n, match in enumerate(matches.found, 1) if match.member == position.last), position.offset)
    rows, end, problem = await _page(repository, keys, others, matches.found, start, limit, now, deadline)
    problems += [problem] if problem else []
    shown = await _shown(repository, rows, session_filter.query)
    result = ListResult(
        sessions=shown,
        scope="shared" if listed.shared else "this machine",
        searched=_searched(matches, shared=listed.shared, whole=listed.older is None),
        message=" ".join(dict.fromkeys(problems)),
    )
    if shown:
        result.matched = _matched(rows[0][1])
        if matches.unread or (listed.shared and listed.older):
            result.message = f"{NOT_ALL} {result.message}".rstrip()
    if end is not None:
        result.next_cursor = write_search_cursor(SearchPosition(end, rows[-1][1].member), session_filter)
    if not shown and not cursor:
        await _offer_near_titles(repository, keys, question, others, result, now)
        if not result.suggestions and not matches.found:
            await _offer_near_words(repository, keys, question, others, result, now, deadline)
    return result


async def _page(
    repository: Repository,
    keys: Keys,
    others: SessionFilter,
    found: Sequence[Match],
    start: int,
    limit: int,
    now: datetime,
    deadline: float,
) -> tuple[list[tuple[JSONObject, Match]], int | None, str]:
    """The rows of a page as they are now, the number of the next match if there may be more, and what went wrong."""
    rows: list[tuple[JSONObject, Match]] = []
    at = start
    gone: list[str] = []
    while at < len(found) and len(rows) < limit:
        some = found[at : at + limit - len(rows) + SOME_MORE]
        try:
            entries = await repository.entries(keys.index, [match.member for match in some], deadline)
        except Unavailable as exc:
            return rows, None, str(exc)
        known = {entry.member for entry in entries}
        gone += [match.key for match in some if match.member not in known]
        shown = {
            row.entry.member: row.shown for row in await unexpired_rows(repository, others, entries, now, deadline)
        }
        for match in some:
            at += 1
            if row := shown.get(match.member):
                rows.append((row, match))
                if len(rows) == limit:
                    break
    if gone and repository.stash:
        with contextlib.suppress(JournalUnavailable):
            await in_thread(repository.journal.forget_list_rows, gone)
            at = max(0, at - len(gone))
    return rows, at if at < len(found) - len(gone) else None, ""


async def _shown(repository: Repository, rows: Sequence[tuple[JSONObject, Match]], query: str) -> list[JSONObject]:
    """The rows, with a piece of the best turn of each where that is here."""
    excerpts: dict[int, str] = {}
    with contextlib.suppress(JournalUnavailable):
        best = [match.row for _, match in rows if match.row]
        typed = without_function_words(words(query[:MOST_TYPED]))
        excerpts = await in_thread(repository.journal.excerpts, best, typed) if best else {}
    for row, match in rows:
        row.pop("excerpt", None)  # others who share the Redis may have written anything
        row["matched"] = _matched(match)
        if excerpt := excerpts.get(match.row):
            row["excerpt"] = excerpt
    return [row for row, _ in rows]


def _matched(match: Match) -> Matched:
    return "all words" if match.all_words else "some words"


def _searched(matches: Matches, *, shared: bool, whole: bool) -> str:
    """Which part of what is kept was searched."""
    everywhere = "all sessions in Redis" if shared else "the sessions of this machine"
    if shared and not whole:
        everywhere = f"{matches.listed:,} sessions in Redis (others are still to be read: ask again)"
    here = "1 session" if matches.searched == 1 else f"{matches.searched:,} sessions"
    text = f"ids, titles, summaries and tags of {everywhere}; turns of the {here} here"
    if matches.unread:
        text += f" that have been read so far ({matches.unread:,} are still to be read: ask again)"
    return text


async def _offer_near_titles(
    repository: Repository, keys: Keys, question: Question, others: SessionFilter, result: ListResult, now: datetime
) -> None:
    """Say of a miss what was searched, and which titles have words like those of the question."""
    result.message = f"{NO_WORD} Searched: {result.searched}. {result.message}".rstrip()
    with contextlib.suppress(JournalUnavailable):
        notes = await in_thread(repository.journal.titles, keys.index, NEAR_AMONG)
        near = await in_thread(_near, notes, question, others, now)
        if near:
            result.suggestions = near
            titles = ", ".join(f"{quoted(each['title'])} ({quoted(each['id'])})" for each in near)
            result.message += f" Near titles: {titles}."


async def _offer_near_words(
    repository: Repository,
    keys: Keys,
    question: Question,
    others: SessionFilter,
    result: ListResult,
    now: datetime,
    deadline: float,
) -> None:
    """Offer the sessions in which something was said that is spelt nearly as a word of the question, or its part."""
    with contextlib.suppress(JournalUnavailable):
        near = await in_thread(_near_words, repository, question)
        if not near:
            return
        matches = await repository.search(keys.index, replace(question, content=near, others=()))
        rows, _, _ = await _page(repository, keys, others, matches.found, 0, NEAR, now, deadline)
        if rows:
            result.suggestions = [{"id": row["id"], "title": row["title"]} for row, _ in rows]
            said = ", ".join(f"{quoted(each['title'])} ({quoted(each['id'])})" for each in result.suggestions)
            result.message += f" Something spelt nearly so, or a part of it, was said in: {said}."


def _near_words(repository: Repository, question: Question) -> list[str]:
    """The words that were said and are spelt most like a word of the question, or are a part of one."""
    found: list[tuple[float, str]] = []
    for word in question.content:
        if len(word) < SHORTEST_NEAR:
            continue
        matcher = difflib.SequenceMatcher(b=word)
        terms = repository.journal.terms_like(word[:1], NEAR_AMONG_TERMS)
        found += ((alike, term) for term in terms if (alike := _alike(matcher, term)) >= ALIKE)
        found += ((len(part) / len(word), part) for part in _parts(repository, question.written[word]))
    return [term for _, term in sorted(found, reverse=True)[:NEAR]]


def _parts(repository: Repository, word: str) -> list[str]:
    """What was said of what the word (folded, with its ending) begins or ends with, as a compound does."""
    both = (part for cut in range(1, len(word)) for part in (word[:cut], word[cut:]))
    parts = [*dict.fromkeys(stem(part) for part in both if len(part) >= SHORTEST_PART)]
    known = repository.journal.terms_among(parts)
    return [part for part in known if len(part) >= SHORTEST_NEAR]


def _near(
    notes: Sequence[tuple[str, str]], question: Question, others: SessionFilter, now: datetime
) -> list[JSONObject]:
    """Id and title of those whose title has a word that is like one of the question, the most alike first."""
    found: list[tuple[float, int, JSONObject]] = []
    likeness = {word: difflib.SequenceMatcher(b=word) for word in question.content}
    for number, (member, note) in enumerate(notes):
        try:
            title = str(load_object(note, "a row of the list").get("title") or "")
        except Damaged:
            continue
        best = max((_alike(matcher, word) for word in words(title) for matcher in likeness.values()), default=0.0)
        if best >= ALIKE and others.matching([ListRow("", member, 0, note)], now):
            found.append((-best, number, {"id": member, "title": title}))
    return [each for _, _, each in sorted(found, key=lambda each: each[:2])[:NEAR]]


def _alike(matcher: "difflib.SequenceMatcher[str]", word: str) -> float:
    matcher.set_seq1(word)
    return matcher.ratio() if matcher.real_quick_ratio() >= ALIKE and matcher.quick_ratio() >= ALIKE else 0.0
