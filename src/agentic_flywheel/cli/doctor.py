"""`doctor`: says in one line each what must work, and what to do where it does not."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from agentic_flywheel.cli.capture.status_command import examined
from agentic_flywheel.cli.doctor_as import doctor_as
from agentic_flywheel.cli.examination import Tried, examine
from agentic_flywheel.cli.hints import hint
from agentic_flywheel.cli.terminal import run, say
from agentic_flywheel.journal.records import Waiting
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.redis_url import unchecked, without_password
from agentic_flywheel.sessions.results import StatusResult
from agentic_flywheel.sessions.status import SEND, waits
from agentic_flywheel.settings import Settings

REPLICA = "slave"
"""What INFO calls the role of a replica."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the report; a `✓` or `·` says what is well, a `!` warns, a `✗` says what does not work."""

    mark: str
    what: str
    text: str


class _Report:
    """What was found, line by line. What one may do about a line is a line without a mark below it."""

    def __init__(self) -> None:
        self.lines: list[_Line] = []

    def add(self, mark: str, what: str, text: str) -> None:
        """Add a line."""
        self.lines.append(_Line(mark, what, text))

    def advise(self, text: str) -> None:
        """Say what to do about the line before."""
        self.lines.append(_Line(" ", "", f"Try: {text}"))

    def has(self, mark: str) -> bool:
        """Whether there is such a line."""
        return any(line.mark == mark for line in self.lines)

    def write(self, *, whole: bool) -> None:
        """Write all lines, or only what warns, with its advice."""
        shown = whole
        for line in self.lines:
            shown = whole or (shown if line.mark == " " else line.mark in "!✗")
            if shown:
                colour = {"✓": 32, "✗": 31, "!": 33}.get(line.mark, 0)
                say(f"{line.mark} {line.what:<13} {line.text}", colour, coloured=len(line.mark))


def doctor(settings: Settings, client: str | None = None, *, verbose: bool = False) -> int:
    """Print the findings, or what differs for a `client`; 0 if saves are kept where they belong, else 1."""
    if client:
        return doctor_as(settings, client)
    return run(_doctor(settings, verbose=verbose))


async def _doctor(settings: Settings, *, verbose: bool) -> int:
    report = _Report()
    _report_settings(report, settings)
    status, tried = await examine(settings)
    if settings.redis_enabled:
        _report_redis(report, settings, status)
    _report_journal(report, settings, status)
    _report_saves(report, settings, status, tried)
    _report_capture(report, settings)
    if settings.trace != "off":
        from agentic_flywheel.cli.doctor_tracing import tracing_examined

        mark, text = await tracing_examined(settings)
        report.add(mark, "Tracing", text)
    failed = report.has("✗")
    report.write(whole=verbose or failed)
    if not failed:
        begin = "It works" if report.has("!") else "All well"
        say(f"{begin}: a save takes {_milliseconds(tried)} and is kept {_place(settings, status)}.")
    return int(failed)


def _report_settings(report: _Report, settings: Settings) -> None:
    if settings.redis_named:
        unused = "" if settings.redis_enabled else " (REDIS_ENABLED=false: not used)"
        report.add("·", "Redis", f"{settings.redis_target}{unused}")
    if what := unchecked(settings.redis_url):
        text = f"the {what} is not checked (ssl_check_hostname=false in REDIS_URL): others can pose as this Redis."
        report.add("!", "TLS", text)
    for name in settings.overridden:
        report.add("!", name, "is set but overridden by REDIS_URL, which wins whole. Unset one of them.")
    for place, names in _places(settings).items():
        report.add("·", "Settings", f"{', '.join(names)} from {place}")
    report.add("·", "Keys", f"begin with {settings.key_prefix}: (FLYWHEEL_PREFIX)")
    named = " (REDIS_TTL_SECONDS)" if settings.redis_named else ""
    report.add("·", "Sessions live", f"{_life(settings.session_ttl_seconds, datetime.now(UTC))}{named}")
    if settings.seal:
        report.add("·", "Sealed", f"with the keys {settings.seal.named}, the first of them from now on")
    if settings.tools != "all":
        report.add("·", "Tools", "those for conversations only (FLYWHEEL_TOOLS)")
    if settings.ask == "never":
        report.add("·", "Deletions", "by a model are done without asking anybody (FLYWHEEL_ASK=never)")
    for place, url in _found_elsewhere(os.environ, Path.home()):
        report.add("!", place, f"names a Redis, but is never read. To use it set REDIS_URL={url}")


def _places(settings: Settings) -> dict[str, list[str]]:
    """The settings that are no defaults, by where they stand."""
    places: dict[str, list[str]] = {}
    for name, source in settings.sources:
        same = source == f"environment variable {name}"
        places.setdefault("the environment" if same else source, []).append(name)
    return places


def _milliseconds(tried: Tried) -> str:
    return f"{sorted(tried.seconds)[len(tried.seconds) // 2] * 1000:.1f} ms"


def _place(settings: Settings, status: StatusResult) -> str:
    if settings.redis_enabled:
        return f"in Redis ({settings.redis_target})"
    return f"on this machine ({status.journal['path']})"


def _report_redis(report: _Report, settings: Settings, status: StatusResult) -> None:
    child, redis = status.child, status.redis or {}
    if child["state"] == "ready":
        report.add("✓", "Child", f"runs, with {', '.join(child['verbs'][:12])}")
        if not (status.versions["coaiapy-mcp"] or settings.coaia_command or settings.coaia_python):
            report.add("·", "coaiapy-mcp", "is not installed, and not needed: the child's own tools do the same.")
    else:
        report.add("✗", "Child", f"{child['state']}. {child['last_error'] or ''}")
        report.advise(hint(child["last_error"] or "coaia child", settings))
    role = ", a replica" if redis.get("role") == REPLICA else f", {redis['role']}" if redis.get("role") else ""
    server = f"{redis['server']}{role}: " if redis.get("server") else ""
    error = redis.get("last_error")
    if redis["state"] == "unreachable":
        report.add("✗", "Redis", f"does not answer: {error}")
    elif redis["state"] != "answering":
        report.add("✗", "Redis", f"{server}takes no writes: {error}")
    elif error:
        report.add("!", "Redis", f"{server}answers, but not all that is sent is taken: {error}")
    else:
        report.add("✓", "Redis", f"{server}answers. Durability: {redis['durability']}.")
    if error and child["state"] == "ready":
        report.advise(hint(error, settings))
    elif redis.get("role") == REPLICA:
        report.add("!", "Role", "replica. REDIS_URL must name the primary: what a replica is told is lost.")
    if redis.get("warning"):
        report.add("!", "Eviction", redis["warning"])


def _report_journal(report: _Report, settings: Settings, status: StatusResult) -> None:
    journal = status.journal
    if journal["path"] is None:
        lost = "with Redis away, nothing can be saved" if settings.redis_named else "nothing is kept"
        report.add("!", "Journal", f"is switched off (FLYWHEEL_JOURNAL=false): {lost}.")
    elif journal["error"]:
        report.add("✗", "Journal", journal["error"])
        if "cannot be written" in journal["error"]:  # the others say themselves what to do
            report.advise("make the folder writable, or set FLYWHEEL_DATA_DIR to another one.")
    else:
        size = (
            f"{journal['bytes']:,} bytes, {journal['pending']} pending"
            if journal["bytes"]
            else "made by the first save"
        )
        report.add("✓", "Journal", f"{journal['path']} ({size})")
    _report_what_waits(report, journal)


def _report_what_waits(report: _Report, journal: JSONObject) -> None:
    if journal["pending_cause"]:
        report.add("!", "Pending", f"changes in the journal wait: {journal['pending_cause']}")
    if journal["made_private"]:
        names = ", ".join(cast("list[str]", journal["made_private"]))
        report.add("!", "Files", f"others could read {names}; nobody else can now.")
    if journal["putting_back"]:
        report.add("·", "Putting back", "what Redis may have lost is compared with this machine's copies and put back.")
    if number := journal["this_machine"]:
        text = f"{number:,} of the sessions here belong to no Redis; each moves when next saved, all by {SEND}."
        report.add("·", "This machine", text)
    for item in cast("list[JSONObject]", journal["waiting"]):
        report.add("!", "Waiting", waits(Waiting(item["destination"], item["changes"], item["keys"])))
    for item in cast("list[JSONObject]", journal["set_aside"]):
        report.add("!", "Dead letter", f"{item['key']}: {item['reason']}")
    if journal["set_aside"]:
        report.advise("agentic-flywheel-state dead-letters, which lists, retries, exports and drops them.")


def _report_saves(report: _Report, settings: Settings, status: StatusResult, tried: Tried) -> None:
    homeless = tried.stored_in == "none" or (tried.stored_in == "journal" and status.journal["error"])
    if homeless:
        report.add("✗", "A save", f"is kept nowhere. {tried.message}".rstrip())
    elif settings.redis_enabled and tried.stored_in != "redis":
        report.add("✗", "A save", "did not get to Redis. It is kept in the journal, and sent later.")
    else:
        count = len(tried.seconds)
        where = f"in {tried.stored_in}" if settings.redis_named else "on this machine"
        text = f"takes {_milliseconds(tried)} (median of {count}) and is kept {where}."
        report.add("✓", "A save", text)
    if tried.unlisted:
        report.add("!", "The list", f"is this machine's alone: {tried.unlisted}")
        report.advise(hint(tried.unlisted, settings))
    if tried.unopened:
        names = ", ".join(map(repr, tried.unopened))
        report.add("!", "Sealed", f"sessions in Redis need the key {names}, not given here: they cannot be opened.")
        report.advise("bring the key file of the machine that sealed them, and name it in the settings file's seal.")


def _report_capture(report: _Report, settings: Settings) -> None:
    """Say what of other programs' talks is kept, where capture was ever asked for."""
    if not (settings.data_dir / "capture").is_dir():
        return
    shelves, found = examined(settings)
    for shelf in shelves:
        due = f", {len(shelf.due) + shelf.due_kept:,} due for deletion by it" if shelf.due or shelf.due_kept else ""
        last = f"; last: {shelf.last.told}" if shelf.last else ""
        text = f"{shelf.program.shown}: {shelf.kept:,} talks kept, {len(shelf.not_yet):,} not yet{due}{last}."
        report.add("·", "Capture", text)
    for fault in found:
        report.add("!", "Capture", f"{fault.program}: {fault.what}" if fault.program else fault.what)


def _life(seconds: int, now: datetime) -> str:
    if not seconds:
        return "for ever"
    long = f"{seconds:,} s" if seconds % 86_400 else f"{seconds // 86_400:,} days"
    until = (now + timedelta(seconds=seconds)).date()
    return f"{long} after their last save or resume: what is saved now, until {until.isoformat()}"


def _found_elsewhere(environ: Mapping[str, str], home: Path) -> list[tuple[str, str]]:
    """Repository where coaiapy looks for a Redis and we do not, with the URL to set (its password stays hidden)."""
    found: list[tuple[str, str]] = []
    if url := environ.get("KV_URL"):
        found.append(("KV_URL", without_password(url)))
    found += [
        (name, f"rediss://default:***@{host}:6379 (*** is the token)")
        for name in ("UPSTASH_REDIS_REST_URL", "KV_REST_API_URL")
        if (host := urlsplit(environ.get(name, "")).hostname)
    ]
    try:
        data: Any = json.loads((home / "coaia.json").read_text(encoding="utf-8"))
        redis = data["jtaleconf"]
        scheme = "rediss" if redis.get("ssl") else "redis"
        password = ":***@" if redis.get("password") else ""
        target = f"{scheme}://{password}{redis['host']}:{redis.get('port', 6379)}/{redis.get('db', 0)}"
        found.append(("~/coaia.json", target))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # there is none, or it names no Redis
    return found
