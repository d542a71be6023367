"""Every variable of the contract: its default, what is allowed, and one line for what is not, never a password."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentic_flywheel.errors import SettingError
from agentic_flywheel.redis_url import with_name_checked, without_password
from agentic_flywheel.settings import Settings

SECRET = "hunter2"  # noqa: S105  nobody's


def read(**environ: str) -> Settings:
    return Settings.from_env(environ)


def refusal(**environ: str) -> str:
    """The one line that a wrong value is answered with."""
    with pytest.raises(SettingError) as error:
        Settings.from_env(environ)
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 500
    return text


def test_the_defaults_are_those_of_the_contract():
    settings = read()
    assert (settings.redis_enabled, settings.redis_named, settings.redis_shown) == (False, False, "")
    assert settings.redis_url == "redis://localhost:6379/0"
    assert settings.redis_cluster is False
    assert settings.session_ttl_seconds == 365 * 86_400
    assert settings.execution_ttl_seconds == 86_400
    assert settings.key_prefix == "agentic_flywheel"
    assert settings.user == ""
    assert settings.data_dir.is_absolute()
    assert settings.journal is True
    assert settings.timeout_seconds == 2.0
    assert settings.max_session_bytes == 16 * 2**20
    assert not settings.coaia_command
    assert settings.coaia_python == ""
    assert settings.log_level == "WARNING"
    assert settings.overridden == ()


ALLOWED: list[tuple[str, str, Callable[[Settings], Any], Any]] = [
    ("REDIS_ENABLED", "false", lambda s: s.redis_enabled, False),
    ("REDIS_ENABLED", "NO", lambda s: s.redis_enabled, False),
    ("REDIS_ENABLED", "0", lambda s: s.redis_enabled, False),
    ("REDIS_ENABLED", " On ", lambda s: s.redis_enabled, True),
    ("REDIS_CLUSTER", "true", lambda s: s.redis_cluster, True),
    ("REDIS_HOST", "redis.example", lambda s: s.redis_url, "redis://redis.example:6379/0"),
    ("REDIS_HOST", "::1", lambda s: s.redis_url, "redis://[::1]:6379/0"),
    ("REDIS_HOST", "[::1]", lambda s: s.redis_url, "redis://[::1]:6379/0"),
    ("REDIS_PORT", "6380", lambda s: s.redis_url, "redis://localhost:6380/0"),
    ("REDIS_DB", "3", lambda s: s.redis_url, "redis://localhost:6379/3"),
    ("REDIS_USERNAME", "ana", lambda s: s.redis_url, "redis://ana:@localhost:6379/0"),
    ("REDIS_PASSWORD", "p@ss/w?rd#", lambda s: s.redis_url, "redis://:p%40ss%2Fw%3Frd%23@localhost:6379/0"),
    ("REDIS_TTL_SECONDS", "0", lambda s: s.session_ttl_seconds, 0),
    ("REDIS_TTL_SECONDS", "3153600000", lambda s: s.session_ttl_seconds, 3_153_600_000),
    ("FLYWHEEL_EXECUTION_TTL_SECONDS", "60", lambda s: s.execution_ttl_seconds, 60),
    ("FLYWHEEL_KEY_PREFIX", "team.a:b_c-1", lambda s: s.key_prefix, "team.a:b_c-1"),
    ("FLYWHEEL_USER", " ana ", lambda s: s.user, "ana"),
    ("FLYWHEEL_DATA_DIR", "/somewhere/else", lambda s: s.data_dir, Path("/somewhere/else")),
    ("FLYWHEEL_DATA_DIR", "~/kept", lambda s: s.data_dir, Path.home() / "kept"),
    ("FLYWHEEL_JOURNAL", "off", lambda s: s.journal, False),
    ("FLYWHEEL_TIMEOUT_SECONDS", "0.5", lambda s: s.timeout_seconds, 0.5),
    ("FLYWHEEL_TIMEOUT_SECONDS", "60", lambda s: s.timeout_seconds, 60.0),
    ("FLYWHEEL_MAX_SESSION_BYTES", "1024", lambda s: s.max_session_bytes, 1024),
    ("FLYWHEEL_REVISIONS", "0", lambda s: s.revisions, 0),
    ("FLYWHEEL_SECRETS", "WARN", lambda s: s.secrets, "warn"),
    ("FLYWHEEL_COAIA_COMMAND", 'uvx --with "mcp<2" coaiapy-mcp', lambda s: list(s.coaia_command),
     ["uvx", "--with", "mcp<2", "coaiapy-mcp"]),
    ("FLYWHEEL_COAIA_PYTHON", "python3.11", lambda s: s.coaia_python, "python3.11"),
    ("FLYWHEEL_LOG_LEVEL", "debug", lambda s: s.log_level, "DEBUG"),
    ("FLYWHEEL_TOOLS", "Conversations", lambda s: s.tools, "conversations"),
    ("FLYWHEEL_ASK", "NEVER", lambda s: s.ask, "never"),
    ("FLYWHEEL_TRACE", "Langfuse", lambda s: s.trace, "langfuse"),
    ("FLYWHEEL_TRACE_CONTENT", "no", lambda s: s.trace_content, False),
    ("REDIS_URL", "redis://u:p@h:1/2?socket_timeout=1.5", lambda s: s.redis_url,
     "redis://u:p@h:1/2?socket_timeout=1.5"),
    ("REDIS_URL", "rediss://h", lambda s: s.redis_url, "rediss://h"),
    ("REDIS_URL", "unix:///run/redis.sock?db=2", lambda s: s.redis_url, "unix:///run/redis.sock?db=2"),
    ("REDIS_URL", "redis://[::1]:6379/0", lambda s: s.redis_url, "redis://[::1]:6379/0"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "get", "meaning"), ALLOWED, ids=lambda v: v if isinstance(v, str) else "")
def test_an_allowed_value_is_taken(name: str, value: str, get: Callable[[Settings], Any], meaning: Any):
    assert get(read(**{name: value})) == meaning


def test_a_variable_in_the_name_of_the_data_folder_is_replaced_if_it_is_set():
    assert read(FLYWHEEL_DATA_DIR="${BASE}/kept", BASE="/srv").data_dir == Path("/srv/kept")
    assert read(FLYWHEEL_DATA_DIR="${BASE}/kept", BASE="~").data_dir == Path.home() / "kept"
    for environ in ({"BASE": ""}, {"BASE": "relative"}):
        assert "absolute path" in refusal(FLYWHEEL_DATA_DIR="${BASE}/kept", **environ)


def test_an_option_of_a_url_that_is_refused_is_named_with_what_it_may_be():
    assert "ssl_cert_reqs: none, optional or required" in refusal(REDIS_URL="rediss://h?ssl_cert_reqs=None")
    assert "db: a number" in refusal(REDIS_URL="redis://h?db=one")
    assert "ssl_check_hostname=false beside it" in refusal(REDIS_URL="rediss://h?ssl_cert_reqs=none")
    assert read(REDIS_URL="rediss://h?ssl_cert_reqs=none&ssl_check_hostname=false").redis_url


@pytest.mark.parametrize(
    ("url", "given"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=2"),
        ("rediss://u:p%40@h:1/2", "rediss://u:p%40@h:1/2?ssl_check_hostname=true"),
        ("rediss://h?db=2", "rediss://h?db=2&ssl_check_hostname=true"),
        ("rediss://h?ssl_check_hostname=no", "rediss://h?ssl_check_hostname=no"),
    ],
)
def test_over_tls_the_client_is_told_to_check_the_hosts_name(url: str, given: str):
    assert with_name_checked(url) == given


# a file that holds the URL


@pytest.fixture
def url_file(tmp_path: Path) -> Path:
    path = tmp_path / "redis-url"
    path.write_text(f"rediss://ana:{SECRET}@h.example:1/2\n")
    path.chmod(0o600)
    return path


def test_a_url_comes_out_of_a_file_that_nobody_else_can_read_and_wins_whole(url_file: Path):
    settings = read(REDIS_URL_FILE=str(url_file), REDIS_PORT="1")
    assert settings.redis_url == f"rediss://ana:{SECRET}@h.example:1/2"
    assert (settings.redis_named, settings.overridden) == (True, ("REDIS_PORT",))
    assert SECRET not in repr(settings)


def test_a_file_that_others_can_read_or_own_is_refused_with_a_sentence(url_file: Path, tmp_path: Path):
    for mode in (0o640, 0o604, 0o660):
        url_file.chmod(mode)
        assert f"can be read by others (mode {mode:04o}): chmod 600 it." in refusal(REDIS_URL_FILE=str(url_file))
    url_file.chmod(0o600)
    (tmp_path / "link").symlink_to(url_file)
    assert "is a link" in refusal(REDIS_URL_FILE=str(tmp_path / "link"))
    assert "is no file" in refusal(REDIS_URL_FILE=str(tmp_path))
    assert "cannot be read: No such file" in refusal(REDIS_URL_FILE=str(tmp_path / "nothing"))
    assert "an absolute path" in refusal(REDIS_URL_FILE="redis-url")
    if os.geteuid() == 0:
        os.chown(url_file, 65534, 65534)
        assert "belongs to nobody, not to root" in refusal(REDIS_URL_FILE=str(url_file))


def test_both_a_url_and_a_file_are_refused_since_it_could_be_either(url_file: Path):
    assert "not both" in refusal(REDIS_URL="redis://h", REDIS_URL_FILE=str(url_file))


@pytest.mark.parametrize("content", [f"http://:{SECRET}@h", f"redis://:{SECRET}@h:x", SECRET, "", "\udc80"])
def test_a_file_with_no_url_is_refused_and_its_content_not_shown(content: str, url_file: Path):
    url_file.write_bytes(content.encode(errors="surrogateescape"))
    told = refusal(REDIS_URL_FILE=str(url_file))
    assert "REDIS_URL_FILE" in told
    assert SECRET not in told


# which Redis it is

HERE = ["localhost", "LocalHost", "127.0.0.1", "[::1]", "[0:0:0:0:0:0:0:1]", "localhost."]
HOSTS = [HERE, ["h.example", "H.Example", "h.example."], ["10.0.0.1"], ["[fd00::1]", "[FD00:0::1]"]]
WAYS = ["", "u:p@", ":p@"]
OPTIONS = ["", "socket_timeout=1", "socket_connect_timeout=2.5", "socket_timeout=9&socket_connect_timeout=1"]


Meant = tuple[int, int, int, str]
MEANT = st.tuples(
    st.integers(0, len(HOSTS) - 1), st.sampled_from([6379, 6380]), st.integers(0, 2), st.sampled_from(["p", "p:2"])
)


@st.composite
def spelt(draw: st.DrawFn, meant: Meant) -> Settings:
    """One of the spellings of a host, port, database and key prefix."""
    host, port, db, prefix = meant
    part = draw(st.sampled_from([f":{port}", ""] if port == 6379 else [f":{port}"]))
    places = [f"/{db}?", f"?db={db}&", f"/7?db={db}&", f"/?db={db}&"] + ([f"/{db:03}?"] if db else ["?", "/?"])
    url = f"{draw(st.sampled_from(['redis', 'rediss']))}://{draw(st.sampled_from(WAYS))}"
    url += draw(st.sampled_from(HOSTS[host])) + part
    url += (draw(st.sampled_from(places)) + draw(st.sampled_from(OPTIONS))).rstrip("&?")
    return read(REDIS_URL=url, FLYWHEEL_KEY_PREFIX=prefix)


@hypothesis.settings(max_examples=400)
@given(st.data(), MEANT, MEANT, st.booleans())
def test_a_redis_is_the_same_in_every_spelling_and_another_host_port_database_or_prefix_is_another(
    data: st.DataObject,
    one: Meant,
    other: Meant,
    same: bool,  # noqa: FBT001
):
    other = one if same else other
    places = [data.draw(spelt(meant)).redis_place for meant in (one, other)]
    assert (places[0] == places[1]) == (one == other)


def test_the_default_redis_is_the_same_however_it_is_named():
    named: list[dict[str, str]] = [
        {"REDIS_HOST": "localhost"}, {"REDIS_HOST": "127.0.0.1"}, {"REDIS_HOST": "::1"}, {"REDIS_PORT": "6379"},
        {"REDIS_DB": "0"}, {"REDIS_PASSWORD": SECRET}, {"REDIS_USERNAME": "ana"}, {"REDIS_URL": "redis://localhost"},
        {"REDIS_URL": "redis://localhost:6379/0"}, {"REDIS_URL": "redis://127.0.0.1?db=0"},
    ]  # fmt: skip
    assert {read(**environ).redis_place for environ in named} == {read().redis_place}


def test_a_socket_is_known_by_the_file_that_it_is(tmp_path: Path):
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    there = f"unix://{tmp_path}/run/redis.sock"
    same = [there, f"unix://{tmp_path}/link/redis.sock", f"unix://{tmp_path}/run/../run/redis.sock?db=0",
            f"unix://u:p@{tmp_path}/run/redis%2Esock?socket_timeout=1"]  # fmt: skip
    assert {read(REDIS_URL=url).redis_place for url in same} == {read(REDIS_URL=there).redis_place}
    for other in (f"{there}?db=1", f"unix://{tmp_path}/other.sock", "redis://localhost"):
        assert read(REDIS_URL=other).redis_place != read(REDIS_URL=there).redis_place


def test_nothing_of_an_address_can_be_read_from_what_tells_it_from_others():
    assert all(len(read(REDIS_URL=url).redis_place) == 32 for url in ("redis://h", f"redis://:{SECRET}@h/1"))


@pytest.mark.parametrize(
    ("url", "before"),
    [
        ("redis://localhost:6379/0", "4e87c44ea3e24c6955cbb72f5071abca"),
        ("redis://u:p@H:1/2?socket_timeout=1", "d56ca4d153f2c469ab62502f7d74f491"),
    ],
)
def test_what_older_journals_call_a_redis_is_still_known(url: str, before: str):
    assert read(REDIS_URL=url).redis_place_before == before


NAMES = {"REDIS_URL": "redis://h", "REDIS_HOST": "h", "REDIS_PORT": "1", "REDIS_DB": "1", "REDIS_USERNAME": "u",
         "REDIS_PASSWORD": "p", "REDIS_CLUSTER": "true"}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_redis_is_named_by_any_of_the_variables_that_tell_of_it(name: str):
    named, unnamed = read(**{name: NAMES[name]}), read(**{name: " "}, REDIS_TTL_SECONDS="5", FLYWHEEL_KEY_PREFIX="p")
    assert (named.redis_named, named.redis_enabled) == (True, True)
    assert (unnamed.redis_named, unnamed.redis_enabled) == (False, False)
    off = read(**{name: NAMES[name]}, REDIS_ENABLED="false")
    assert (off.redis_named, off.redis_enabled) == (True, False), "it is named, and not used"


def test_redis_enabled_alone_names_the_one_on_localhost():
    settings = read(REDIS_ENABLED="true")
    assert (settings.redis_named, settings.redis_enabled) == (True, True)
    assert settings.redis_shown == "redis://localhost:6379/0"
    assert read(REDIS_ENABLED="false").redis_named is False


def test_a_cluster_is_not_behind_a_unix_socket():
    with pytest.raises(SettingError, match="REDIS_CLUSTER='true' is not allowed; allowed: a URL with a host"):
        read(REDIS_CLUSTER="true", REDIS_URL="unix:///run/redis.sock")


REFUSED = [
    ("REDIS_ENABLED", "perhaps"),
    ("REDIS_CLUSTER", "2"),
    ("FLYWHEEL_JOURNAL", "nope"),
    ("REDIS_PORT", "notaport"),
    ("REDIS_PORT", "0"),
    ("REDIS_PORT", "65536"),
    ("REDIS_DB", "-1"),
    ("REDIS_DB", "one"),
    ("REDIS_TTL_SECONDS", "-1"),
    ("REDIS_TTL_SECONDS", "3153600001"),
    ("REDIS_TTL_SECONDS", "1.5"),
    ("REDIS_TTL_SECONDS", "1_000"),
    ("REDIS_TTL_SECONDS", "9" * 5000),
    ("FLYWHEEL_EXECUTION_TTL_SECONDS", "a day"),
    ("FLYWHEEL_KEY_PREFIX", "a*b"),
    ("FLYWHEEL_KEY_PREFIX", "a b"),
    ("FLYWHEEL_KEY_PREFIX", "é"),
    ("FLYWHEEL_KEY_PREFIX", "x" * 129),
    ("FLYWHEEL_KEY_PREFIX", "a\nb"),
    ("FLYWHEEL_TIMEOUT_SECONDS", "0"),
    ("FLYWHEEL_TIMEOUT_SECONDS", "61"),
    ("FLYWHEEL_TIMEOUT_SECONDS", "nan"),
    ("FLYWHEEL_TIMEOUT_SECONDS", "inf"),
    ("FLYWHEEL_TIMEOUT_SECONDS", "-1"),
    ("FLYWHEEL_TIMEOUT_SECONDS", "1e1"),
    ("FLYWHEEL_MAX_SESSION_BYTES", "1023"),
    ("FLYWHEEL_REVISIONS", "-1"),
    ("FLYWHEEL_SECRETS", "yes"),
    ("FLYWHEEL_MAX_SESSION_BYTES", "1GB"),
    ("FLYWHEEL_LOG_LEVEL", "LOUD"),
    ("FLYWHEEL_TOOLS", "flows"),
    ("FLYWHEEL_ASK", "false"),
    ("FLYWHEEL_TRACE", "true"),
    ("FLYWHEEL_COAIA_COMMAND", 'uvx "coaiapy-mcp'),
    ("FLYWHEEL_DATA_DIR", "~nobody-of-that-name/kept"),
    ("FLYWHEEL_DATA_DIR", "here"),
    ("FLYWHEEL_DATA_DIR", "./here"),
    ("FLYWHEEL_DATA_DIR", "$HOME/kept"),
    ("FLYWHEEL_DATA_DIR", "${NOT_SET}/kept"),
    ("FLYWHEEL_DATA_DIR", "/srv/${user_config.folder}"),
    ("REDIS_HOST", "localhost:6380"),
    ("REDIS_HOST", "[::1"),
    ("REDIS_URL", "garbage"),
    ("REDIS_URL", "http://h"),
    ("REDIS_URL", "redis+unix:///s"),
    ("REDIS_URL", "redis+sentinel://h"),
    ("REDIS_URL", "redis:/h:6379"),
    ("REDIS_URL", "redis://"),
    ("REDIS_URL", "redis://h:99999"),
    ("REDIS_URL", "redis://h:0"),
    ("REDIS_URL", "redis://h/one"),
    ("REDIS_URL", "redis://h/1/2"),
    ("REDIS_URL", "redis://h/0#x"),
    ("REDIS_URL", "redis://h h/0"),
    ("REDIS_URL", "redis://h?bogus=1"),
    ("REDIS_URL", "redis://h?socket_timeout=abc"),
    ("REDIS_URL", "redis://h?db=x"),
    ("REDIS_URL", "redis://h?db="),
    ("REDIS_URL", "rediss://h?ssl_bogus=1"),
    ("REDIS_URL", "redis://h?ssl_cert_reqs=none"),
    ("REDIS_URL", "redis://h?health_check_interval=often"),
    ("REDIS_URL", "unix:///run/redis.sock?socket_connect_timeout=1"),
    ("REDIS_URL", "unix://run/redis.sock"),
    ("REDIS_URL", "unix://"),
]


def test_a_sentinel_is_refused_with_who_tells_the_primary():
    text = refusal(REDIS_URL="redis+sentinel://h:26379/mymaster/0")
    assert "name the primary, which SENTINEL GET-MASTER-ADDR-BY-NAME tells" in text


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=lambda text: text[:40])
def test_another_value_is_refused_with_one_line_that_names_it_and_what_is_allowed(name: str, value: str):
    text = refusal(**{name: value})
    assert text.startswith(f"{name}={value[:100]!r}"[:100])
    assert "allowed" in text or "must be" in text or "is not one of" in text


@pytest.mark.parametrize("name", sorted({name for name, *_ in ALLOWED}))
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_counts_as_absent(name: str, value: str):
    if name == "REDIS_PASSWORD" and value:
        assert read(REDIS_PASSWORD=value).redis_url == "redis://:%20%20@localhost:6379/0"
    else:
        assert read(**{name: value}) == read()


def test_a_url_wins_whole_and_what_it_overrides_is_known():
    settings = read(REDIS_URL="redis://h", REDIS_HOST="other", REDIS_PORT="1", REDIS_DB="2", REDIS_PASSWORD=SECRET)
    assert settings.redis_url == "redis://h"
    assert settings.overridden == ("REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_PASSWORD")


def test_without_a_url_nothing_is_overridden():
    assert read(REDIS_HOST="h", REDIS_PORT="1").overridden == ()


def test_other_variables_mean_nothing():
    assert read(KV_URL="redis://evil", UPSTASH_REDIS_REST_URL="https://evil", REDIS="x", HOME="/nowhere") == read()


def test_a_url_in_place_of_a_host_is_refused_without_repeating_it():
    text = refusal(REDIS_HOST=f"redis://u:{SECRET}@h")
    assert text.startswith("REDIS_HOST=")
    assert SECRET not in text
    assert "REDIS_URL" in text


# passwords

PASSWORDS = st.builds(
    lambda before, after: f"{before}{SECRET}{after}",
    st.text("@:/?#[]%&= \\abc\n", max_size=5),
    st.text("@:/?#[]%&= \\abc\n", max_size=5),
)
AROUND = st.tuples(
    st.sampled_from(["redis", "rediss", "unix", "REDIS", "http", "redis+sentinel", ""]),
    st.sampled_from(["", "ana", "a%40b"]),
    st.sampled_from(["h", "h:6379", "h:bad", "[::1]:1", "", "/run/redis.sock"]),
    st.sampled_from(["", "/0", "/x", "?db=1", "?bogus=1", "/0#f", "?socket_timeout=x"]),
)


@given(PASSWORDS, AROUND)
@example(SECRET, ("redis", "ana", "h:6379", "/0"))
@example(f"a@{SECRET}", ("redis", "", "h", ""))
@example(f"a/{SECRET}#?", ("redis", "", "h", ""))
@example(f"?{SECRET}", ("redis", "ana", "h", ""))
def test_the_password_of_a_url_is_never_shown(password: str, around: tuple[str, str, str, str]):
    scheme, user, host, rest = around
    url = f"{scheme}://{user}:{password}@{host}{rest}"
    assert SECRET not in without_password(url)
    try:
        shown = read(REDIS_URL=url).redis_target
    except SettingError as error:
        shown = str(error)
    assert SECRET not in shown


@given(PASSWORDS)
def test_a_password_of_its_own_is_never_shown(password: str):
    settings = read(REDIS_PASSWORD=password, REDIS_USERNAME="ana")
    assert SECRET in settings.redis_url
    assert SECRET not in settings.redis_target
    for wrong in ({"REDIS_PORT": "x"}, {"REDIS_HOST": "a b"}, {"REDIS_DB": "-"}, {"REDIS_URL": "x://y"}):
        assert SECRET not in refusal(REDIS_PASSWORD=password, **wrong)


@pytest.mark.parametrize("name", ["ssl_password", "password"])
@pytest.mark.parametrize("value", [SECRET, f"a@{SECRET}", f"{SECRET}@b", f"a={SECRET}"])
def test_a_password_among_the_options_of_a_url_is_never_shown(name: str, value: str):
    url = f"rediss://ana@h:6379/0?db=1&{name}={value}"
    assert SECRET not in without_password(url)
    try:
        shown = read(REDIS_URL=url).redis_target
    except SettingError as error:
        shown = str(error)
    assert SECRET not in shown


@pytest.mark.parametrize("url", [f"redis://:{SECRET}", f"redis://ana:{SECRET}", f"redis://ana:{SECRET}/0"])
def test_a_password_whose_host_was_forgotten_is_never_shown(url: str):
    assert SECRET not in refusal(REDIS_URL=url)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://ana:pw@h:6379/0", "redis://ana:***@h:6379/0"),
        ("redis://:pw@h/0?db=1", "redis://:***@h/0?db=1"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=2"),
    ],
)
def test_a_target_is_still_recognised_without_its_password(url: str, shown: str):
    assert without_password(url) == shown
