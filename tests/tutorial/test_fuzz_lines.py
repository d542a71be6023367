"""Whatever line is sent, in either era of the protocol: what asks for an answer gets one, and the next is served."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ..conftest import clean_env
from ..support.fuzz import ERAS, INTERNALS, META, LiveServer, fuzzed
from ..support.redis_server import NOBODY_LISTENS
from ..support.wire import WireServer

pytestmark = pytest.mark.slow

PARSE_ERROR, INVALID_REQUEST = -32700, -32600
MB = 1_000_000
SILENCE = object()  # wanted of blank lines, notifications and answers
ANY = object()  # wanted of a line that cannot be read: an id that may be in it, or null
EITHER = object()  # of a notification with half a surrogate pair: it is mended, or answered with null


@pytest.fixture(scope="module", params=ERAS)
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    env = clean_env(tmp_path_factory.mktemp("live"), NOBODY_LISTENS, "p") | {"REDIS_ENABLED": "false"}
    live = LiveServer(lambda: WireServer(env), request.param)
    yield live
    live.close()


def check(live: LiveServer, line: bytes, wanted: Any, code: int | None = None) -> None:
    """One answer with the wanted id, or none."""
    said = live.said_to(line, awaited=wanted not in (SILENCE, EITHER))
    if wanted is SILENCE or (wanted is EITHER and not said):
        assert said == []
        return
    (answer,) = said
    identity = answer["id"]
    assert ("result" in answer) != ("error" in answer)
    assert identity is None or type(identity) in (int, str)
    assert wanted in (ANY, EITHER) or (type(identity), identity) == (type(wanted), wanted)
    if "error" in answer:
        assert code in (None, answer["error"]["code"])
        assert not any(internal in answer["error"]["message"] for internal in INTERNALS)
    else:
        assert code is None


def line(identity: str = "7", rest: str = '"method":"ping"', *, last: bool = False) -> str:
    """A line that is a request, if these are JSON text for an id and all but the id."""
    return f'{{"jsonrpc":"2.0",{rest},"id":{identity}}}' if last else f'{{"jsonrpc":"2.0","id":{identity},{rest}}}'


def deep(levels: int) -> str:
    return f'"method":"ping","params":{{"a":{"[" * levels}{"]" * levels}}}'


# requests whose id is none

NO_IDS = ["null", "1.5", "1.0", "-0.0", "1e3", "true", "false", "{}", '{"id":1}', "[]", "[1]"]
CALL_LIST = '"method":"tools/call","params":{"name":"list_sessions","arguments":{}}'


@pytest.mark.parametrize("identity", NO_IDS)
def test_a_request_whose_id_is_neither_text_nor_an_integer_is_invalid(identity: str, live: LiveServer):
    for rest in ('"method":"ping"', CALL_LIST):
        for last in (False, True):
            check(live, line(identity, rest, last=last).encode(), None, INVALID_REQUEST)


# other lines that no client should send

ESCAPED_QUOTES = '\\"' * 500_000
ODD_IDS = {'""': "", '"\\u0000"': "\0", '"\\ud83c\\udf3e"': "🌾", '"7"': "7", "-0": 0, "-7": -7, f"{2**70}": 2**70,
           '"' + "x" * 100_000 + '"': "x" * 100_000}  # fmt: skip
LINES: dict[str, tuple[str | bytes, Any]] = {
    **{f"the id {raw[:20]}": (line(raw), identity) for raw, identity in ODD_IDS.items()},
    "an id of half a surrogate pair": (line('"\\ud800"'), None),
    "an id of half a surrogate pair, last": (line('"a\\udfff"', last=True), None),
    "an id of half a surrogate pair, raw": (line('"?"').encode().replace(b"?", b"\xed\xa0\x80"), None),
    "an id of 5,000 digits": (line("9" * 5000), None),
    "NaN as id": (line("NaN"), None),
    "1.5 as id, cut off": (line("1.5")[:-1], None),
    "an id of 5,000 digits, cut off": (line("9" * 5000)[:-1], None),
    "two ids": (line("1", '"id":2,"method":"ping"'), 2),
    "a method of half a surrogate pair": (line(rest='"method":"pi\\ud800ng"'), 7),
    "a key of half a surrogate pair": (line(rest='"method":"ping","\\ud800":1', last=True), 7),
    "params of half a surrogate pair": (line(rest='"method":"ping","params":{"a":"\\udc00\\ud800"}', last=True), 7),
    "no method": ('{"jsonrpc":"2.0","id":7}', 7),
    "a method that is null": (line(rest='"method":null'), 7),
    "a method that is a number": (line(rest='"method":7'), 7),
    "a method that is a list": (line(rest='"method":["ping"]'), 7),
    "an empty method": (line(rest='"method":""'), 7),
    "an unknown method": (line(rest='"method":"no/such"'), 7),
    "a method with a NUL": (line(rest='"method":"ping\\u0000"'), 7),
    "a method of 100 KB": (line(rest='"method":"' + "x" * 100_000 + '"'), 7),
    "the method of a notification": (line(rest='"method":"notifications/initialized"'), 7),
    "params that are null": (line(rest='"method":"ping","params":null'), 7),
    "params that are a list": (line(rest='"method":"ping","params":[1]'), 7),
    "params that are text": (line(rest='"method":"ping","params":"{}"'), 7),
    "params that are a number": (line(rest='"method":"ping","params":1'), 7),
    "params that are true": (line(rest='"method":"ping","params":true'), 7),
    "a call without params": (line(rest='"method":"tools/call"'), 7),
    "a call without a name": (line(rest='"method":"tools/call","params":{"arguments":{}}'), 7),
    "a call of a number": (line(rest='"method":"tools/call","params":{"name":5}'), 7),
    "a call with a list": (line(rest='"method":"tools/call","params":{"name":"list_sessions","arguments":[1]}'), 7),
    "_meta that is text": (line(rest='"method":"tools/list","params":{"_meta":"x"}'), 7),
    "_meta of no version": (line(rest='"method":"tools/list","params":{"_meta":{"progressToken":[1]}}'), 7),
    "a cursor that is a number": (line(rest='"method":"tools/list","params":{"cursor":5}'), 7),
    "a handshake of nothing": (line(rest='"method":"initialize","params":{}'), 7),
    "JSON-RPC 1.0": ('{"jsonrpc":"1.0","id":7,"method":"ping"}', 7),
    "a number as version": ('{"jsonrpc":2.0,"id":7,"method":"ping"}', 7),
    "no version": ('{"id":7,"method":"ping"}', 7),
    "an empty object": ("{}", None),
    "a list": ("[]", None),
    "a batch": (f"[{line()}]", None),
    "a batch of many": ("[" + ",".join([line()] * 1000) + "]", None),
    "a number": ("7", None),
    "text": ('"id"', None),
    "null": ("null", None),
    "a notification with a list": ('{"jsonrpc":"2.0","method":"notifications/initialized","params":[1]}', None),
    "a notification of no method": ('{"jsonrpc":"2.0","method":5}', None),
    "300 deep": (line(rest=deep(300)), 7),
    "300 deep, id last": (line(rest=deep(300), last=True), 7),
    "100,000 deep": (line(rest=deep(100_000)), 7),
    "100,000 deep, id last": (line(rest=deep(100_000), last=True), 7),
    "100,000 deep and cut": ("[" * 100_000, None),
    "a number of 5,000 digits": (line(rest=f'"method":"ping","params":{{"n":{"9" * 5000}}}'), 7),
    "a number of 5,000 digits, id last": (line(rest=f'"method":"ping","params":{{"n":{"9" * 5000}}}', last=True), 7),
    "a byte order mark": (b"\xef\xbb\xbf" + line().encode(), 7),
    "UTF-16": (line().encode("utf-16-le"), ANY),
    "invalid UTF-8": (line(rest='"method":"ping","params":{"a":"é"}').encode("latin-1"), 7),
    "an overlong slash": (line(rest='"method":"ping","params":{"a":"?"}').encode().replace(b"?", b"\xc0\xaf"), 7),
    "NUL bytes": (b"\0" * 1000, None),
    "all bytes": (bytes(b for b in range(256) if b != 10), None),
    "5 MB of nothing": ("x" * 5 * MB, None),
    "5 MB of an unknown method": (line(rest='"method":"no/such","params":{"a":"' + "x" * 5 * MB + '"}'), 7),
    "5 MB cut off": (line(rest='"method":"ping","params":{"a":"' + "x" * 5 * MB)[:-1], 7),
    "1 MB of escaped quotes cut off": (f'{{"jsonrpc":"2.0","method":"ping","params":{{"a":"{ESCAPED_QUOTES}', None),
    "1 MB of escaped quotes alone": (ESCAPED_QUOTES, None),
    "1 MB of quotes": ('"' * MB, None),
    "1 MB of backslashes": ('"' + "\\" * MB, None),
    "1 MB of digits": ("9" * MB, None),
}  # fmt: skip


@pytest.mark.parametrize("name", LINES)
def test_a_line_that_asks_for_an_answer_gets_one_with_its_id(name: str, live: LiveServer):
    text, wanted = LINES[name]
    check(live, text if isinstance(text, bytes) else text.encode(), wanted)
    live.check_that_it_serves()


@pytest.mark.parametrize(
    "quiet",
    [
        *(b"", b" ", b"\t", b"\r", b" \r", b"\x0b\x0c"),
        b'{"jsonrpc":"2.0","method":"notifications/no/such"}\r',
        b'{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":[1]}}',
        b'{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":{},"progress":"x"}}',
        b'{"jsonrpc":"2.0","id":7,"result":{}}',
        b'{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"of an answer to nothing"}}',
        b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"of an answer to nothing"}}',
        b'{"jsonrpc":"2.0","id":7,"error":"an answer of another shape"}',
        b'{"jsonrpc":"2.0","id":7,"result":"an answer of another shape"}',
        b'{"id":7,"result":{}}',
    ],
    ids=repr,
)
def test_blank_lines_notifications_and_answers_are_not_answered(quiet: bytes, live: LiveServer):
    check(live, quiet, SILENCE)
    live.check_that_it_serves()


@pytest.mark.parametrize("era", ERAS)
def test_lines_before_the_first_request_are_answered_and_do_not_keep_it_from_being_served(
    era: str, disabled_env: dict[str, str]
):
    server = WireServer(disabled_env).spawn()
    try:
        for early in ("junk", "[]", "{}", line("null"), line('"\\ud800"'), '{"jsonrpc":"1.0","id":null,"method":"x"}'):
            server.send_line(early)
            assert server.reply(None, within=10)["error"]["code"] in (PARSE_ERROR, INVALID_REQUEST)  # type: ignore[arg-type]
        if era == "handshake":
            server.initialize()
            assert server.call("save_session", session_id="s", title="t")["saved"] is True
        else:
            call = {"name": "save_session", "arguments": {"session_id": "s", "title": "t"}, "_meta": META}
            assert server.request("tools/call", call)["structuredContent"]["saved"] is True
    finally:
        server.close()


# any lines


def wanted_of(raw: bytes) -> Any:
    """The id with which a line is to be answered, as JSON-RPC 2.0 says it."""
    if not raw.strip():
        return SILENCE
    try:
        message = json.loads(raw.decode())
    except (ValueError, RecursionError):
        return ANY
    told = is_told(message)
    try:
        json.dumps(message, ensure_ascii=False).encode()
    except (ValueError, RecursionError):  # half a surrogate pair
        return EITHER if told else ANY
    if not isinstance(message, dict):
        return None
    if told:
        return SILENCE
    identity = message.get("id")
    if type(identity) is int and abs(identity) >= 10**18:
        return ANY  # the bounded scan of a line that is no message need not find it
    return identity if type(identity) in (int, str) else None


def is_told(message: Any) -> bool:
    """Whether it is a notification."""
    if not isinstance(message, dict) or "id" in message or message.get("jsonrpc") != "2.0":
        return False
    params = message.get("params")
    return isinstance(message.get("method"), str) and (params is None or isinstance(params, dict))


METHODS = ["ping", "tools/list", "tools/call", "prompts/list", "resources/read", "completion/complete", "initialize",
           "logging/setLevel", "server/discover", "notifications/initialized", "notifications/progress"]  # fmt: skip
WILD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(["\ud800", 2**64]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
CALL = {"name": "list_sessions", "arguments": {}}
PARAMS = st.sampled_from([{}, CALL, {"_meta": META}, {**CALL, "_meta": META}]) | st.dictionaries(
    st.sampled_from(["name", "arguments", "_meta", "cursor", "uri", "level", "protocolVersion", "capabilities"]), WILD
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.just("2.0") | st.just("2.0") | st.just("2.0") | WILD,
        "id": st.integers(-(10**6), 10**6) | st.text(max_size=5) | WILD,
        "method": st.sampled_from(METHODS) | st.sampled_from(METHODS) | WILD,
        "params": PARAMS | PARAMS | WILD,
    },
)
SOUND = st.builds(lambda method, params: line('"an id"', f'"method":"{method}","params":{json.dumps(params)}').encode(),
                  st.sampled_from(METHODS), PARAMS.filter(lambda params: "_meta" not in params))  # fmt: skip
CUTS = st.tuples(st.floats(0, 1), st.integers(0, 9), st.binary(max_size=3) | st.sampled_from([b'"', b"\\", b"{", b"}"]))


def damaged(raw: bytes, cuts: list[tuple[float, int, bytes]]) -> bytes:
    """The line with some bytes taken out and others put in."""
    for place, width, other in cuts:
        at = int(place * len(raw))
        raw = raw[:at] + other + raw[at + width :]
    return raw


LINES_OF_ANY_KIND = st.one_of(
    st.binary(max_size=80),
    st.text(max_size=80).map(lambda text: text.encode()),
    MESSAGES.map(lambda message: json.dumps(message).encode()),
    st.builds(damaged, SOUND, st.lists(CUTS, max_size=3)),
    st.builds(lambda raw, share: raw[: int(share * len(raw))], SOUND, st.floats(0, 1)),
)


def test_any_line_has_the_answer_that_it_asks_for(live: LiveServer):
    @fuzzed(600)
    @given(raw=LINES_OF_ANY_KIND)
    def hold(raw: bytes) -> None:
        raw = raw.replace(b"\n", b" ")
        check(live, raw, wanted_of(raw))

    hold()
    live.check_that_it_serves()
