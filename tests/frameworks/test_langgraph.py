"""LangGraph's checkpointer: the owner's conformance package, delta channels, lives, namespaces, blocking calls."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import ALL_CAPABILITIES
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot

from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.integrations.langgraph import FlywheelSaver
from agentic_flywheel.sessions import tail_logs

from ..support.waiting import eventually

pytestmark = pytest.mark.usefixtures("env")


def config_of(thread_id: str, namespace: str = "", checkpoint_id: str = "") -> RunnableConfig:
    named = {"checkpoint_id": checkpoint_id} if checkpoint_id else {}
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace, **named}}


def checkpoint(step: int = 0, **values: object) -> Checkpoint:
    return {
        "v": 1,
        "id": str(uuid6(clock_seq=step)),
        "ts": "",
        "channel_values": values,
        "channel_versions": dict.fromkeys(values, step),
        "versions_seen": {},
        "updated_channels": None,
    }


def about(**said: object) -> CheckpointMetadata:
    return cast("CheckpointMetadata", {"source": "loop", "step": 0, "parents": {}, **said})


async def chain(
    saver: FlywheelSaver, thread_id: str, states: list[dict[str, object]], namespace: str = ""
) -> list[RunnableConfig]:
    """Checkpoints of a thread, each the parent of the next; at each, a task writes its number to `log`."""
    at, made = config_of(thread_id, namespace), list[RunnableConfig]()
    for step, values in enumerate(states):
        at = await saver.aput(at, checkpoint(step, **values), about(step=step), dict.fromkeys(values, step))
        await saver.aput_writes(at, [("log", [step])], f"task-{step}")
        made.append(at)
    return made


def id_of(config: RunnableConfig | None) -> str:
    assert config
    return config.get("configurable", {})["checkpoint_id"]


async def listed(saver: FlywheelSaver, config: RunnableConfig | None, **wanted: Any) -> list[CheckpointTuple]:
    return [each async for each in saver.alist(config, **wanted)]


@pytest.mark.slow
async def test_the_owners_conformance_package_passes_in_all_its_capabilities():
    @checkpointer_test(name="FlywheelSaver")
    async def savers() -> AsyncIterator[BaseCheckpointSaver[str]]:
        async with FlywheelSaver() as saver:
            yield saver

    report = await validate(savers)

    passed = {name for name, result in report.results.items() if result.passed}
    assert passed == {each.value for each in ALL_CAPABILITIES}
    assert sum(result.tests_passed for result in report.results.values()) >= 81
    assert report.passed_all()


async def test_a_checkpoint_is_read_in_another_process_with_its_writes_in_the_order_of_a_run():
    async with FlywheelSaver() as saver:
        kept = await saver.aput(config_of("t"), checkpoint(0, data=b"\x00\xff"), about(), {"data": 0})
        await saver.aput_writes(kept, [("log", "third")], "a", "~pull, 02")
        await saver.aput_writes(kept, [("log", "second"), ("other", 1)], "z", "~pull, 01")
        await saver.aput_writes(kept, [("log", "first")], "m")
    async with FlywheelSaver() as another:
        found = await another.aget_tuple(config_of("t"))

    assert found
    assert found.checkpoint["channel_values"] == {"data": b"\x00\xff"}
    assert found.pending_writes == [
        ("m", "log", "first"), ("z", "log", "second"), ("z", "other", 1), ("a", "log", "third"),
    ]  # fmt: skip


async def test_a_write_stays_as_it_was_first_made_and_an_error_is_replaced():
    async with FlywheelSaver() as saver:
        kept = await saver.aput(config_of("t"), checkpoint(), about(), {})
        await saver.aput_writes(kept, [("log", "first")], "task")
        await saver.aput_writes(kept, [("log", "again")], "task")
        await saver.aput_writes(kept, [("__error__", "one")], "task")
        await saver.aput_writes(kept, [("__error__", "another")], "task")
        found = await saver.aget_tuple(kept)

    assert found
    assert sorted(found.pending_writes or []) == [("task", "__error__", "another"), ("task", "log", "first")]


async def test_writes_may_come_before_their_checkpoint():
    early = checkpoint()
    async with FlywheelSaver() as saver:
        await saver.aput_writes(config_of("t", "", early["id"]), [("log", 1)], "task")
        await saver.aput(config_of("t"), early, about(), {})
        found = await saver.aget_tuple(config_of("t"))

    assert found
    assert found.pending_writes == [("task", "log", 1)]


async def test_the_same_checkpoint_put_twice_is_one_and_another_state_of_it_takes_its_place():
    one = checkpoint(0, data=1)
    async with FlywheelSaver() as saver:
        for _ in range(2):
            await saver.aput(config_of("t"), one, about(), {"data": 0})
        assert len(await listed(saver, config_of("t"))) == 1
        await saver.aput(config_of("t"), {**one, "channel_values": {"data": 2}}, about(), {"data": 0})
        [found] = await listed(saver, config_of("t"))

    assert found.checkpoint["channel_values"] == {"data": 2}


async def test_a_long_thread_is_read_from_its_end_and_found_again_by_a_new_process():
    async with FlywheelSaver() as saver:
        made = await chain(saver, "long", [{"data": f"{step}" * 9000} for step in range(40)])
    async with FlywheelSaver() as another:
        newest = await another.aget_tuple(config_of("long"))
        third = await another.aget_tuple(made[2])
        all_of_them = [id_of(each.config) for each in await listed(another, config_of("long"))]
        following = await another.aput(made[-1], checkpoint(41), about(), {})
        after = await another.aget_tuple(config_of("long"))

    assert newest
    assert third
    assert after
    assert id_of(newest.config) == id_of(made[-1])
    assert id_of(newest.parent_config) == id_of(made[-2])
    assert third.checkpoint["channel_values"] == {"data": "2" * 9000}
    assert all_of_them == [id_of(config) for config in reversed(made)]
    assert id_of(after.config) == id_of(following)


async def test_the_newest_is_the_one_with_the_highest_id_even_where_a_slower_put_came_after_it(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(tail_logs, "SEGMENT_BYTES", 1)  # each in a segment of its own
    slow, fast = checkpoint(1), checkpoint(2)
    async with FlywheelSaver() as saver:
        for each in (fast, slow):
            await saver.aput(config_of("t"), each, about(), {})
            found = await saver.aget_tuple(config_of("t"))
            assert found
        assert found.checkpoint["id"] == fast["id"]


async def test_lists_are_of_all_namespaces_and_all_threads_where_none_is_named():
    async with FlywheelSaver() as saver:
        await chain(saver, "one", [{}, {}])
        await chain(saver, "one", [{}], "child:1|grandchild:2")
        await chain(saver, "two", [{}])
        without: RunnableConfig = {"configurable": {"thread_id": "one"}}
        places = [each.config.get("configurable", {}) for each in await listed(saver, None)]

        assert len(await listed(saver, without)) == 3
        assert len(await listed(saver, config_of("one"))) == 2
        assert len(await listed(saver, None, limit=3)) == 3
        assert len(await listed(saver, None, limit=0)) == 0
    assert sorted((place["thread_id"], place["checkpoint_ns"]) for place in places) == [
        ("one", ""), ("one", ""), ("one", "child:1|grandchild:2"), ("two", ""),
    ]  # fmt: skip


# Channels of deltas


async def test_a_channel_of_deltas_is_its_last_value_and_the_writes_since():
    snapshot = _DeltaSnapshot(["until 1"])
    async with FlywheelSaver() as saver:
        made = await chain(saver, "t", [{"log": ["old"]}, {"log": snapshot}, {}, {}, {}])
        history = await saver.aget_delta_channel_history(config=made[-1], channels=["log", "none"])
        of_newest = await saver.aget_delta_channel_history(config=config_of("t"), channels=["log"])
        blocking = await asyncio.to_thread(saver.get_delta_channel_history, config=made[-1], channels=["log"])
        saver.close()
        slow = await BaseCheckpointSaver.aget_delta_channel_history(saver, config=made[-1], channels=["log", "none"])
        assert await saver.aget_delta_channel_history(config=made[-1], channels=[]) == {}

    assert history["log"].get("seed") == snapshot
    assert "seed" not in history["none"]
    assert [value for _, _, value in history["log"]["writes"]] == [[1], [2], [3]]
    assert history == slow
    assert blocking["log"] == of_newest["log"] == history["log"]


@pytest.mark.parametrize("counted", [True, False])
async def test_pruning_keeps_what_the_newest_state_is_made_of(*, counted: bool):
    async with FlywheelSaver() as saver:
        at, made = config_of("t"), list[RunnableConfig]()
        for step in range(6):
            values: dict[str, object] = {"log": _DeltaSnapshot([])} if step == 2 else {}
            said = about(counters_since_delta_snapshot={"log": (step, step)}) if counted and step != 2 else about()
            at = await saver.aput(at, checkpoint(step, **values), said, {})
            await saver.aput_writes(at, [("log", [step])], "task")
            made.append(at)
        before = await saver.aget_delta_channel_history(config=at, channels=["log"])
        await saver.aprune(["t"], strategy="keep_latest")
        left = [id_of(each.config) for each in await listed(saver, config_of("t"))]
        again = await saver.aput(at, checkpoint(6), about(), {})

        assert await saver.aget_delta_channel_history(config=at, channels=["log"]) == before
        assert left == [id_of(config) for config in reversed(made[2:])]
        found = await saver.aget_tuple(config_of("t"))
        assert found
        assert id_of(found.config) == id_of(again)


async def test_a_copy_has_the_whole_chain_and_goes_its_own_way():
    async with FlywheelSaver() as saver:
        made = await chain(saver, "source", [{"log": _DeltaSnapshot([0])}, {}, {}])
        await saver.acopy_thread("source", "target")
        there = config_of("target", "", id_of(made[-1]))
        await saver.aput(there, checkpoint(4), about(), {})
        copied = await saver.aget_delta_channel_history(config=there, channels=["log"])

        assert copied == await saver.aget_delta_channel_history(config=made[-1], channels=["log"])
        assert len(await listed(saver, config_of("source"))) == 3
        assert len(await listed(saver, config_of("target"))) == 4


# Lives and deletions


async def test_a_thread_expires_and_begins_anew_without_what_it_was():
    async with FlywheelSaver(ttl_seconds=1) as saver:
        await chain(saver, "t", [{"data": "x" * 40_000}] * 4)

        async def is_gone() -> bool:
            return await saver.aget_tuple(config_of("t")) is None and not await listed(saver, config_of("t"))

        await eventually(is_gone)
        await saver.aput(config_of("t"), checkpoint(), about(), {})
        assert len(await listed(saver, config_of("t"))) == 1


async def test_a_thread_that_is_pinned_stays():
    async with FlywheelSaver(ttl_seconds=2) as saver:
        pinned = await chain(saver, "pinned", [{"data": "x" * 40_000}] * 4)
        await saver.aset_ttl("pinned", 0)
        await chain(saver, "short", [{}])
        await saver.aput(pinned[-1], checkpoint(5), about(), {})
        async with FlywheelSaver(ttl_seconds=2) as another:
            await another.aput(pinned[-1], checkpoint(6), about(), {})

            async def is_gone() -> bool:
                return await another.aget_tuple(config_of("short")) is None

            await eventually(is_gone)
            found = await listed(another, config_of("pinned"))

    assert len(found) == 6
    assert found[-1].pending_writes == [("task-0", "log", [0])]


async def test_a_deleted_thread_begins_anew_in_a_process_that_knew_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tail_logs, "SEGMENT_BYTES", 1)
    async with FlywheelSaver() as saver, FlywheelSaver() as other:
        await chain(saver, "t", [{}] * 3)
        await other.adelete_thread("t")
        assert await saver.aget_tuple(config_of("t")) is None
        kept = await saver.aput(config_of("t"), checkpoint(), about(), {})
        [found] = await listed(other, config_of("t"))

    assert found.config == kept


async def test_what_is_put_while_a_thread_is_pruned_stays():
    async with FlywheelSaver() as saver, FlywheelSaver() as other:
        made = await chain(saver, "t", [{}] * 10)
        putting = [other.aput(made[-1], checkpoint(20 + at), about(), {}) for at in range(10)]
        *kept, _ = await asyncio.gather(*putting, saver.aprune(["t"]))
        there = {id_of(each.config) for each in await listed(other, config_of("t"))}

    # Who prunes may have seen some of them, and kept the newest of those: none that is newer may go.
    assert max(map(id_of, cast("list[RunnableConfig]", kept))) in there


async def test_runs_are_deleted_from_every_thread_and_namespace():
    async with FlywheelSaver() as saver:
        for thread_id, namespace in (("one", ""), ("one", "child"), ("two", "")):
            for run_id in ("this", "other"):
                await saver.aput(config_of(thread_id, namespace), checkpoint(), about(run_id=run_id), {})
        await saver.adelete_for_runs(["this"])
        left = [cast("dict[str, Any]", each.metadata)["run_id"] for each in await listed(saver, None)]

    assert left == ["other"] * 3


# Other ways to call it


def test_every_method_blocks_where_no_loop_runs_and_beside_one():
    saver = FlywheelSaver()
    with contextlib.closing(saver):
        kept = saver.put(config_of("t"), checkpoint(0, data=1), about(run_id="run"), {"data": 0})
        saver.put_writes(kept, [("log", 1)], "task")
        saver.copy_thread("t", "copy")
        found = saver.get_tuple(config_of("copy"))
        assert found
        assert found.pending_writes == [("task", "log", 1)]
        assert len(list(saver.list(config_of("t")))) == 1
        saver.set_ttl("t", 0)
        saver.prune(["t"], strategy="delete")
        assert saver.get_tuple(config_of("t")) is None
        saver.delete_for_runs(["run"])
        assert saver.get_tuple(config_of("copy")) is None
        saver.delete_thread("t")

        async def beside_a_loop() -> None:
            await saver.aput(config_of("async"), checkpoint(), about(), {})
            assert saver.get_tuple(config_of("async"))
            await saver.aclose()

        asyncio.run(beside_a_loop())


def test_versions_grow_as_text_and_go_on_from_numbers():
    saver = FlywheelSaver()
    first = saver.get_next_version(None, None)
    second = saver.get_next_version(first, None)
    tenth = saver.get_next_version(9, None)

    assert first < second < tenth
    assert saver.config_specs == []


async def test_a_clone_with_an_allowlist_reads_the_same_threads():
    async with FlywheelSaver(serde=JsonPlusSerializer(allowed_msgpack_modules=[("a", "module")])) as saver:
        clone = saver.with_allowlist([("some", "module")])
        kept = await saver.aput(config_of("t"), checkpoint(), about(), {})
        found = await clone.aget_tuple(config_of("t"))

    assert clone is not saver
    assert found
    assert found.config == kept


async def test_what_cannot_be_kept_is_refused_with_its_reason():
    async with FlywheelSaver() as saver:
        with pytest.raises(InvalidArgument, match="thread_id"):
            await saver.aput(config_of("a\nb"), checkpoint(), about(), {})
        with pytest.raises(ValueError, match="strategy"):
            await saver.aprune(["t"], strategy="some")
    assert "secret" not in repr(FlywheelSaver(redis_url="redis://:secret@127.0.0.1:1/0"))
