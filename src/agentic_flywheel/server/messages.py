"""Writes the message of each answer: one sentence for a person."""

from agentic_flywheel.plain_text import quoted
from agentic_flywheel.replication.repository import Repository
from agentic_flywheel.server.elicitation import NEVER_ASK
from agentic_flywheel.sessions.folded import those_that_stay
from agentic_flywheel.sessions.results import (
    CacheResult,
    DeleteResult,
    ExecutionResult,
    FlowHistoryResult,
    ForkResult,
    ListResult,
    Reason,
    RestoreResult,
    ResumeResult,
    RevisionsResult,
    SaveResult,
)
from agentic_flywheel.sessions.search import NO_WORD
from agentic_flywheel.settings import Settings

_WHY: dict[Reason, str] = {
    "not_found": "there is none with this id",
    "expired": "it has expired",
    "deleted": "it was deleted before",
    "unavailable": "Redis could not be asked and this machine has no copy; it may well exist, so try again",
    "disabled": "persistence is switched off",
    "damaged": "what is stored there is damaged and was left as it is",
    "newer_schema": "a newer version of this program wrote it",
    "conflict": "somebody saved in between",
    "too_large": "it is too large",
    "declined": "the person who was asked said no",
    "cancelled": f"the question was shown, and nobody answered it. {NEVER_ASK.rstrip('.')}",
}

THE_JOURNAL = "The journal "
"""How the message of what could not be written here begins: there is no doubt what exists."""

OR_THE_LATEST = ", or resume_session() for the latest"
AFTER_A_QUESTION = " Next: other words of it, list_sessions() for the newest, or resume_session() for the latest."

KEYS_NAMED = 10
"""Of the context, in a message."""


class Messages:
    """The messages of one process; that of its first save names the place where the data goes."""

    def __init__(self, repository: Repository, settings: Settings) -> None:
        self._repository = repository
        self._settings = settings
        self._place_named = False

    def saved(self, result: SaveResult) -> str:
        """After a save."""
        named = quoted(result.session_id)
        if not result.saved:
            return f"Not saved: {_sentence(result.message or _why(result.reason))}{_after_no_save(result)}"
        turns = f"{result.turns} turn{'' if result.turns == 1 else 's'}, {result.added_turns} new"
        if result.resent_turns:
            turns += f", {result.resent_turns} sent again"
        if result.retyped_turns:
            turns += f", {len(result.retyped_turns)} of those not quite as stored, which was kept"
        where = self._where(result.stored_in)
        saved = f"Saved {named} as revision {result.revision} ({turns}){where}{_until(result)}"
        parts = (saved, _replaced(result), result.message, f"Next: save_session(session_id={named}, history=…).")
        return " ".join(filter(None, parts))

    def cached(self, result: CacheResult) -> str:
        """After keeping an execution."""
        if not result.cached:
            return f"Not kept: {_sentence(result.message or _why(result.reason))}"
        full = ""
        if result.dropped:
            full = f" The flow's history is full: its {_oldest(result.dropped)} had to leave it."
        where = f"{self._where(result.stored_in)}{_until(result)}"
        kept = f"Kept {quoted(result.execution_id)}{where}{full} {result.message}".rstrip()
        return f"{kept} Next: get_result(execution_id={quoted(result.execution_id)})."

    def resumed(self, result: ResumeResult) -> str:
        """After a resume."""
        if not result.found or result.session is None:
            text = f"No session resumed: {_because(result.reason, result.message)}"
            if result.suggestions:
                near = ", ".join(map(quoted, result.suggestions))
                return f"{text} Similar: {near}. Next: resume_session(session_id={quoted(result.suggestions[0])})."
            nothing_said = result.reason == "not_found" and result.message.startswith(NO_WORD)
            return text + (AFTER_A_QUESTION if nothing_said else _after_nothing(result.reason, OR_THE_LATEST))
        shown = result.total_turns - result.omitted_turns
        named = quoted(result.session["id"])
        text = f"Resumed {named}, revision {result.revision}: {shown} of {result.total_turns} turns"
        if result.next_before_turn is not None:
            text += f"; older ones: resume_session(session_id={named}, before_turn={result.next_before_turn})"
        if cut := result.cut_turns:
            which = f"turn {cut[0]} is" if len(cut) == 1 else f"turns {', '.join(map(str, cut))} are"
            text += f"; {which} larger than the budget and cut"
        if result.left_out_fields:
            text += f"; too large for the budget: {', '.join(result.left_out_fields)}"
        if result.matched:
            text += f"; it has {result.matched} of the question"
            if result.suggestions:
                text += f", as may {', '.join(map(quoted, result.suggestions))}"
        if result.stale:
            text += "; Redis could not be asked, this is this machine's copy"
        elif result.source == "journal" and self._repository.stash and not self._repository.stash.mirror:
            text += "; Redis does not have it, it is on this machine only"
        return f"{text}. Next: save_session(session_id={named}, history=…) with what is new."

    def listed(self, result: ListResult) -> str:
        """After a list."""
        text = f"{len(result.sessions)} session{'' if len(result.sessions) == 1 else 's'}"
        stash = self._repository.stash
        if stash and result.scope == "this machine":
            text += " of this machine only" + ("" if stash.mirror else ": Redis could not be asked")
        elif here := sum(row.get("scope") == "this machine" for row in result.sessions):
            text += f", {here} of them on this machine only, not in Redis"
        if soon := sum(bool(row.get("expires_soon")) for row in result.sessions):
            text += f", {soon} of them expire{'s' if soon == 1 else ''} within a day unless resumed or saved"
        if result.matched:
            text += f", {result.matched} of the question" + ("" if result.matched == "all words" else " at most")
        text = f"{text}. {result.message}".rstrip()
        if not result.sessions:
            return f"{text} Next: list_sessions() without arguments shows the newest."
        text += f" Next: resume_session(session_id={quoted(result.sessions[0]['id'])})"
        return f"{text}; more: list_sessions(cursor=next_cursor)." if result.next_cursor else f"{text}."

    def deleted(self, result: DeleteResult) -> str:
        """After a deletion."""
        if result.deleted:
            stay = those_that_stay(result.children)
            return f"Deleted, but {result.message} {stay}".rstrip() if result.message else f"Deleted. {stay}".rstrip()
        return f"Nothing deleted: {_because(result.reason, result.message)}{_after_nothing(result.reason)}"

    def revisions(self, result: RevisionsResult) -> str:
        """After listing revisions."""
        if not result.found:
            return f"No revisions: {_because(result.reason, result.message)}"
        count = len(result.revisions)
        listed = f"{count} revision{'' if count == 1 else 's'}, newest first."
        return f"{listed} Next: restore_session(session_id, revision), or look first: resume_session with the same."

    def restored(self, result: RestoreResult) -> str:
        """After a restore."""
        if not result.restored:
            return f"Not restored: {_because(result.reason, result.message)}"
        named, kept = quoted(result.session_id), f" {result.message}" if result.message else ""
        text = f"Restored {named}; it is revision {result.revision} now.{kept}"
        return f"{text} Next: resume_session(session_id={named})."

    def forked(self, result: ForkResult) -> str:
        """After a fork."""
        if not result.forked or result.forked_from is None:
            return f"Not forked: {_because(result.reason, result.message)}"
        origin = result.forked_from
        began, forked = quoted(result.session_id), quoted(origin["session_id"])
        text = f"Began {began} from revision {origin['revision']} of {forked}."
        return f"{text} Next: save_session(session_id={began}, history=…)."

    def execution(self, result: ExecutionResult) -> str:
        """After reading an execution."""
        if not result.found:
            return f"Not found: {_because(result.reason, result.message)}"
        return "Found; it is larger than your client shows, so long texts in it are cut." if result.cut else "Found."

    def flow(self, result: FlowHistoryResult, kept: int) -> str:
        """After reading a flow's history of so many executions."""
        if not result.found:
            return f"No executions: {_because(result.reason, result.message)}"
        text = f"{len(result.executions)} execution{'' if len(result.executions) == 1 else 's'}, oldest first."
        if result.cut_executions:
            text += f" {len(result.cut_executions)} of them cut: get_result has more of each."
        if left_out := kept - len(result.executions):
            text += f" Your client has no room for the {left_out:,} before them: get_result has each."
        if result.dropped:
            left = "1 older one has" if result.dropped == 1 else f"{result.dropped:,} older ones have"
            text += f" {left} left the history for room."
        return text

    def _where(self, stored_in: str) -> str:
        stash = self._repository.stash
        if stash is None:
            text = " on this machine"
        elif stored_in == "redis":
            text = " in Redis"
        else:
            text = " in the journal" if stash.mirror else " in the journal for now"
        if self._place_named:
            return text
        self._place_named = True
        place = self._settings.redis_target if stored_in == "redis" else "persistence_status names the file"
        return f"{text} ({place})"


def _until(result: SaveResult | CacheResult) -> str:
    """The end of a sentence that says until when something is kept: a date in UTC."""
    return f", until {result.expires_at[:10]}." if result.expires_at else ", for ever."


def _replaced(result: SaveResult) -> str:
    """What a replace took the place of, what is gone, and how to have it back."""
    if not (before := result.replaced):
        return ""
    text = f"It took the place of revision {before['revision']} ({before['turns']} turn"
    text += ")" if before["turns"] == 1 else "s)"
    gone = list(before["fields"])
    if keys := before["context"]:
        named = ", ".join(map(quoted, keys[:KEYS_NAMED])) + (" …" if len(keys) > KEYS_NAMED else "")
        gone.append(f"context {named}")
    text += f"; gone with it: {', '.join(gone)}" if gone else ""
    if not before["is_kept"]:
        return f"{text}; it is not kept (FLYWHEEL_REVISIONS=0)."
    arguments = f"(session_id={quoted(result.session_id)}, revision={before['revision']})"
    return f"{text}. To have it back: restore_session{arguments}; to look at it: resume_session{arguments}."


def _after_no_save(result: SaveResult) -> str:
    """What to call next after a save that was refused, where the reason does not say it."""
    if result.reason == "conflict" and result.revision and result.deleted_revision is None:
        return f" Next: resume_session(session_id={quoted(result.session_id)}), then save with its revision."
    return " Next: the same save again." if result.reason == "unavailable" else ""


def _after_nothing(reason: Reason | None, also: str = "") -> str:
    """What to call next where there was nothing of that id."""
    said = reason in ("not_found", "expired", "deleted")
    return f" Next: list_sessions(query=words of it){also}." if said else ""


def _oldest(count: int) -> str:
    return "oldest execution" if count == 1 else f"{count:,} oldest executions"


def _because(reason: Reason | None, message: str) -> str:
    """Why there is nothing; where Redis could not be asked, that it may exist."""
    if reason != "unavailable" or not message:
        return message or f"{_why(reason)}."
    again = "Try again" if message.startswith(THE_JOURNAL) else "It may well exist, so try again"
    return f"{_sentence(message)} {again}."


def _sentence(text: str) -> str:
    """The text, with what ends a sentence."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _why(reason: Reason | None) -> str:
    return _WHY[reason] if reason else "no reason is known"
