"""What looks like a credential is replaced before it is kept, and everything else stays as it is."""

import copy
import sys
import time
from random import Random
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentic_flywheel.sessions.redaction.values import Finding, redacted

from .. import redaction_corpus
from ..support.secrets import FORMATS, github, jwt, long_token, openai, password, pem

RANDOM = Random(20261105)
WORD = "k7Qm2" + "Zx9vT4bLp"  # as a password maker makes them
TOKEN = long_token(Random(2))
KEY = openai(RANDOM)

ANY_TEXT = st.text(st.characters(), max_size=12)  # surrogates included
NAMES = st.sampled_from(
    ["password", "api_key", "dbPassword", "Authorization", "token", "tokens", "content", "key", "id"]
)
PIECES = st.sampled_from(
    [
        *(
            "password",
            "api_key",
            "token",
            "secret",
            "Bearer",
            "authorization",
            "--password",
            "<password>",
            "</password>",
        ),
        *(
            " = ",
            "=",
            ": ",
            ":",
            " is ",
            ", ",
            " ",
            "\n",
            '"',
            "'",
            "`",
            "\\",
            "\\n",
            "[",
            "]",
            "(",
            ")",
            "{",
            "}",
            "$",
            "%20",
        ),
        *(
            "hunter2hunter2",
            "p@ssw0rd!",
            "your",
            "...",
            "://ana:",
            "@example.org",
            "?",
            "&",
            ".",
            ";",
            "-",
            "_",
            "é",
            "🌾",
        ),
        *(
            "[redacted: ",
            "[redacted: password]",
            "None",
            "os.environ",
            "-----BEGIN ",
            "-----",
            "curl -u ana:",
            "AccountKey=",
        ),
        *(make(RANDOM) for make in FORMATS.values()),
        *(WORD, TOKEN, pem(RANDOM), pem(RANDOM)[:150]),
    ]
)
TEXTS = st.lists(PIECES, max_size=12).map("".join) | ANY_TEXT
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | TEXTS, inner, max_size=4),
    max_leaves=10,
)


def text_of(value: str) -> str:
    return redacted(value, "content")[0]


def test_only_the_secret_is_replaced_and_the_place_is_named():
    history = [
        {"role": "user", "content": "Hello"},
        {"role": "user", "content": f"Use {KEY}, please."},
        {"role": "tool", "content": [{"type": "text", "text": f"DB_PASSWORD={WORD}\nDEBUG=1"}], "tokens": 12},
    ]
    clean, findings = redacted(history, "history")
    assert clean == [
        {"role": "user", "content": "Hello"},
        {"role": "user", "content": "Use [redacted: OpenAI key], please."},
        {
            "role": "tool",
            "content": [{"type": "text", "text": "DB_PASSWORD=[redacted: password]\nDEBUG=1"}],
            "tokens": 12,
        },
    ]
    assert findings == [
        Finding("history[1].content", "OpenAI key"),
        Finding("history[2].content[0].text", "password"),
    ]


def test_two_secrets_of_one_text_are_named_in_their_order():
    clean, findings = redacted(f"{github(RANDOM)} and then {KEY}", "summary")
    assert clean == "[redacted: GitHub token] and then [redacted: OpenAI key]"
    assert findings == [Finding("summary", "GitHub token"), Finding("summary", "OpenAI key")]


def test_the_argument_is_not_changed_and_what_has_no_secret_is_shared():
    context: dict[str, Any] = {"db": {"password": WORD, "port": 1}, "crew": ["Ana"]}
    before = copy.deepcopy(context)
    clean, _ = redacted(context, "context")
    assert context == before
    assert clean == {"db": {"password": "[redacted: password]", "port": 1}, "crew": ["Ana"]}
    assert clean["crew"] is context["crew"]


def test_one_object_in_two_places_is_redacted_in_both():
    turn = {"content": f"password: {WORD}"}
    clean, findings = redacted([turn, turn], "history")
    assert clean == [{"content": "password: [redacted: password]"}] * 2
    assert [finding.path for finding in findings] == ["history[0].content", "history[1].content"]


@pytest.mark.parametrize(
    "key",
    """
    password Password PASSWORD passwd pwd dbPassword DB-PASSWORD smtp_password password2 newPassword PGPASSWORD
    passphrase secret client_secret clientSecret SecretString jwtSecret api_key apiKey apikey X-Api-Key API_KEY_PROD
    access_token refreshToken auth_token authorization Proxy-Authorization private_key aws_secret_access_key
    connection_string ConnectionString signing-key AccountKey OPENAI_API_KEY
    """.split(),  # noqa: SIM905
)
def test_a_text_under_a_key_that_names_a_credential_is_replaced_whole(key: str):
    clean, findings = redacted({"db": {key: "correct horse battery staple"}}, "context")
    assert clean["db"][key] == f"[redacted: {findings[0].kind}]"
    assert [finding.path for finding in findings] == [f"context.db.{key}"]


@pytest.mark.parametrize(
    "key",
    """
    token_count max_tokens tokenizer password_reset_url secretary has_password password_hash_rounds tokens keyboard
    public_key primary_key key key_id cache_key next_page_token nextToken eos_token idempotency_key passenger compass
    secret_name author authority api_key_id monkey passed
    """.split(),  # noqa: SIM905
)
def test_a_text_under_another_key_stays(key: str):
    context = {key: "north4field2harvest9"}
    clean, findings = redacted(context, "context")
    assert clean is context
    assert not findings


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"password": ["hunter22secret!"]}, "context.password[0]"),
        ({"env": [{"name": "DB_PASSWORD", "value": "s3cr3t-Pa55"}]}, "context.env[0].value"),
        ({"headers": {"key": "Authorization", "value": ["Bearer Zx9kQ2mVb7Lr4Tn8Wp3Yc6Hd1Jf5"]}},
         "context.headers.value[0]"),
    ],
)  # fmt: skip
def test_a_text_that_is_given_such_a_name_elsewhere_is_replaced_too(value: dict[str, Any], path: str):
    clean, found = redacted(value, "context")
    assert [finding.path for finding in found] == [path]
    assert "s3cr3t" not in str(clean)
    assert "hunter22" not in str(clean)
    assert redacted(clean, "context") == (clean, [])


@pytest.mark.parametrize("value", [{"name": "Ana", "value": "s3cr3t-Pa55"}, {"token": ["one", "two"]}])
def test_a_text_that_is_given_another_name_stays(value: dict[str, Any]):
    assert redacted(value, "context") == (value, [])


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            " ",
            "${DB_PASSWORD}",
            "$DB_PASSWORD",
            "<your key>",
            "{{ password }}",
            "%DB_PASSWORD%",
            "****",
            "••••••••",
        ),
        *("xxx", "XXXXXXXX", "os.environ['X']", 'os.environ["X"]', "process.env.KEY", "None", "null", "true", "False"),
        *(
            "required",
            "string",
            "[redacted: password]",
            "[REDACTED]",
            "...",
            "your-api-key",
            "YOUR_API_KEY",
            "changeme",
        ),
        *("/run/secrets/password", "~/.ssh/id_rsa", "https://auth.example.org/token", "vault:secret/app#password"),
        *("Password", "db-password", "This field is required.", "must be at least 8 characters", "Bearer {token}"),
    ],
)
def test_what_only_stands_in_for_a_credential_stays(value: str):
    for key in ("password", "api_key", "authorization"):
        context = {key: value}
        assert redacted(context, "context") == (context, [])


@pytest.mark.parametrize("value", [None, True, 12345678, 1.5, [], {}, ["This field is required."], {"type": "string"}])
def test_what_is_no_text_stays_under_any_key(value: object):
    context = {"password": value, "api_key": value}
    assert redacted(context, "context")[0] is context


def test_the_word_token_alone_announces_a_credential_only_if_the_value_looks_random():
    history = [{"token": " harvest", "logprob": -0.1}, {"token": "utf8"}, {"token": TOKEN}]
    clean, findings = redacted(history, "history")
    assert clean == [*history[:2], {"token": "[redacted: token]"}]
    assert findings == [Finding("history[2].token", "token")]


@pytest.mark.parametrize("make", FORMATS.values(), ids=list(FORMATS))
@pytest.mark.parametrize(
    ("before", "after"), [("", ""), ("see ", "."), ("(", ")"), ('"', '"'), ("`", "`, ok"), ("\\n", "\\n")]
)
def test_a_known_format_is_replaced_and_what_is_around_it_stays(make: Any, before: str, after: str):
    clean, findings = redacted(f"{before}{make(RANDOM)}{after}", "content")
    assert clean.startswith(before)
    assert clean.endswith("]" + after)
    assert [f"[redacted: {finding.kind}]" in clean for finding in findings] == [True]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"password = {WORD}", "password = [redacted: password]"),
        ("password = hunter2hunter2", "password = [redacted: password]"),
        ("my password is hunter2, ok?", "my password is [redacted: password], ok?"),
        (f'{{"api_key": "{TOKEN}", "n": 1}}', '{"api_key": "[redacted: key]", "n": 1}'),
        (f'{{\\"api_key\\": \\"{TOKEN}\\"}}', '{\\"api_key\\": \\"[redacted: key]\\"}'),
        (f"Authorization: Bearer {TOKEN}", "Authorization: Bearer [redacted: authorization]"),
        ("authorization: Basic YW5hOmh1bnRlcjI=", "authorization: Basic [redacted: authorization]"),
        (f"export FOO_TOKEN={TOKEN}", "export FOO_TOKEN=[redacted: token]"),
        ("export DB_PASSWORD=swordfish\n", "export DB_PASSWORD=[redacted: password]\n"),
        (f"?api_key={TOKEN}&page=2", "?api_key=[redacted: key]&page=2"),
        (f"Server=db;Password={WORD};Pooling=true", "Server=db;Password=[redacted: password];Pooling=true"),
        (f"tool --password {WORD} --verbose", "tool --password [redacted: password] --verbose"),
        (f"<password>{WORD}</password>", "<password>[redacted: password]</password>"),
        (f"- **Password:** `{WORD}`", "- **Password:** `[redacted: password]`"),
        ('password: str = "swordfish"', 'password: str = "[redacted: password]"'),
        (f"redis://ana:{WORD}@db:6379/0", "redis://ana:[redacted: password]@db:6379/0"),
        (f"redis://:{WORD}@db:6379/0", "redis://:[redacted: password]@db:6379/0"),
        (f"curl -u ana:{WORD} https://example.org", "curl -u ana:[redacted: password] https://example.org"),
    ],
)
def test_a_credential_given_to_a_name_is_replaced_and_what_is_around_it_stays(text: str, expected: str):
    assert text_of(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "the password is wrong",
        "password: required",
        "token: string",
        'password = os.environ["X"]',
        "api_key=settings.key",
        "password: str",
        "def login(user: str, password: str = '') -> None: ...",
        '{"password": {"type": "string", "minLength": 8}}',
        "secret_key = Fernet.generate_key()",
        "postgresql://user:${DB_PASSWORD}@localhost/db",
        "pk_" + "live_" + "51H8xK2eZvKYlo2C0aBcDeFg",
        "AKIAIOSFODNN7" + "EXAMPLE",
        "sk-" + "river-copper-window-lantern-gravel-meadow-thistle",
        "text.startswith('-----BEGIN RSA PRIVATE " + "KEY-----') and then all the words that come after it",
    ],
)
def test_talk_about_credentials_and_code_that_reads_them_stays(text: str):
    assert redacted(text, "content") == (text, [])


@pytest.mark.parametrize("line_end", ["\n", "\\n", "\\\\n", "\n    ", "\r\n"])
@pytest.mark.parametrize("rest", ["", "\nBest, Ana"])
def test_a_private_key_is_replaced_whole_however_its_lines_end(line_end: str, rest: str):
    key = pem(RANDOM).replace("\n", line_end)
    assert text_of(f"Here:\n{key}{rest}") == f"Here:\n[redacted: private key]{rest}"
    cut = line_end.join(key.split(line_end)[:3])
    assert text_of(f"Here:\n{cut}") == "Here:\n[redacted: private key]"


def test_a_long_secret_is_replaced_to_its_end():
    long = "".join(Random(1).choices("abcdef0123456789", k=100_000))
    assert text_of(f"api_key={long} and more") == "api_key=[redacted: key] and more"
    assert text_of(f'api_key="{long}" and more') == 'api_key="[redacted: key]" and more'


def test_a_credential_in_a_key_is_replaced_and_no_entry_is_lost():
    one, other = github(RANDOM), github(RANDOM)
    context = {
        "owners": {one: "Ana", "x": 1, other: {"content": f"password: {WORD}"}, "[redacted: GitHub token]": "Bo"}
    }
    clean, findings = redacted(context, "context")
    assert clean == {
        "owners": {
            "[redacted: GitHub token] 2": "Ana",
            "x": 1,
            "[redacted: GitHub token] 3": {"content": "password: [redacted: password]"},
            "[redacted: GitHub token]": "Bo",
        }
    }
    assert list(clean["owners"].values())[0::3] == ["Ana", "Bo"]
    assert not any(one in finding.path or other in finding.path for finding in findings)


def test_nesting_of_any_depth_is_searched():
    value: Any = {"password": WORD}
    for _ in range(5000):
        value = [value]
    clean, findings = redacted({"deep": value}, "context")
    assert findings == [Finding("context.deep" + "[0]" * 5000 + ".password", "password")]
    inner = clean["deep"]
    while isinstance(inner, list):
        inner = inner[0]
    assert inner == {"password": "[redacted: password]"}


@given(VALUES)
@example({"\ud800": "\udfff password=\ud800hunter2hunter2"})
def test_any_json_is_redacted_once_and_for_all(value: Any):
    clean, findings = redacted(value, "value")
    assert (clean is value) == (not findings)
    again, more = redacted(clean, "value")
    assert again is clean
    assert not more


@given(st.lists(TEXTS, max_size=5))
def test_a_text_is_redacted_the_same_alone_and_among_others(texts: list[str]):
    apart = "And then?"  # no credential goes over a text of its own
    clean, _ = redacted([{"content": text} for each in texts for text in (each, apart)], "history")
    assert [turn["content"] for turn in clean][::2] == [text_of(text) for text in texts]


@given(st.lists(st.sampled_from(redaction_corpus.corpus()), max_size=5), st.integers())
def test_no_finding_holds_the_value(items: list[redaction_corpus.Item], seed: int):
    hidden = password(Random(seed)) + "-x"
    value = {"talk": [item.value for item in items], "password": hidden, jwt(Random(seed)): {}}
    _, findings = redacted(value, "context")
    told = repr(findings)
    assert hidden not in told
    assert jwt(Random(seed)) not in told
    assert not [item for item in items if len(item.secret) > 12 and item.secret in told]


@given(st.text(st.sampled_from("harvest 42.,;!?-_/\n\"'()é🌾"), max_size=200))
def test_text_without_names_and_long_words_is_the_same_object(text: str):
    history = [{"role": "user", "content": text}]
    assert redacted(history, "history")[0] is history


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    [
        *(
            "password=",
            "password='",
            'password="',
            "password: ",
            "password=your1",
            "api_key=${",
            "--password 1",
            "key ",
        ),
        *(
            "secret is ",
            "secret='a\\'",
            "<password>",
            "password: str | ",
            '\\"password\\": \\"',
            "curl -u a:",
            "Bearer a1",
        ),
        *(
            "sk-",
            "eyJ",
            "eyJhbGciOiJIUzI1NiJ9.",
            "A" * 19 + " ",
            "AKIA" + "ABCDEFGHIJKLMNOP ",
            "._-",
            "%20",
            "://a:",
            "://a:b@",
        ),
        *(
            "-----BEGIN PRIVATE " + "KEY-----",
            "-----BEGIN PRIVATE " + "KEY-----\nABCDEFGHIJKLMNOP ",
            "\\",
            '"',
            "🌾",
            "a",
        ),
    ],
)
def test_a_hostile_text_of_twice_the_length_takes_at_most_about_twice_as_long(piece: str):
    def seconds(size: int) -> float:
        text = (piece * (size // len(piece) + 1))[:size]
        return min(_cpu_seconds(text) for _ in range(3))

    size = 60_000
    short, long = seconds(size), seconds(2 * size)
    if long > 0.05:  # shorter than that, the clock and the caches say more than the text
        assert long <= 4 * short


def _cpu_seconds(text: str) -> float:
    began = time.thread_time()
    redacted(text, "content")
    return time.thread_time() - began


def test_the_corpus_is_redacted_with_few_misses_and_few_false_alarms(capsys: pytest.CaptureFixture[str]):
    items = redaction_corpus.corpus()
    secret = [item for item in items if item.secret]
    harmless = [item for item in items if not item.secret]
    with capsys.disabled():
        sys.stdout.write("\n" + redaction_corpus.tables(items) + "\n")
    assert len(secret) >= 200
    assert len({item.kind for item in secret}) >= 15
    assert len(harmless) >= 2000
    for half in (False, True):
        missed = [redaction_corpus.is_wrong(item) for item in secret if item.held_out == half]
        alarms = [redaction_corpus.is_wrong(item) for item in harmless if item.held_out == half]
        assert sum(missed) <= 0.02 * len(missed)
        assert sum(alarms) <= 0.001 * len(alarms)  # of one half; one more in each is 0.07 %
    assert sum(map(redaction_corpus.is_wrong, harmless)) <= 0.0005 * len(harmless)


def test_a_value_that_begins_with_a_hyphen_is_replaced_whole():
    value = (long_token(Random(4)) * 3)[:42]
    clean, _ = redacted(f"token sha256~-{value} here", "content")
    assert clean == "token sha256~[redacted: OpenShift token] here"
