"""Keeps the checkpoints of LangGraph's graphs beside sessions in which their messages can be read.

    async with FlywheelSaver() as saver:
        graph = builder.compile(checkpointer=saver)
        await graph.ainvoke({"messages": [("user", "Which rose?")]}, {"configurable": {"thread_id": "garden"}})

The session of that id has the messages: it is listed, searched, resumed, restored and deleted by every other door. The
checkpoints are documents beside it, go with it when it is deleted, and live as long. Each method is there twice, plain
and as `a…`; the plain ones run on an event loop of their own and may be called from any thread.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    PendingWrite,
)

from agentic_flywheel.integrations.langgraph.messages import messages_in, replayed
from agentic_flywheel.integrations.langgraph.pruning import COUNTED
from agentic_flywheel.integrations.langgraph.records import (
    Place,
    checkpoint_of,
    checkpoint_record,
    metadata_of,
    pending_writes,
    tuple_of,
    writes_record,
)
from agentic_flywheel.integrations.langgraph.thread_keeper import ThreadKeeper
from agentic_flywheel.integrations.langgraph.thread_logs import ThreadLogs
from agentic_flywheel.json_text import JSONObject

READ_SIDE_BY_SIDE = 16
"""Checkpoints of a list whose writes are read at a time."""


class FlywheelSaver(ThreadKeeper):
    """Keeps checkpoints, and what tasks wrote at them, beside the sessions of their threads.

    What is kept is acknowledged as sessions are: a method that returns has it in Redis or, where that does not answer,
    on this machine's disk; else it raises `Unavailable` or a `DocumentError`.

    Args:
        serde: turns states into bytes and back; by default LangGraph's own.
        settings: where to keep them; by default as the environment and the settings file name it.
        key_prefix: another prefix of the keys than those name.
        redis_url: another Redis.
        ttl_seconds: how long a new thread lives after its last checkpoint; 0: for ever. By default as sessions do.
        redact: whether credentials are replaced in the session that can be read. Checkpoints stay whole.
        messages_key: the channel that has the messages.

    """

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that the config names, or the newest of its thread and namespace; `None` if there is none."""
        logs = await self._open()
        place = Place.of(config)
        found, writes = await logs.find_with_writes(place)
        return tuple_of(self.serde, place, found.record, writes) if found else None

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  the framework's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """The checkpoints of a thread, or of all, newest first; of each namespace where the config names none."""
        logs = await self._open()
        place = Place.of(config) if config else None
        earlier = Place.of(before).checkpoint_id if before else ""
        left = limit
        for thread_id in [place.thread_id] if place else await self._threads():
            named = config is not None and "checkpoint_ns" in config.get("configurable", {})
            for namespace in [place.namespace] if place and named else await logs.namespaces(thread_id):
                records = [
                    record
                    for record in await logs.all_of(thread_id, namespace)
                    if (not place or not place.checkpoint_id or record["checkpoint_id"] == place.checkpoint_id)
                    and (not earlier or record["checkpoint_id"] < earlier)
                    and self._matches(record, filter)
                ][:left]
                left = None if left is None else left - len(records)
                async for each in self._tuples(logs, thread_id, namespace, records):
                    yield each

    def _matches(self, record: JSONObject, wanted: Mapping[str, Any] | None) -> bool:
        said: Mapping[str, Any] = metadata_of(self.serde, record) if wanted else {}
        return all(said.get(name) == value for name, value in (wanted or {}).items())

    async def _tuples(
        self, logs: ThreadLogs, thread_id: str, namespace: str, records: Sequence[JSONObject]
    ) -> AsyncIterator[CheckpointTuple]:
        for at in range(0, len(records), READ_SIDE_BY_SIDE):
            some = records[at : at + READ_SIDE_BY_SIDE]
            written = await logs.writes_shown(thread_id, namespace, [record["checkpoint_id"] for record in some])
            for record, writes in zip(some, written, strict=True):
                yield tuple_of(self.serde, Place(thread_id, namespace, record["checkpoint_id"]), record, writes)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002  all channels are kept in each checkpoint
    ) -> RunnableConfig:
        """Keep a checkpoint, whose parent the config names; the config that names it.

        Raises:
            DocumentError, Unavailable: it is not kept.

        """
        logs = await self._open()
        place = Place.of(config)._replace(checkpoint_id=checkpoint["id"])
        record = checkpoint_record(self.serde, config, checkpoint, metadata)
        life = await self._talks.life(place.thread_id)
        messages = messages_in(checkpoint, self._messages_key)
        begins = not config.get("configurable", {}).get("checkpoint_id") and self._talks.has_turns(place.thread_id)
        begins = begins and not place.namespace and await logs.is_empty(place)
        keep = partial(self._talks.keep, place.thread_id, checkpoint["id"], begins=begins)
        if place.namespace:
            await logs.put(place, record, life)
        elif messages is None and self._messages_key in (metadata.get(COUNTED) or {}):
            await logs.put(place, record, life)
            await keep(await self._replayed(place))
        elif not begins and self._talks.has(place.thread_id, checkpoint["id"], messages):
            await logs.put(place, record, life)
        elif self._adapter.settings.redis_enabled:
            await asyncio.gather(logs.put(place, record, life), keep(messages))
        else:  # the checkpoint syncs both
            await keep(messages)
            await logs.put(place, record, life)
        return place.config()

    async def _replayed(self, place: Place) -> list[object]:
        """The messages at a checkpoint whose channel of them has deltas only."""
        history = await self.aget_delta_channel_history(config=place.config(), channels=[self._messages_key])
        return replayed(history[self._messages_key])

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keep what a task wrote at a checkpoint.

        Raises:
            DocumentError, Unavailable: it is not kept.

        """
        logs = await self._open()
        place = Place.of(config)
        life = await self._talks.life(place.thread_id)
        await logs.put_writes(place, writes_record(self.serde, writes, task_id, task_path), life)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """What each channel's value at a checkpoint is made of: the last value before it, and the writes since."""
        logs = await self._open()
        place = Place.of(config)
        target = await logs.find(place) if channels else None
        chain, seeds = list[tuple[str, frozenset[str]]](), dict[str, Any]()
        if target is not None:
            async for record in logs.ancestors(place, target.record):
                unseeded = frozenset(channels) - seeds.keys()
                chain.append((record["checkpoint_id"], unseeded))
                values = checkpoint_of(self.serde, record)["channel_values"]
                seeds |= {channel: values[channel] for channel in unseeded & values.keys()}
                if len(seeds) == len({*channels}):
                    break
        written = await logs.writes_at(place.thread_id, place.namespace, [each for each, _ in chain])
        found: dict[str, list[PendingWrite]] = {channel: [] for channel in channels}
        for (_, unseeded), records in zip(reversed(chain), reversed(written), strict=True):
            for write in pending_writes(self.serde, records, unseeded):
                found[write[1]].append(write)
        return {
            channel: {"writes": writes, "seed": seeds[channel]} if channel in seeds else {"writes": writes}
            for channel, writes in found.items()
        }

    def get_next_version(self, current: str | int | float | None, channel: None) -> str:  # noqa: ARG002
        """The version after this one: a number that sorts as text, and chance that tells branches apart."""
        before = 0 if current is None else int(str(current).split(".")[0])
        return f"{before + 1:032}.{random.random():016}"  # noqa: S311  no secret
