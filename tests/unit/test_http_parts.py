"""The parts of the server over HTTP that need no server: limits, hosts, names of folders, ids of sessions."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.errors import SettingError
from agentic_flywheel.server import http_limits
from agentic_flywheel.server.callers import RevisionsSeen
from agentic_flywheel.server.http_hosts import HostCheck
from agentic_flywheel.server.http_limits import AtOnce, Bodies, RateLimit, TooLarge, TooMuch, TooSlow
from agentic_flywheel.server.http_namespaces import Busy, Namespaces, folder_name, name_of
from agentic_flywheel.server.http_options import HTTPOptions
from agentic_flywheel.server.http_session_ids import Handshake, SessionIds
from agentic_flywheel.settings import Settings

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


def sends(*parts: bytes, then_waits: bool = False) -> Receive:
    """A client that sends these parts of a body."""
    left = list(parts)

    async def receive() -> MutableMapping[str, Any]:
        if not left and then_waits:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left) or then_waits}

    return receive


async def test_a_body_is_read_up_to_its_limit_and_gives_its_room_back():
    bodies = Bodies(largest=10, room=15, small=5)
    assert await bodies.read(sends(b"12345", b"67890"), None) == b"1234567890"
    with pytest.raises(TooMuch):
        await bodies.read(sends(b"123456"), None)
    assert await bodies.read(sends(b"12345"), None) == b"12345", "a small one, whoever holds the room"
    assert await bodies.read(sends(b"12345"), None) == b"12345"
    bodies.release(20)
    assert await bodies.read(sends(b"123456"), None) == b"123456"
    bodies.release(6)
    for size in (None, 11):
        with pytest.raises(TooLarge):
            await bodies.read(sends(b"12345678901"), size)
    assert await bodies.read(sends(b"1234567890"), 10)


async def test_a_body_that_does_not_come_is_not_waited_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(http_limits, "SILENT_SECONDS", 0.05)
    with pytest.raises(TooSlow):
        await Bodies(largest=10).read(sends(b"1", then_waits=True), None)


def test_each_client_has_a_bucket_of_its_own():
    now = 0.0
    limit = RateLimit(10, clock=lambda: now)
    assert [limit.seconds_to_wait("ann") for _ in range(20)] == [0.0] * 20
    assert limit.seconds_to_wait("ann") == pytest.approx(0.1)
    assert limit.seconds_to_wait("bob") == 0.0
    now = 0.1
    assert limit.seconds_to_wait("ann") == 0.0
    assert limit.seconds_to_wait("ann") > 0
    assert not any(RateLimit(0).seconds_to_wait("ann") for _ in range(10_000))


def test_one_client_has_so_many_requests_under_way():
    at_once = AtOnce(most=2)
    assert [at_once.enter("ann") for _ in range(3)] == [True, True, False]
    assert at_once.enter("bob")
    at_once.leave("ann")
    assert at_once.enter("ann")


@pytest.mark.parametrize(
    ("host", "is_served"),
    [
        ("localhost:8765", True),
        ("127.0.0.1", True),
        ("[::1]:8765", True),
        ("LOCALHOST", True),
        ("memory.example.org:443", True),
        ("evil.example.org", False),
        ("localhost.evil.example.org", False),
        ("localhost:80:80", False),
        ("localhost@evil.example.org", False),
        ("127.0.0.1.evil.example.org:8765", False),
        ("", False),
        ("0.0.0.0:8765", False),
    ],
)
def test_only_known_hosts_are_served(host: str, is_served: bool):  # noqa: FBT001
    for listens in ("127.0.0.1", "0.0.0.0", "::"):  # noqa: S104
        options = HTTPOptions(host=listens, allowed_hosts=("memory.example.org",))
        assert (HostCheck(options.hosts, ()).host_problem([host]) == "") is is_served
    assert HostCheck(["localhost"], ()).host_problem(["localhost", "localhost"])
    assert HostCheck(["localhost"], ()).host_problem([])


@pytest.mark.parametrize(
    "options",
    [
        HTTPOptions(host="0.0.0.0"),  # noqa: S104
        HTTPOptions(host="memory.example.org"),
        HTTPOptions(tls_cert=Path("cert.pem")),
        HTTPOptions(issuer="https://login.example.org"),
        HTTPOptions(issuer="http://login.example.org", audience="memory"),
        HTTPOptions(audience="memory"),
        HTTPOptions(allowed_origins=("chat.example.org",)),
        HTTPOptions(allowed_hosts=("*",)),
    ],
    ids=str,
)
def test_what_would_serve_strangers_or_makes_no_sense_is_refused(options: HTTPOptions):
    with pytest.raises(SettingError):
        options.check()


names = st.text(st.sampled_from("abcXYZ09_-"), min_size=1, max_size=12)


@given(names, names)
def test_two_namespaces_never_share_a_folder_also_where_case_does_not_count(one: str, other: str):
    assert name_of(folder_name(one)) == one
    assert (folder_name(one).casefold() == folder_name(other).casefold()) is (one == other)


def test_an_id_of_a_session_is_read_by_the_key_that_made_it_alone():
    ids, others = SessionIds(b"a" * 32), SessionIds(b"b" * 32)
    handshake = Handshake("2025-11-25", "Zoë's client", "1.0", asks=True)
    made = ids.new(handshake)
    assert ids.read(made) == handshake
    assert ids.new(handshake) != made
    assert others.read(made) is None
    for wrong in ("", ".", "..", made[:-1], made[1:], made.replace(".", ""), "é", made + "é"):
        assert ids.read(wrong) is None


@pytest.mark.parametrize(
    "params", [{}, {"clientInfo": 1, "capabilities": []}, {"protocolVersion": {}, "clientInfo": {}}]
)
def test_an_initialize_that_makes_no_sense_still_has_an_id(params: dict[str, Any]):
    ids = SessionIds(b"a" * 32)
    assert ids.read(ids.new(Handshake.of(params)))


def test_a_caller_over_http_is_remembered_by_the_revision_alone():
    views = RevisionsSeen()
    seen = views.of("garden")
    seen.revision = 7
    seen.resumed([{"role": "user", "content": "hello"}])
    assert views.of("garden").revision == 7
    assert views.of("garden").views is None


async def test_only_so_many_namespaces_are_open_and_an_idle_one_makes_room(tmp_path: Path):
    settings = Settings.from_env({"FLYWHEEL_DATA_DIR": str(tmp_path)})
    async with Namespaces(settings, None, 1000, most=2) as namespaces:
        async with namespaces.using("ns.one") as one, namespaces.using("ns.two"):
            with pytest.raises(Busy):
                async with namespaces.using("ns.three"):
                    pass
        async with namespaces.using("ns.three"), namespaces.using("ns.one") as again:
            assert again.sessions is not one.sessions or again is one
