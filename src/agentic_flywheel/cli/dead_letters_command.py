"""`dead-letters`: lists, retries, exports or drops the saves that a destination refused for good or cannot be read."""

import json
import os
from argparse import Namespace
from pathlib import Path

from agentic_flywheel.cli.terminal import ask, complain, say, say_json, say_table, tell
from agentic_flywheel.documents.model import iso
from agentic_flywheel.errors import Damaged
from agentic_flywheel.journal import Journal
from agentic_flywheel.journal.records import DeadLetter
from agentic_flywheel.json_text import JSONObject, load_object
from agentic_flywheel.plain_text import ellipsis
from agentic_flywheel.private_files import create
from agentic_flywheel.sessions.wiring import is_there, open_journal
from agentic_flywheel.settings import Settings

CAUSE_WIDTH = 80
"""Characters of a cause in the table; `export` writes all of it."""


def dead_letters(settings: Settings, options: Namespace) -> int:
    """Run one of the commands; the exit code."""
    if not settings.journal:
        complain("the journal is switched off (FLYWHEEL_JOURNAL=false): there are no dead letters.")
        return 1
    if not is_there(settings):
        return _nothing(options)
    journal = open_journal(settings)
    verbs = {"list": _list, "retry": _retry, "export": _export, "drop": _drop}
    try:
        return verbs[options.verb or "list"](journal, options)
    finally:
        journal.close()


def _nothing(options: Namespace) -> int:
    """Answer where there is no journal, without making one."""
    if options.verb in ("export", "drop"):
        return _missing([options.number], {})
    if options.verb == "retry" and not options.all:
        return _missing(options.numbers, {})
    if getattr(options, "json", False):
        return say_json([])
    say("There are no dead letters.")
    return 0


def _list(journal: Journal, options: Namespace) -> int:
    letters = journal.dead_letters()
    if getattr(options, "json", False):
        return say_json([_about(letter) for letter in letters])
    if not letters:
        say("There are no dead letters.")
        return 0
    rows = [("NUMBER", "WHAT", "DESTINATION", "ATTEMPTS", "CAUSE")]
    for letter in letters:
        where, cause = letter.shown or "this machine", ellipsis(letter.cause, CAUSE_WIDTH)
        rows.append((str(letter.position), _what(letter), where, str(letter.attempts), cause))
    say_table(rows)
    say("Send one again with: dead-letters retry N. See it with: export N. Throw it away with: drop N.")
    return 0


def _retry(journal: Journal, options: Namespace) -> int:
    letters = {letter.position: letter for letter in journal.dead_letters()}
    if not options.all and (code := _missing(options.numbers, letters)):
        return code
    for number in letters if options.all else options.numbers:
        if journal.retry(number):
            where = letters[number].shown
            say(
                f"Dead letter {number} ({_what(letters[number])}) is pending again. A server that runs with "
                f"{f'REDIS_URL for {where}' if where else 'this journal'} sends it within seconds."
            )
    if not letters:
        say("There are no dead letters.")
    return 0


def _export(journal: Journal, options: Namespace) -> int:
    letters = {letter.position: letter for letter in journal.dead_letters()}
    if code := _missing([options.number], letters):
        return code
    content = _whole(letters[options.number], journal.command_of(options.number) or "")
    if options.file == "-":
        return say_json(content)
    path = Path(options.file)
    try:
        with os.fdopen(create(path), "w", encoding="utf-8") as file:
            json.dump(content, file, indent=2)
            file.write("\n")
    except FileExistsError:
        complain(f"{path} is there already; name a file that is not.")
        return 1
    say(f"Wrote dead letter {options.number} to {path}. It stays until it is dropped.")
    return 0


def _drop(journal: Journal, options: Namespace) -> int:
    letters = {letter.position: letter for letter in journal.dead_letters()}
    if code := _missing([options.number], letters):
        return code
    what = _what(letters[options.number])
    if not options.yes and (code := ask(f"Throw dead letter {options.number} ({what}) away for ever?", "dropping")):
        return code
    journal.discard(options.number)
    say(f"Dropped dead letter {options.number} ({what}).")
    return 0


def _missing(numbers: list[int], letters: dict[int, DeadLetter]) -> int:
    """The exit code: 2 where none is named, 1 where one of these is none of the dead letters, and that is said."""
    if not numbers:
        complain("name the number of a dead letter, or --all.")
        return 2
    wrong = ", ".join(str(number) for number in numbers if number not in letters)
    if not wrong:
        return 0
    there = ", ".join(str(number) for number in letters)
    tell(
        f"agentic-flywheel-state: there is no dead letter {wrong}; {f'there is {there}' if there else 'there is none'}."
    )
    return 1


def _session(letter: DeadLetter) -> str:
    """The id of the session that it is about; empty where it is about something else."""
    prefix, kind, session_id = letter.key.partition(":session:")  # no prefix holds that
    return session_id if kind and prefix else ""


def _what(letter: DeadLetter) -> str:
    session_id = _session(letter)
    return f"session {session_id}" if session_id else letter.key


def _about(letter: DeadLetter) -> JSONObject:
    return {
        "number": letter.position,
        "session_id": _session(letter) or None,
        "key": letter.key,
        "destination": letter.shown or "this machine",
        "queued_at": iso(letter.queued_at),
        "attempts": letter.attempts,
        "cause": letter.cause,
    }


def _whole(letter: DeadLetter, text: str) -> JSONObject:
    """All that is known of it: the change as it is stored, as text where it is damaged, and of a save its turns."""
    try:
        command = load_object(text, "the pending change")
    except Damaged:
        return _about(letter) | {"command": text}
    turns = {"turns": command["turns"]} if command.get("turns") else {}
    return _about(letter) | turns | {"command": command}
