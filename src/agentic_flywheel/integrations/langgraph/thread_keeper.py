"""Opens the stores of a checkpointer, and deletes, copies and prunes its threads, and says how long they live."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Self
from weakref import WeakKeyDictionary

from langgraph.checkpoint.serde.base import SerializerProtocol

from agentic_flywheel.integrations.adapter import Adapter
from agentic_flywheel.integrations.langgraph.blocking import BlockingSaver
from agentic_flywheel.integrations.langgraph.messages import messages_in
from agentic_flywheel.integrations.langgraph.pruning import needed
from agentic_flywheel.integrations.langgraph.records import Place, checkpoint_of
from agentic_flywheel.integrations.langgraph.talks import TAG, Talks
from agentic_flywheel.integrations.langgraph.thread_logs import ThreadLogs
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.sessions.caller_view import CallerViews
from agentic_flywheel.sessions.history import RevisionHistory
from agentic_flywheel.sessions.session_filter import MAX_PAGE, SessionFilter
from agentic_flywheel.sessions.wiring import tail_logs_of
from agentic_flywheel.settings import Settings


class ThreadKeeper(BlockingSaver):
    """A checkpointer that has stores, and of which those methods are still to be written that a run calls."""

    def __init__(
        self,
        *,
        serde: SerializerProtocol | None = None,
        settings: Settings | None = None,
        key_prefix: str | None = None,
        redis_url: str | None = None,
        ttl_seconds: int | None = None,
        redact: bool = False,
        messages_key: str = "messages",
    ) -> None:
        super().__init__(serde=serde)
        self._adapter = Adapter(
            settings=settings, key_prefix=key_prefix, redis_url=redis_url, ttl_seconds=ttl_seconds, redact=redact
        )
        self._messages_key = messages_key
        self._talks = Talks(self._adapter)
        self._logs: WeakKeyDictionary[asyncio.AbstractEventLoop, ThreadLogs] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return repr(self._adapter).replace(type(self._adapter).__name__, type(self).__name__, 1)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of what the running event loop has open. Using the object opens it anew."""
        self._logs.pop(asyncio.get_running_loop(), None)
        await self._adapter.aclose()

    async def _open(self) -> ThreadLogs:
        """The logs of threads in the stores of the running event loop."""
        stores, loop = await self._adapter.stores(), asyncio.get_running_loop()
        if (logs := self._logs.get(loop)) is None:
            tails = tail_logs_of(stores.sessions, self._adapter.settings)
            logs = self._logs[loop] = ThreadLogs(tails, stores.attached)
        return logs

    async def _threads(self) -> list[str]:
        """The threads that are kept: the sessions that say so."""
        sessions = (await self._adapter.stores()).sessions
        found, cursor = list[str](), ""
        while True:
            page = await sessions.list_sessions(SessionFilter(tags=[TAG], each=True), MAX_PAGE, cursor)
            found += [row["id"] for row in page.sessions]
            cursor = page.next_cursor or ""
            if not cursor:
                return found

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete the session of a thread, with its checkpoints, in every place."""
        logs = await self._open()
        self._talks.forget(thread_id)
        logs.forget(thread_id)
        await self._adapter.delete(thread_id)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that these runs made, of every thread; each is looked through."""
        logs = await self._open()
        wanted = {str(run_id) for run_id in run_ids}
        for thread_id in await self._threads() if wanted else ():
            for namespace in await logs.namespaces(thread_id):
                records = await logs.all_of(thread_id, namespace)
                gone = [record["checkpoint_id"] for record in records if record["run_id"] in wanted]
                if gone:
                    await logs.drop(thread_id, namespace, gone)

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy all checkpoints of a thread, and what tasks wrote at them; its session is forked."""
        logs = await self._open()
        life = await self._talks.life(source_thread_id)
        newest: JSONObject | None = None
        for namespace in await logs.namespaces(source_thread_id):
            records = await logs.all_of(source_thread_id, namespace)
            written = await logs.writes_at(source_thread_id, namespace, [each["checkpoint_id"] for each in records])
            for record, writes in zip(reversed(records), reversed(written), strict=True):
                place = Place(target_thread_id, namespace, record["checkpoint_id"])
                await logs.put(place, record, life)
                for each in writes:
                    await logs.put_writes(place, each, life)
            newest = newest or (records[0] if records and not namespace else None)
        if newest:
            memory = CallerViews()
            sessions = (await self._adapter.stores()).sessions
            await RevisionHistory(sessions).fork(memory, source_thread_id, new_session_id=target_thread_id)
            self._talks.forget(target_thread_id)
            messages = messages_in(checkpoint_of(self.serde, newest), self._messages_key)
            await self._talks.keep(target_thread_id, newest["checkpoint_id"], messages)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete checkpoints of threads; their sessions stay as they are.

        `keep_latest` keeps the newest of each namespace, and those before it without which its channels of deltas could
        not be read; `delete` keeps none.
        """
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"strategy must be 'keep_latest' or 'delete', not {strategy!r}")
        logs = await self._open()
        for thread_id in thread_ids:
            for namespace in await logs.namespaces(thread_id):
                records = await logs.all_of(thread_id, namespace)
                keep = await self._needed(logs, thread_id, namespace, records) if strategy == "keep_latest" else ()
                gone = [each["checkpoint_id"] for each in records if each["checkpoint_id"] not in keep]
                if gone:
                    await logs.drop(thread_id, namespace, gone)

    async def _needed(
        self, logs: ThreadLogs, thread_id: str, namespace: str, records: Iterable[JSONObject]
    ) -> Sequence[str]:
        """The checkpoints that the newest of these needs, and that itself."""
        known = {record["checkpoint_id"]: record for record in records}
        chain, wanted = list[JSONObject](), next(iter(known), None)
        while wanted and (record := known.pop(wanted, None)):
            chain.append(record)
            wanted = record["parent_id"]
        ids = [record["checkpoint_id"] for record in chain]
        written = await logs.writes_at(thread_id, namespace, ids)
        return needed(self.serde, chain, dict(zip(ids, written, strict=True)))

    async def aset_ttl(self, thread_id: str, ttl_seconds: int) -> None:
        """Have a thread live so long after its last checkpoint, from now on; 0 pins it: it never expires.

        Raises:
            DocumentError, Unavailable: it lives as it did.

        """
        logs = await self._open()
        await self._talks.set_life(thread_id, ttl_seconds)
        await logs.renew(thread_id, ttl_seconds)

    def set_ttl(self, thread_id: str, ttl_seconds: int) -> None:
        """As `aset_ttl`."""
        self._background.run(self.aset_ttl(thread_id, ttl_seconds))
