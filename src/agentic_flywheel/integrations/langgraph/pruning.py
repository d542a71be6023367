"""Says which checkpoints a thread needs, so that its newest state can still be read when the others are gone.

A channel of deltas has a value at some checkpoints only; from there on, what tasks wrote makes it up. So the newest
checkpoint needs those before it, back to that value, and the writes of each.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import _DeltaSnapshot  # pyright: ignore[reportPrivateUsage]

from agentic_flywheel.integrations.langgraph.records import channels_written, checkpoint_of, metadata_of
from agentic_flywheel.json_text import JSONObject

COUNTED = "counters_since_delta_snapshot"
"""What the metadata of a checkpoint counts: the writes to each channel of deltas since its last value."""


def needed(
    serde: SerializerProtocol, chain: Sequence[JSONObject], writes: Mapping[str, Collection[JSONObject]]
) -> list[str]:
    """The ids of the checkpoints to keep: the first of the `chain`, the newest, and those before it that it needs.

    `writes`: what tasks wrote at each checkpoint of the chain, by its id.
    """
    if not chain:
        return []
    values = [checkpoint_of(serde, record)["channel_values"] for record in chain]
    wanted = _delta_channels(serde, chain, values, writes) - values[0].keys()
    count = 1
    while wanted and count < len(chain):
        wanted -= values[count].keys()
        count += 1
    return [record["checkpoint_id"] for record in chain[:count]]


def _delta_channels(
    serde: SerializerProtocol,
    chain: Sequence[JSONObject],
    values: Sequence[Mapping[str, object]],
    writes: Mapping[str, Collection[JSONObject]],
) -> set[str]:
    """The channels of deltas, as far as checkpoints tell them.

    The newest checkpoint counts what was written since the last value. Where none counts, a channel is one whose last
    value says so, or that was written to and never had any; better one checkpoint too many than a channel emptied.
    """
    counted: list[Any] = [cast("dict[str, Any]", metadata_of(serde, record)).get(COUNTED) for record in chain]
    if any(counted):
        return {*(counted[0] or ())}
    last: dict[str, object] = {}
    for each in values:
        last = {**each, **last}
    snapshots = {channel for channel, value in last.items() if isinstance(value, _DeltaSnapshot)}
    written: set[str] = set[str]().union(
        *(channels_written(writes.get(each["checkpoint_id"], ())) for each in chain[1:])
    )
    return snapshots | {channel for channel in written - last.keys() if not channel.startswith("__")}
