"""`keys`: makes keys, says what is sealed with which, and seals, unseals or seals anew all that is kept."""

from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from agentic_flywheel.cli.key_ring_command import new
from agentic_flywheel.cli.terminal import complain, progress, run, say, say_json, tell
from agentic_flywheel.coaia.envelope import Envelopes
from agentic_flywheel.coaia.resealing import Change, Resealing, Tally, as_it_is, to_clear, to_newest, to_sealed
from agentic_flywheel.coaia.stash import Stash
from agentic_flywheel.errors import FlywheelError, SettingError
from agentic_flywheel.journal.conversion import data_key_of, left_in_clear, seal_journal, unseal_journal
from agentic_flywheel.journal.key_file import check, has_key, read_key, sealed_with, write_key
from agentic_flywheel.journal.schema import FILE_NAME, exclusive
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import Keys
from agentic_flywheel.plain_text import quoted
from agentic_flywheel.sealing import KeyRing, check_installed
from agentic_flywheel.sessions.wiring import open_client
from agentic_flywheel.settings import Settings

NAMESPACES = "namespaces"
"""Below the data folder: a folder for each namespace of a server over HTTP (`server/http_namespaces.py`)."""

Changes = Callable[[Envelopes], tuple[Change, Change]]


def keys(settings: Settings, options: Namespace) -> int:
    """Run the verb; the exit code."""
    try:
        match options.verb:
            case "new":
                return new(settings, options)
            case "status":
                return _status(settings, as_json=options.json)
            case "rotate":
                return _rotate(settings)
            case "seal":
                return _seal(settings)
            case _:
                return _unseal(settings)
    except SettingError as exc:
        complain(str(exc))
        return 2
    except (FlywheelError, OSError) as exc:
        complain(str(exc))
        return 1


def _ring(settings: Settings) -> KeyRing:
    if settings.seal is None:
        raise SettingError(
            "no key is given. Make one with `agentic-flywheel-state keys new`, and name its file in the settings "
            "file's seal or in FLYWHEEL_KEY_FILE."
        )
    check_installed()
    return settings.seal


def _ring_of_all(settings: Settings) -> KeyRing:
    """The keys, which open every folder: else none is changed, nor Redis."""
    ring = _ring(settings)
    for folder in _folders(settings) if settings.journal else ():
        data_key_of(folder, ring)
    return ring


def _status(settings: Settings, *, as_json: bool) -> int:
    told = _told(settings)
    lacking = _lacking(settings, told["keys"])
    code, tally, why = int(bool(lacking)), Tally(), ""
    if settings.redis_enabled:
        try:
            tally = _through_redis(settings, None)
        except FlywheelError as exc:
            code, why = 1, str(exc)
    if as_json:
        redis = {"documents": dict(tally.texts), "list_rows": dict(tally.rows), "error": why or None}
        say_json(told | ({"redis": redis} if settings.redis_enabled else {}))
        return code
    none = "none" if lacking else "none: what is saved is kept in clear"
    say(f"Keys given: {', '.join(told['keys']) or none}.")
    if told["journal"] is not None:
        say(f"Journal: {told['journal']} ({settings.data_dir}).")
    if lacking:
        complain(f"the key {quoted(lacking)} is not among them: without it the store is neither read nor added to.")
    if why:
        complain(f"Redis: {why}")
    elif settings.redis_enabled:
        say(f"Redis: {_counted(tally)}.")
    return code


def _lacking(settings: Settings, keys: list[str]) -> str:
    """The name of a key with which a journal is sealed, and which is not here; empty if there is none."""
    sealed = (sealed_with(folder) for folder in (_folders(settings) if settings.journal else ()))
    return next((name for name in sealed if name and name not in keys), "")


def _told(settings: Settings) -> JSONObject:
    """What is known without Redis; no key itself."""
    journal = None
    if settings.journal:
        states = {_state_of(folder) for folder in _folders(settings)}
        journal = ", ".join(sorted(states))
    return {"keys": [name for name, _ in settings.seal.entries] if settings.seal else [], "journal": journal}


def _folders(settings: Settings) -> list[Path]:
    """The data folder, and those of namespaces in it that have a journal."""
    found = sorted((settings.data_dir / NAMESPACES).glob("*/"))
    return [settings.data_dir, *(folder for folder in found if (folder / FILE_NAME).exists() or has_key(folder))]


def _state_of(folder: Path) -> str:
    name = sealed_with(folder)
    return f"sealed with {name}" if name else "in clear" if (folder / FILE_NAME).exists() else "not made yet"


def _counted(tally: Tally) -> str:
    """How many documents are sealed with which key."""
    names = [f"{count:,} {f'sealed with {name}' if name else 'in clear'}" for name, count in tally.texts.most_common()]
    return "documents: " + (", ".join(names) or "none")


def _rotate(settings: Settings) -> int:
    ring = _ring(settings)
    for folder in _folders(settings) if settings.journal else ():
        if has_key(folder):
            check(folder, ring)
            with exclusive(folder / FILE_NAME):
                write_key(folder, ring, read_key(folder, ring))
            say(f"Journal: sealed with {ring.newest} ({folder}).")
    # A file is followed by who serves; a variable and a keyring are read when it begins.
    begun = "" if ring.source else "all clients and servers were started again and "
    then = f"Keys older than {ring.newest} may be taken away, once {begun}no exports need them."
    return _rewritten(settings, to_newest, then)


def _seal(settings: Settings) -> int:
    ring = _ring_of_all(settings)
    for folder in _folders(settings) if settings.journal else ():
        done = seal_journal(folder, ring)
        say(f"Journal: {'sealed' if done else 'was sealed already'}, with {sealed_with(folder)} ({folder}).")
        for name in left_in_clear(folder):
            tell(f"{folder / name}, a damaged journal of earlier days, is in clear: delete it when you can.")
    return _rewritten(settings, to_sealed, "Start your clients again: what is saved from now on is sealed.")


def _unseal(settings: Settings) -> int:
    ring = _ring_of_all(settings)
    if code := _rewritten(settings, to_clear, ""):
        return code
    for folder in _folders(settings) if settings.journal else ():
        done = unseal_journal(folder, ring)
        say(f"Journal: {'in clear again' if done else 'was in clear already'} ({folder}).")
    say("Take the key out of the settings before you start your clients again.")
    return 0


def _rewritten(settings: Settings, changes: Changes, then: str) -> int:
    """Rewrite what Redis has, if there is one; the exit code."""
    if settings.redis_enabled:
        tally = _through_redis(settings, changes)
        say(f"Redis: {tally.changed:,} written anew; {_counted(tally)}.")
        for key, why in list(tally.refused.items())[:20]:
            tell(f"{key}: {why}")
        if tally.refused:
            complain(f"{len(tally.refused):,} could not be. Nothing was lost; do this once more.")
            return 1
    if then:
        say(then)
    return 0


def _through_redis(settings: Settings, changes: Changes | None) -> Tally:
    """Go through all that Redis has, and change it so; `None`: only count it."""
    tally, failure = Tally(), None

    async def go() -> int:
        nonlocal tally, failure
        client = open_client(settings)
        keys = Keys(settings.key_prefix)
        envelopes = Envelopes(settings.seal) if settings.seal and changes else None
        stash = Stash(client, keys, settings.timeout_seconds, _now, envelopes)
        text_of, note_of = changes(envelopes) if changes and envelopes else (as_it_is, as_it_is)
        try:
            tally = await Resealing(stash, keys).run(text_of, note_of, progress)
        except FlywheelError as exc:
            failure = exc
        finally:
            await client.aclose()
        return 0

    stopped = run(go())
    if failure:
        raise failure
    if stopped:
        raise FlywheelError("this was not done to the end. What was done stays; do it once more for the rest.")
    return tally


def _now() -> datetime:
    return datetime.now(UTC)
