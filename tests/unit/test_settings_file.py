"""The settings file: the same settings as the environment, which wins; closed to the hands of others; one line else."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel import sealing, settings
from agentic_flywheel.cli.doctor_as import GEMINI_DROPS
from agentic_flywheel.errors import SettingError
from agentic_flywheel.langfuse_access import VARIABLES
from agentic_flywheel.settings import Settings
from agentic_flywheel.settings_file import ALIASES, MAX_BYTES, NAMES, PASSABLE, default_path, parse

from .test_settings import ALLOWED, SECRET

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Put lines into a settings file with this mode; its path."""

    def put(*lines: str, mode: int = 0o600) -> Path:
        path = tmp_path / "config.toml"
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        path.chmod(mode)
        return path

    return put


def key_file(folder: Path, key: str) -> Path:
    """A key file with this key."""
    path = folder / key[:3]
    path.write_text(key)
    path.chmod(0o600)
    return path


def refusal(path: Path, **environ: str) -> str:
    """The one line that a wrong file is answered with, which names it."""
    with pytest.raises(SettingError) as error:
        Settings.from_env(environ, path)
    text = str(error.value)
    assert "\n" not in text
    assert str(path) in text
    assert SECRET not in text
    return text


@pytest.mark.parametrize(("name", "value", "get", "meaning"), ALLOWED, ids=lambda v: v if isinstance(v, str) else "")
def test_a_key_is_a_variable_in_lower_case_and_means_the_same(
    name: str, value: str, get: Callable[[Settings], Any], meaning: Any, write: Write
):
    read = Settings.from_env({}, write(f"{name.lower()} = '{value}'"))
    assert get(read) == meaning
    assert dict(read.sources)[name].startswith("file ")


def test_numbers_and_true_or_false_need_no_quotes(write: Write):
    path = write("redis_port = 6380", "redis_enabled = false", "flywheel_timeout_seconds = 0.5", "# a word", "")
    read = Settings.from_env({}, path)
    assert (read.redis_url, read.redis_enabled, read.timeout_seconds) == ("redis://localhost:6380/0", False, 0.5)


def test_the_environment_wins_and_each_setting_says_where_it_stands(write: Write):
    path = write('flywheel_user = "ana"', 'flywheel_key_prefix = "theirs"', "flywheel_revisions = 3")
    read = Settings.from_env({"FLYWHEEL_PREFIX": "mine", "FLYWHEEL_USER": " "}, path)
    assert (read.key_prefix, read.user, read.revisions) == ("mine", "ana", 3)
    place = f"file {path}"
    assert dict(read.sources) == {
        "FLYWHEEL_KEY_PREFIX": "environment variable FLYWHEEL_PREFIX",
        "FLYWHEEL_USER": place,
        "FLYWHEEL_REVISIONS": place,
    }
    assert Settings.from_env({}).sources == ()


def test_a_data_folder_that_only_some_clients_would_use_names_its_variable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_DATA_HOME", "/srv/kept")
    if sys.platform != "darwin":
        sources = Settings.from_env({"XDG_DATA_HOME": "/srv/kept"}).sources
        assert sources == (("FLYWHEEL_DATA_DIR", "environment variable XDG_DATA_HOME"),)


def test_a_password_in_the_file_never_goes_to_a_redis_that_the_environment_names(write: Write):
    path = write(f'redis_password = "{SECRET}"', 'redis_host = "h.example"', "redis_cluster = true")
    assert Settings.from_env({}, path).redis_url == f"redis://:{SECRET}@h.example:6379/0"
    for environ in ({"REDIS_HOST": "other"}, {"REDIS_URL": "redis://other:6379/0"}):
        read = Settings.from_env(environ, path)
        assert (read.redis_url, read.redis_cluster) == ("redis://other:6379/0", False)


def test_a_url_in_the_environment_is_not_at_odds_with_a_file_of_a_url_in_the_settings_file(write: Write):
    path = write('redis_url_file = "/nowhere"')
    assert Settings.from_env({"REDIS_URL": "redis://h"}, path).redis_url == "redis://h"


# names that every client passes on


@pytest.mark.parametrize("alias", ALIASES)
def test_both_names_of_a_setting_are_one(alias: str, write: Write, tmp_path: Path):
    keys = [f"{name}:{'A' * 43}=" for name in ("one", "two")]
    value, other = {"FLYWHEEL_REDACTION": ("warn", "off"), "FLYWHEEL_SEAL": keys}.get(alias, ("one", "two"))
    if alias == "FLYWHEEL_SEAL_FILE":
        value, other = (str(key_file(tmp_path, key)) for key in keys)
    meant = Settings.from_env({ALIASES[alias]: value})
    assert Settings.from_env({alias: value}) == meant
    assert Settings.from_env({alias: value, ALIASES[alias]: value}) == meant
    assert Settings.from_env({alias: value}, write(f'{ALIASES[alias].lower()} = "{other}"')) == meant
    with pytest.raises(SettingError, match=f"{ALIASES[alias]} and {alias} are two names of one setting, and differ"):
        Settings.from_env({alias: value, ALIASES[alias]: other})
    assert "differ" in refusal(write(f'{alias.lower()} = "{value}"', f'{ALIASES[alias].lower()} = "{other}"'))


def test_a_wrong_value_is_told_by_the_name_that_it_was_given_under(write: Write):
    with pytest.raises(SettingError, match=r"^FLYWHEEL_PREFIX='a b' is not allowed"):
        Settings.from_env({"FLYWHEEL_PREFIX": "a b"})
    assert "config.toml: redis_port='x' is not allowed; allowed: a whole number" in refusal(write('redis_port = "x"'))
    assert "config.toml: flywheel_prefix='a b'" in refusal(write('flywheel_prefix = "a b"'))


def test_every_setting_may_stand_in_the_file_and_has_a_name_that_every_client_passes_on():
    source = "".join(Path(str(each.__file__)).read_text(encoding="utf-8") for each in (settings, sealing))
    assert set(re.findall(r'"((?:REDIS|FLYWHEEL)_[A-Z_]+)"', source)) | set(VARIABLES) == set(NAMES)
    of_the_file = ["REDIS_PASSWORD", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY"]
    assert [name for name in NAMES if GEMINI_DROPS.search(PASSABLE.get(name, name))] == of_the_file


# what is refused


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("redis_ur", "redis_url"),
        ("REDIS_URL", "redis_url"),
        ("url", "redis_url"),
        ("data_dir", "flywheel_data_dir"),
        ("redis", "redis_"),
        ("redis_passwort", "redis_password"),
        ("zzz", "`agentic-flywheel-state config show` lists them"),
    ],
)
def test_a_wrong_key_is_named_with_the_nearest_right_one_and_its_value_never_shown(key: str, near: str, write: Write):
    told = refusal(write(f'{key} = "{SECRET}"'))
    assert f"there is no setting {key!r}; " in told
    assert near in told


@pytest.mark.parametrize(
    "value", ["[1]", "{a = 1}", "1979-05-27", "inf", "nan", "10000000000000000000", '"a\\u0000b"', "0x" + "f" * 60]
)
def test_a_value_of_another_kind_is_refused(value: str, write: Write):
    told = refusal(write(f"flywheel_user = {value}"))
    assert "flywheel_user is not allowed; allowed: a number, true, false, or text in quotes." in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (f"redis_url = redis://:{SECRET}@h\n".encode(), "at line 1, column"),
        (f'redis_url = "{SECRET}'.encode(), "at "),
        (b'redis_port = 1\nredis_port = "2"\n', "at line 2"),
        (b'flywheel_user = "\xff"\n', "UTF-8"),
        (b"#" * (MAX_BYTES + 1), "longer than"),
    ],
)
def test_what_is_no_toml_is_refused_with_its_line_and_without_its_words(content: bytes, told: str, write: Write):
    path = write()
    path.write_bytes(content)
    assert told in refusal(path)


def test_a_file_that_others_can_write_or_own_or_that_lies_elsewhere_is_refused(write: Write, tmp_path: Path):
    for mode in (0o620, 0o602):
        assert f"can be written by others (mode {mode:04o}): chmod 600 it." in refusal(write(mode=mode))
    assert Settings.from_env({}, write("flywheel_revisions = 3", mode=0o644)).revisions == 3
    link = tmp_path / "link"
    link.symlink_to(write())
    assert "is a link" in refusal(link)
    (tmp_path / "folder").mkdir()
    assert "is no file" in refusal(tmp_path / "folder")
    if os.geteuid() == 0:
        path = write()
        os.chown(path, 65534, 65534)
        assert "belongs to nobody, not to root" in refusal(path)


def test_no_file_is_no_settings_and_costs_no_reader_of_toml(tmp_path: Path):
    assert Settings.from_env({}, tmp_path / "none" / "config.toml") == Settings.from_env({})
    (tmp_path / "file").touch()
    assert Settings.from_env({}, tmp_path / "file" / "config.toml") == Settings.from_env({})
    program = (
        "import sys; from agentic_flywheel.settings import Settings; Settings.of_this_process(); "
        "sys.exit('tomllib' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], env={"HOME": str(tmp_path)}, check=True, timeout=60)


def test_it_lies_below_home_whatever_xdg_says_and_nowhere_where_there_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("XDG_CONFIG_HOME", "/elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_path() == tmp_path / ".config" / "agentic-flywheel-state" / "config.toml"
    monkeypatch.setenv("HOME", "here")
    assert default_path() is None


# any file at all

KEYS = st.sampled_from([*(name.lower() for name in (*NAMES, *ALIASES)), "redis_ur", "X", '"a\\tb"', "a.b", "[t]", ""])
VALUES = st.one_of(
    st.sampled_from(["true", "1", "-1", "2.5", "[", "[]", "{}", '""', "'", "1979-05-27", f'"redis://:{SECRET}@h"']),
    st.text("abc:/@= \"'\\#\t\r\n\x00é\U0001f600", max_size=12).map(lambda text: f'"{text}{SECRET}"'),
)
FILES = st.one_of(
    st.lists(st.builds(lambda key, value: f"{key} = {value}", KEYS, VALUES), max_size=4).map("\n".join),
    st.text(max_size=60),
)


@given(FILES.map(lambda text: text.encode(errors="surrogatepass")))
def test_any_file_is_settings_or_one_sentence_that_names_it_and_shows_no_value(content: bytes):
    path = Path("/somewhere/config.toml")
    told, texts = "", dict[str, str]()
    try:
        texts = parse(content, path)
    except SettingError as error:
        told = str(error)
    assert told.startswith(str(path)) or not told
    assert SECRET not in told
    assert len(told) < 400
    assert set(texts) <= {*NAMES, *ALIASES}
