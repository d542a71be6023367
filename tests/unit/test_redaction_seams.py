"""A credential that two neighbouring texts share, or that a list gives its name, is replaced in both of them."""

import time
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentic_flywheel.sessions.redaction.seams import has_seam, may_go_on, open_end_of
from agentic_flywheel.sessions.redaction.values import redacted

from ..support.neighbours import talk
from ..support.secrets import anthropic, github, long_token, pem
from .test_redaction import PIECES

RANDOM = Random(20261129)
WORD = "k7Qm2" + "Zx9vT4bLp"
TOKEN = long_token(Random(2))
KEY = anthropic(RANDOM)
BLOCK = pem(RANDOM)


def history(*texts: str) -> list[dict[str, Any]]:
    return talk(*texts)["history"]


def texts_of(*texts: str) -> list[str]:
    return [turn["content"] for turn in redacted(history(*texts), "history")[0]]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("my password is", WORD, "[redacted: password]"),
        ("my password is ", f" {WORD}\n", " [redacted: password]\n"),
        ("What is your password?", "correct-horse-battery-7", "[redacted: password]"),
        ("Here is the API key:", f"{TOKEN} and the user is ana", "[redacted: key] and the user is ana"),
        ("Please send me the client secret.", f"`{TOKEN}`", "`[redacted: secret]`"),
        ("export DB_PASSWORD=", "swordfish", "[redacted: password]"),
        ("Authorization: Bearer", TOKEN, "[redacted: authorization]"),
    ],
)
def test_a_value_alone_is_replaced_if_the_text_before_names_it(before: str, after: str, expected: str):
    assert texts_of("Hello", before, after, "Thanks") == ["Hello", before, expected, "Thanks"]
    clean, findings = redacted(talk(before, after, blocks=True), "context")
    assert clean["history"][0]["content"][1]["text"] == expected
    assert [finding.path for finding in findings] == ["context.history[0].content[1].text"]


@pytest.mark.parametrize("place", [12, 20, 40, 60, 90])
def test_a_key_that_is_cut_in_two_is_replaced_in_both_texts(place: int):
    clean, findings = redacted(history(f"it is {KEY[:place]}", f"{KEY[place:]} or so"), "history")
    mark = "[redacted: Anthropic key]"
    assert [turn["content"] for turn in clean] == [f"it is {mark}", f"{mark} or so"]
    assert {finding.path for finding in findings} == {"history[0].content", "history[1].content"}


def test_a_key_that_is_cut_in_three_is_replaced_in_all_texts():
    mark = "[redacted: Anthropic key]"
    assert texts_of(KEY[:40], KEY[40:70], KEY[70:]) == [mark, mark, mark]


@pytest.mark.parametrize("place", [64, 96, 120, len(BLOCK) - 50])
def test_a_private_key_that_is_cut_in_two_is_replaced_in_both_texts(place: int):
    first, second = texts_of(f"Here:\n{BLOCK[:place]}", f"{BLOCK[place:]}\nthanks")
    assert first == "Here:\n[redacted: private key]"
    assert second.endswith("[redacted: private key]\nthanks")
    assert not [line for line in BLOCK.split("\n")[1:-1] if line in first + second]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("my password is", "wrong"),
        ("What is your password?", "I do not remember."),
        ("The password:", "must have 12 characters"),
        ("Please send me the API key.", "OPENAI_API_KEY"),
        ("the key is", "[redacted: key]"),
        ("The token is", "a text that expires after 3600s"),
        ("a word that is not fini", "shed and goes on in the next one"),
        ("My GitHub token begins with ghp_", "then come 36 letters and digits"),
    ],
)
def test_neighbours_that_only_speak_of_credentials_stay(before: str, after: str):
    value = history(before, after)
    assert redacted(value, "history") == (value, [])


def test_what_was_found_at_the_end_of_a_text_takes_no_sentence_of_the_next_one_along():
    assert texts_of(f"my key is {KEY}", "Thanks, I tried it")[1] == "Thanks, I tried it"


def test_only_what_was_said_is_a_neighbour():
    turns = [{"role": "user", "content": "my password is"}, {"role": "user", "id": WORD, "content": "secret!"}]
    assert redacted(turns, "history")[0][1]["id"] == WORD


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ([["x-api-key", TOKEN], ["accept", "*/*"]], "context.data[0][1]"),
        (["Host", "a.example", "Authorization", f"Bearer {TOKEN}"], "context.data[3]"),
        ([{"header": "Authorization", "value": f"Bearer {TOKEN}"}], "context.data[0].value"),
        ([{"Name": "DB_PASSWORD", "Value": WORD}], "context.data[0].Value"),
        ([{"k": "api_key", "v": TOKEN}], "context.data[0].v"),
        ([{"field": "client_secret", "values": [TOKEN]}], "context.data[0].values[0]"),
    ],
)
def test_a_value_that_a_pair_gives_its_name_is_replaced(value: Any, path: str):
    clean, findings = redacted({"data": value}, "context")
    assert [finding.path for finding in findings] == [path]
    assert TOKEN not in str(clean)
    assert WORD not in str(clean)
    assert redacted(clean, "context") == (clean, [])


@given(st.lists(st.one_of(PIECES, st.lists(PIECES, max_size=3).map("".join)), max_size=6))
@example(["password is", "k7Qm2Zx9v", "T4bLp"])
@example(["", "password:", "", "hunter2hunter2"])
def test_any_talk_is_redacted_once_and_for_all(texts: list[str]):
    clean, findings = redacted(history(*texts), "history")
    assert bool(findings) == (clean != history(*texts))
    assert redacted(clean, "history") == (clean, [])


@given(st.integers(1, 39), st.sampled_from(["", "x ", "see: "]))
def test_nothing_of_a_key_of_fixed_length_is_left_wherever_it_is_cut(place: int, before: str):
    key = github(RANDOM)
    clean, _ = redacted(history(before + key[:place], key[place:]), "history")
    assert not [at for at in range(4, len(key) - 8) if key[at : at + 8] in str(clean)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", ["password:", "a" * 19, "sk-ant-", KEY[:30], "-----BEGIN PRIVATE " + "KEY-----", "=", "A/"]
)
def test_twice_as_many_texts_take_about_twice_as_long(piece: str):
    def seconds(count: int) -> float:
        turns = history(*[piece * 3] * count)
        return min(_cpu_seconds(turns) for _ in range(7))

    for _ in range(3):  # what else the machine does may take the caches from one of both
        few, many = seconds(1000), seconds(2000)
        if many <= max(0.05, 3 * few):  # shorter than that, the clock says more than the texts
            return
    assert many <= 3 * few


def _cpu_seconds(turns: list[dict[str, Any]]) -> float:
    began = time.thread_time()
    redacted(turns, "history")
    return time.thread_time() - began


ENDS = PIECES | st.sampled_from([WORD, KEY[:20], " is", ":", "="])


@given(st.lists(ENDS, min_size=1).map("".join), st.text())
@example("my password is", WORD)
@example("the password (", WORD)
@example(f"it is {KEY[:40]}", KEY[40:])
def test_an_end_that_is_not_remembered_has_no_seam_with_what_follows(before: str, after: str):
    for following in (after, WORD, TOKEN, KEY[20:]):
        if following and not open_end_of(history("Hello", before)):
            assert not has_seam([before, following])
        if following and before and not may_go_on(before, following):
            assert not has_seam([before, following])


def test_an_empty_content_leaves_the_end_to_what_else_was_said():
    assert open_end_of([{"role": "user", "parts": [{"text": "my password is"}], "content": ""}]) == "my password is"
