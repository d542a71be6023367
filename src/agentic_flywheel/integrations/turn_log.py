"""Treats a session's history as a log: appends what it is given, reads it, and edits it by compare and set.

For frameworks whose contract is "add these": nothing is compared with what is stored, so equal turns are kept twice.
A failure is an exception: a turn that was not kept must not look kept.
"""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

from agentic_flywheel.documents.model import Document
from agentic_flywheel.errors import Conflict, DeletedMeanwhile, InvalidArgument
from agentic_flywheel.integrations.adapter import AdapterBase
from agentic_flywheel.json_text import JSONObject, check_json, mended

if TYPE_CHECKING:  # imported when a store is opened
    from agentic_flywheel.documents.save_request import Save
    from agentic_flywheel.sessions.results import SaveResult

EDIT_SECONDS = 20.0
"""How long an edit is tried again while others save in between; each try takes milliseconds."""

_Answer = TypeVar("_Answer")

Edit = Callable[[list[JSONObject]], list[JSONObject] | None]
"""What becomes of a history; `None`: it stays as it is."""


async def append_turns(
    adapter: AdapterBase, session_id: str, turns: Sequence[JSONObject], **fields: Any
) -> "SaveResult":
    """Add turns as they are, all or none; `fields` are others of the save.

    What is added to a session that was deleted meanwhile begins it anew.

    Raises:
        InvalidArgument: JSON cannot carry them.
        DocumentError, Unavailable: they are not kept.

    """
    from agentic_flywheel.documents.save_request import Save

    save = Save(session_id=session_id, history=[*turns] or None, as_sent=True, **fields)
    async with (await adapter.stores()).turns.of(session_id):
        try:
            return await adapter.save_session(save)
        except DeletedMeanwhile:
            return await adapter.save_session(save)


async def edit_turns(
    adapter: AdapterBase,
    session_id: str,
    edit: Edit,
    note: str,
    *,
    begins: bool = False,
    context: JSONObject | None = None,
) -> bool:
    """Make the history what `edit` makes of it, as one revision; whether it changed.

    The rest of the session stays as it is, but for what is in `context`; the revision before can be restored. `edit`
    is called again where somebody saved in between. Without a session nothing is done, unless it `begins` one.

    Raises:
        InvalidArgument: JSON cannot carry what it became.
        Conflict: others saved in between for `EDIT_SECONDS`.
        DocumentError, Unavailable: it is not known, or not kept.

    """
    give_up = time.monotonic() + EDIT_SECONDS
    async with (await adapter.stores()).turns.of(session_id):
        while True:
            document = await adapter.read_session(session_id)
            history = edit(document.session.history if document else []) if document or begins else None
            if history is None:
                return False
            try:
                await adapter.save_session(_replacing(session_id, document, history, note, context or {}))
            except Conflict:
                if time.monotonic() > give_up:
                    raise
            else:
                return True


def _replacing(
    session_id: str, document: Document | None, history: list[JSONObject], note: str, context: JSONObject
) -> "Save":
    from agentic_flywheel.documents.save_request import Save
    from agentic_flywheel.sessions.history import save_fields

    fields: dict[str, Any] = (save_fields(document) if document else {}) | {"history": history}
    fields["context"] = fields.get("context", {}) | context
    revision = document.revision if document else 0
    return Save(session_id=session_id, mode="replace", expected_revision=revision, as_sent=True, note=note, **fields)


def plain_turns(items: Sequence[object], name: str) -> list[JSONObject]:
    """The items as JSON objects: themselves where they are that already.

    What JSON writes in another way (a tuple) becomes what it reads again, half a surrogate pair U+FFFD.

    Raises:
        TypeError: one is no mapping, or holds what JSON has not.
        InvalidArgument: one is nested too deeply, or a number is not finite.

    """
    turns = list(items)
    for at, item in enumerate(turns):
        if not isinstance(item, dict):
            raise TypeError(f"{name}[{at}] must be a dict, not {type(item).__name__}")
    objects = cast("list[JSONObject]", turns)
    try:
        check_json(objects, name)
    except InvalidArgument:
        objects = [mended(json.loads(json.dumps(item)))[0] for item in objects]
        check_json(objects, name)
    return objects


async def finished(work: Coroutine[Any, Any, _Answer]) -> _Answer:
    """What the work answers, which goes on to its end although the caller is cancelled; the caller is told then.

    Bounded by the work, each storage operation of which has its time-out.
    """
    task, cancelled = asyncio.ensure_future(work), None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as exc:
            cancelled = cancelled or exc
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # looked at, so that nobody warns of it
        raise cancelled
    return task.result()
