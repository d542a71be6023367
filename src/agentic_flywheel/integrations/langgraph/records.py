"""Turns checkpoints and pending writes into records of a log, and back: as bytes of the serializer, in base64."""

import hashlib
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, cast
from uuid import uuid4

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
    get_serializable_checkpoint_metadata,
    writes_sort_key,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.keys import check_id


class Place(NamedTuple):
    """Where a checkpoint is: its thread, its namespace ("" is the graph's own), its id ("" for the newest)."""

    thread_id: str
    namespace: str
    checkpoint_id: str

    @classmethod
    def of(cls, config: RunnableConfig) -> "Place":
        """The place that a config names."""
        given = config.get("configurable", {})
        return cls(
            check_id(str(given["thread_id"]), "thread_id"),
            given.get("checkpoint_ns") or "",
            given.get("checkpoint_id") or "",
        )

    def config(self, checkpoint_id: str | None = None) -> RunnableConfig:
        """The config that names it, or another checkpoint beside it."""
        named = self.checkpoint_id if checkpoint_id is None else checkpoint_id
        return {
            "configurable": {
                "thread_id": self.thread_id,
                "checkpoint_ns": self.namespace,
                "checkpoint_id": named,
            }
        }


def checkpoint_record(
    serde: SerializerProtocol, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata
) -> JSONObject:
    """A checkpoint as it is stored. Its id tells it from another state under the same checkpoint id."""
    said = get_serializable_checkpoint_metadata(config, metadata)
    kind, text = _typed(serde, checkpoint)
    digest = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
    run_id: object = cast("dict[str, Any]", said).get("run_id")
    return {
        "id": f"{checkpoint['id']}/{digest}",
        "checkpoint_id": checkpoint["id"],
        "parent_id": config.get("configurable", {}).get("checkpoint_id"),
        "run_id": str(run_id) if run_id is not None else None,
        "metadata": _typed(serde, said),
        "checkpoint": [kind, text],
    }


def checkpoint_of(serde: SerializerProtocol, record: JSONObject) -> Checkpoint:
    """The checkpoint in a record."""
    return cast("Checkpoint", _value(serde, record["checkpoint"]))


def metadata_of(serde: SerializerProtocol, record: JSONObject) -> CheckpointMetadata:
    """The metadata in the record of a checkpoint."""
    return cast("CheckpointMetadata", _value(serde, record["metadata"]))


def tuple_of(
    serde: SerializerProtocol, place: Place, record: JSONObject, writes: Sequence[JSONObject]
) -> CheckpointTuple:
    """The checkpoint in a record and its pending writes, as the framework takes them."""
    parent: str | None = record["parent_id"]
    return CheckpointTuple(
        config=place.config(record["checkpoint_id"]),
        checkpoint=checkpoint_of(serde, record),
        metadata=metadata_of(serde, record),
        parent_config=place.config(parent) if parent else None,
        pending_writes=pending_writes(serde, writes),
    )


def writes_record(
    serde: SerializerProtocol, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
) -> JSONObject:
    """What one task wrote, as it is stored; each call makes a record of its own."""
    return {
        "id": uuid4().hex,
        "task_id": task_id,
        "task_path": task_path,
        "writes": [
            [WRITES_IDX_MAP.get(channel, at), channel, *_typed(serde, value)]
            for at, (channel, value) in enumerate(writes)
        ],
    }


def pending_writes(
    serde: SerializerProtocol, records: Iterable[JSONObject], channels: frozenset[str] | None = None
) -> list[PendingWrite]:
    """The pending writes of a checkpoint in the order in which a run applies them; of all `channels`, or these.

    What a task writes again stays as it was first written; an error, an interrupt and the like are replaced.
    """
    kept: dict[tuple[str, int], tuple[str, str, list[Any]]] = {}
    for path, task_id, at, channel, stored in _each_write(records):
        if at < 0 or (task_id, at) not in kept:
            kept[task_id, at] = path, channel, stored
    ordered = sorted(kept.items(), key=lambda each: writes_sort_key(each[1][0], *each[0]))
    return [
        (task_id, channel, _value(serde, stored))
        for (task_id, _), (_, channel, stored) in ordered
        if channels is None or channel in channels
    ]


def channels_written(records: Iterable[JSONObject]) -> set[str]:
    """The channels that the writes are for."""
    return {channel for _, _, _, channel, _ in _each_write(records)}


def _each_write(records: Iterable[JSONObject]) -> Iterator[tuple[str, str, int, str, list[Any]]]:
    for record in records:
        for at, channel, *stored in record["writes"]:
            yield record["task_path"], record["task_id"], at, channel, stored


def _typed(serde: SerializerProtocol, value: object) -> list[str]:
    kind, data = serde.dumps_typed(value)
    return [kind, b2a_base64(data, newline=False).decode()]


def _value(serde: SerializerProtocol, stored: list[str]) -> Any:  # noqa: ANN401  any state
    kind, text = stored
    return serde.loads_typed((kind, a2b_base64(text)))
