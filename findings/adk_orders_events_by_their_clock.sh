#!/usr/bin/env bash
# Google ADK's three session services give one talk back in three orders. An event's time is whatever the program that made
# it had on its clock, and InMemorySessionService keeps events as they were appended. The two that keep them for good sort
# by that time instead: an answer appended from a machine whose clock is a minute behind stands before its question from then
# on. DatabaseSessionService breaks a tie of two times by the events' ids, which are random, so that a talk replayed or
# imported with times in whole seconds comes back shuffled, and num_recent_events=2 leaves out what was said last;
# SqliteSessionService takes the order of the rows there. No service reports anything. Whoever copies a talk into ADK has to
# make times that rise, and whoever reads one from several machines cannot tell the order from the times.
#
# Versions: google-adk 2.13.0, SQLAlchemy 2.1.9, aiosqlite 0.22.1
# Source: google/adk/sessions/in_memory_session_service.py, database_session_service.py, sqlite_session_service.py
# Seen: InMemorySessionService: behind: question, answer; one second: 0 1 2 3 4 5 6 7, the last two 6 7
#       DatabaseSessionService: behind: answer, question; one second: 0 3 6 1 4 7 2 5, the last two 2 5
#       SqliteSessionService: behind: answer, question; one second: 0 1 2 3 4 5 6 7, the last two 6 7
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check google-adk==2.13.0 "SQLAlchemy[asyncio]==2.1.9" aiosqlite==0.22.1
cat >"$folder/look.py" <<'PY'
import asyncio
import logging
import sys
import warnings

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)

from google.adk.events import Event
from google.adk.sessions import DatabaseSessionService, InMemorySessionService
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types


async def talk(service, name: str, said: list[tuple[str, float, str]], last: int | None = None) -> list[str]:
    session = await service.get_session(app_name="garden", user_id="ann", session_id=name)
    if session is None:
        session = await service.create_session(app_name="garden", user_id="ann", session_id=name)
        for text, time, id in said:
            content = types.Content(role="user", parts=[types.Part(text=text)])
            await service.append_event(
                session, Event(id=id, author="user", invocation_id="one", timestamp=time, content=content)
            )
    config = GetSessionConfig(num_recent_events=last) if last else None
    kept = await service.get_session(app_name="garden", user_id="ann", session_id=name, config=config)
    return [event.content.parts[0].text for event in kept.events]


async def main(folder: str) -> None:
    behind = [("question", 1000.0, "e1"), ("answer", 940.0, "e2")]
    # Ids as random as ADK's own, but the same at each run.
    second = [(str(at), 2000.0, f"{at * 3 % 8}-event") for at in range(8)]
    for service in (
        InMemorySessionService(),
        DatabaseSessionService(f"sqlite+aiosqlite:///{folder}/database.db"),
        SqliteSessionService(f"{folder}/sqlite.db"),
    ):
        print(
            f"{type(service).__name__}: behind: {', '.join(await talk(service, 'behind', behind))};"
            f" one second: {' '.join(await talk(service, 'second', second))},"
            f" the last two {' '.join(await talk(service, 'second', second, last=2))}"
        )


asyncio.run(main(sys.argv[1]))
PY
seen=$("$folder/venv/bin/python" "$folder/look.py" "$folder")
echo "$seen"
[ "$seen" = "InMemorySessionService: behind: question, answer; one second: 0 1 2 3 4 5 6 7, the last two 6 7
DatabaseSessionService: behind: answer, question; one second: 0 3 6 1 4 7 2 5, the last two 2 5
SqliteSessionService: behind: answer, question; one second: 0 1 2 3 4 5 6 7, the last two 6 7" ] || exit 1
