"""A flow history that was deleted and begun anew: what other machines still have of the life before stays deleted."""

from datetime import timedelta
from pathlib import Path

import pytest

from agentic_flywheel.documents.delete import DeleteCommand
from agentic_flywheel.session_keys import SessionKeys

from .conftest import Clock
from .destinations import Machine
from .test_flow_history import cached
from .test_flow_history_set_back import answers, elsewhere, key_of, machine, put_back, there

__all__ = ["elsewhere", "machine"]  # fixtures


def deletion(machine: Machine) -> DeleteCommand:
    keys = SessionKeys.of(machine.keys.session("s"))
    assert keys
    index = machine.keys.index
    return DeleteCommand(
        key=keys.session, member="s", index=index, revisions=keys.revisions, histories=keys.histories
    )  # fmt: skip


@pytest.mark.parametrize("anew", [(), ("new",)], ids=["deleted", "begun anew"])
@pytest.mark.parametrize("then", ["writes", "reads", "polls", "sends what it kept before", "sends what it kept since"])
async def test_a_machine_that_has_not_heard_of_the_deletion_brings_nothing_back(
    machine: Machine, elsewhere: Machine, tmp_path: Path, clock: Clock, then: str, anew: tuple[str, ...]
):
    key = key_of(machine)
    async with (
        machine.repository(tmp_path / "child", worker=False) as here,
        elsewhere.repository(tmp_path / "there", worker=False) as other,
    ):
        await here.write(machine.save("s", "hello"))
        for name in ("one", "two"):
            await here.write(cached(clock(), name, key=key, ttl=3600))
        assert (await other.read(key)).text
        await other._locks.idle()
        if then == "sends what it kept before":
            elsewhere.keep(cached(clock(), "before", key=key, ttl=3600))
        clock.now += timedelta(seconds=1)
        await here.write(deletion(machine))
        clock.now += timedelta(seconds=1)
        for name in anew:
            await here.write(cached(clock(), name, key=key, ttl=3600))
        if then == "writes":
            await other.write(cached(clock(), "since", key=key, ttl=3600))
        elif then == "reads":
            await other.read(key)
        elif then == "polls":
            assert await answers(other)
        elif then == "sends what it kept since":
            elsewhere.keep(cached(clock(), "since", key=key, ttl=3600))
        await put_back(other)
        assert there(machine) == {*anew, *(["since"] if then in ("writes", "sends what it kept since") else [])}
