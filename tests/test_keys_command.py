"""`keys`: makes keys, says what is sealed, seals a store in clear, rotates it while servers run, and unseals it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import clean_env
from .support.proxy import Proxy
from .support.redis_server import RedisServer
from .support.sealed import files_with, key_line
from .support.waiting import wait_until
from .support.wire import WireServer

WORDS = "hepatica nobilis"
COUNT = 12
MANY = 90


def command(env: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "agentic_flywheel", *arguments],
        env=env, capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def keys_file(folder: Path, *names: str) -> Path:
    path = folder / "keys"
    path.write_text("".join(f"{key_line(name)}\n" for name in names))
    path.chmod(0o600)
    return path


def with_keys(env: dict[str, str], folder: Path, *names: str) -> dict[str, str]:
    return env | {"FLYWHEEL_KEY_FILE": str(keys_file(folder, *names))}


def save(env: dict[str, str], count: int = COUNT) -> None:
    with WireServer(env) as server:
        server.warm()
        for number in range(count):
            turns = [{"role": "user", "content": f"{WORDS} {number}"}]
            for _ in range(2):  # so that there is an older revision
                turns = [*turns, {"role": "assistant", "content": WORDS}]
                saved = server.call("save_session", session_id=f"s{number}", history=turns, title=WORDS)
                assert saved["saved"], saved
        server.call("cache_result", session_id="s0", flow_id="f", result={"answer": WORDS})


def found(env: dict[str, str], *, resumed: int = 100) -> list[str]:
    """The ids of all sessions; so many of them are resumed, which renews them: what was in clear is sealed then."""
    with WireServer(env) as server:
        if env.get("REDIS_ENABLED") != "false":
            server.warm()
        listed = server.call("list_sessions", query="hepatica", limit=100)
        assert all(server.call("resume_session", session_id=row["id"])["found"] for row in listed["sessions"][:resumed])
        return sorted(row["id"] for row in listed["sessions"])


def in_redis(redis: RedisServer, words: str) -> list[str]:
    """The keys in which it can be read."""
    with redis.client() as client:
        there = []
        for key in client.scan_iter(match=f"{redis.prefix}:*", count=1000):
            kind = client.type(key)
            value = client.get(key) if kind == "string" else client.hgetall(key) if kind == "hash" else ""
            if words in str(value):
                there.append(key)
        return sorted(there)


@pytest.fixture
def env(tmp_path: Path, redis: RedisServer) -> dict[str, str]:
    return clean_env(tmp_path, redis.url, redis.prefix)


ALL = sorted(f"s{number}" for number in range(COUNT))


@pytest.mark.slow
def test_a_store_in_clear_is_sealed_rotated_and_unsealed_again(tmp_path: Path, env: dict[str, str], redis: RedisServer):
    save(env)
    data = tmp_path / "data"
    assert files_with(data, "hepatica")
    assert in_redis(redis, "hepatica")
    old = with_keys(env, tmp_path, "old")
    code, _, err = command(old, "sessions")
    assert (code, "keys seal" in err) == (2, True)
    code, out, err = command(old, "keys", "seal")
    assert (code, err) == (0, ""), (out, err)
    assert files_with(data, "hepatica", "SQLite format") == []
    assert in_redis(redis, "hepatica") == []
    assert found(old) == ALL
    code, _, err = command(env, "sessions")
    assert (code, "sealed with the key 'old'" in err) == (2, True)

    new = with_keys(env, tmp_path, "new", "old")
    code, out, err = command(new, "keys", "rotate")
    assert (code, err) == (0, ""), (out, err)
    only = with_keys(env, tmp_path, "new")
    assert found(only) == ALL
    code, out, _ = command(only, "keys", "status", "--json")
    told = json.loads(out)
    assert (code, told["keys"], told["journal"]) == (0, ["new"], "sealed with new")
    assert [*told["redis"]["documents"]] == [*told["redis"]["list_rows"]] == ["new"]

    code, out, err = command(only, "keys", "unseal")
    assert (code, err) == (0, ""), (out, err)
    assert found(env) == ALL
    assert in_redis(redis, "hepatica")


@pytest.mark.slow
def test_keys_are_rotated_while_servers_save(tmp_path: Path, env: dict[str, str], redis: RedisServer):
    old = with_keys(env, tmp_path, "old")
    save(old)
    with WireServer(old) as server:
        server.warm()
        with_keys(env, tmp_path, "new", "old")
        rotating = subprocess.Popen([sys.executable, "-m", "agentic_flywheel", "keys", "rotate"], env=old)
        number = 0
        while rotating.poll() is None:
            number += 1
            turns = [{"role": "user", "content": f"meanwhile {number}"}]
            saved = server.call("save_session", session_id=f"s{number % COUNT}", history=turns)
            assert (saved["saved"], saved["stored_in"]) == (True, "redis"), saved
        assert rotating.returncode == 0
    assert command(with_keys(env, tmp_path, "new", "old"), "keys", "rotate")[0] == 0
    only = with_keys(env, tmp_path, "new")
    assert found(only) == ALL
    assert in_redis(redis, '"key":"old"') == []


@pytest.mark.slow
def test_a_rotation_that_is_killed_anywhere_leaves_all_readable(
    tmp_path: Path, env: dict[str, str], redis: RedisServer
):
    save(with_keys(env, tmp_path, "a"))
    names = ["a"]
    for number in range(10):
        names.insert(0, f"k{number}")
        now = with_keys(env, tmp_path, *names)
        running = subprocess.Popen([sys.executable, "-m", "agentic_flywheel", "keys", "rotate"], env=now)
        newest = f'"key":"k{number}"'
        wait_until(
            lambda newest=newest, at=3 * number + 1, running=running: (
                len(in_redis(redis, newest)) >= at or running.poll() is not None
            ),
            what="some of the rotation",
        )
        running.kill()
        running.wait()
    assert found(now) == ALL
    assert command(now, "keys", "rotate")[0] == 0
    assert found(with_keys(env, tmp_path, names[0])) == ALL


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("verb", ["seal", "unseal"])
def test_sealing_and_unsealing_killed_while_redis_is_rewritten_leaves_all_readable_and_goes_on(
    tmp_path: Path, env: dict[str, str], redis: RedisServer, verb: str
):
    save(env, MANY)
    everything = sorted(f"s{number}" for number in range(MANY))
    keyed = with_keys(env, tmp_path, "a")
    if verb == "unseal":
        assert command(keyed, "keys", "seal")[0] == 0

    def sealed() -> int:
        return len(in_redis(redis, '"key":"a"'))

    with Proxy(redis.port) as proxy:
        proxy.delay = 0.02  # so that a kill finds it in the middle
        slow = keyed | {"REDIS_URL": redis.url.replace(str(redis.port), str(proxy.port))}
        for _ in range(2):
            before = sealed()
            running = subprocess.Popen([sys.executable, "-m", "agentic_flywheel", "keys", verb], env=slow)
            wait_until(lambda before=before: sealed() != before, what="some to be rewritten")
            running.kill()
            running.wait()
            assert 0 < sealed() < MANY + 2, "of the sessions, an execution and a history"
            assert found(keyed, resumed=5) == everything
    assert command(keyed, "keys", verb)[0] == 0
    assert found(keyed if verb == "seal" else env) == everything
    assert bool(in_redis(redis, "hepatica")) == (verb == "unseal")
    assert sealed() == 0 or verb == "seal"


KEYRING = """
import json, os, pathlib
_file = pathlib.Path(os.environ["HOME"]) / "keyring.json"
class NoKeyringError(RuntimeError): pass
def _all():
    if "NO_KEYRING" in os.environ: raise NoKeyringError
    return json.loads(_file.read_text()) if _file.exists() else {}
def get_password(service, name): return _all().get(f"{service} {name}")
def set_password(service, name, text): _file.write_text(json.dumps(_all() | {f"{service} {name}": text}))
"""
"""A module of that name as the package `keyring` is, which keeps what it is given in a file."""


def test_keys_in_the_systems_keyring_are_made_used_and_rotated(tmp_path: Path, disabled_env: dict[str, str]):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "keyring.py").write_text(KEYRING)
    paths = [str(tmp_path / "modules"), *filter(None, [disabled_env.get("PYTHONPATH")])]
    env = disabled_env | {"PYTHONPATH": os.pathsep.join(paths)}
    code, out, err = command(env | {"NO_KEYRING": "1"}, "keys", "new", "--keyring")
    assert (code, out, len(err.splitlines())) == (1, "", 1), err
    assert "does not answer (NoKeyringError)" in err
    assert command(env, "keys", "new", "spring", "--keyring")[0] == 0
    assert command(env, "config", "set", "seal", "keyring")[0] == 0
    with WireServer(env) as server:
        assert server.call("save_session", session_id="s", history=[{"role": "user", "content": WORDS}])["saved"]
    assert files_with(tmp_path / "data", "hepatica") == []
    code, out, err = command(env | {"NO_KEYRING": "1"}, "sessions")
    assert (code, "does not answer (NoKeyringError)" in err) == (2, True)
    code, out, _ = command(env, "keys", "new", "summer", "--keyring")
    assert (code, "Start your clients and servers again, then" in out) == (0, True)
    code, out, _ = command(env, "keys", "rotate")
    assert (code, "sealed with summer" in out) == (0, True)
    assert "once all clients and servers were started again" in out, "these read a keyring when they start"
    assert found(env) == ["s"]


def test_a_first_key_is_made_and_used_by_the_settings_file(disabled_env: dict[str, str]):
    home = Path(disabled_env["HOME"])
    code, out, err = command(disabled_env, "keys", "new", "spring")
    assert (code, err) == (0, ""), (out, err)
    path = home / ".config" / "agentic-flywheel-state" / "keys"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().partition(":")[2].strip() not in out
    assert command(disabled_env, "config", "set", "seal", str(path))[0] == 0
    code, out, _ = command(disabled_env, "keys", "status")
    assert (code, "Keys given: spring." in out) == (0, True)
    assert command(disabled_env, "keys", "new", "summer")[0] == 0
    assert "summer, spring" in command(disabled_env, "config", "show")[1]
    assert [line.partition(":")[0] for line in path.read_text().split()] == ["summer", "spring"]
    code, _, err = command(disabled_env, "keys", "new", "spring")
    assert (code, "there is a key 'spring' already" in err) == (2, True)
    code, _, err = command(disabled_env, "keys", "new", "a b")
    assert (code, "'a b' is not allowed as a key's name; allowed: 1 to 64 of" in err) == (2, True)


def test_folders_of_namespaces_are_sealed_with_the_rest(tmp_path: Path, disabled_env: dict[str, str]):
    team = disabled_env | {"FLYWHEEL_DATA_DIR": str(tmp_path / "data" / "namespaces" / "ns.team")}
    for env in (disabled_env, team):
        with WireServer(env) as server:
            assert server.call("save_session", session_id="s", history=[{"role": "user", "content": WORDS}])["saved"]
    assert command(with_keys(disabled_env, tmp_path, "a"), "keys", "seal")[0] == 0
    assert files_with(tmp_path / "data", "hepatica") == []
    assert command(with_keys(disabled_env, tmp_path, "b", "a"), "keys", "rotate")[0] == 0
    for env in (disabled_env, team):
        assert found(with_keys(env, tmp_path, "b")) == ["s"]
    assert command(with_keys(disabled_env, tmp_path, "b"), "keys", "unseal")[0] == 0
    for env in (disabled_env, team):
        assert found(env) == ["s"]


def test_what_is_exported_of_a_sealed_store_is_sealed_and_comes_in_with_the_key(
    tmp_path: Path, disabled_env: dict[str, str]
):
    sealed = with_keys(disabled_env, tmp_path, "a")
    with WireServer(sealed) as server:
        for number in range(3):
            turns = [{"role": "user", "content": f"{WORDS} {number}"}]
            assert server.call("save_session", session_id=f"s{number}", history=turns, title=WORDS)["saved"]
    file, clear = tmp_path / "talks.jsonl", tmp_path / "clear.jsonl"
    assert command(sealed, "export", str(file))[0] == 0
    assert command(sealed, "export", str(file))[0] == 0, "an earlier export is known again"
    assert WORDS not in file.read_text()
    assert len(file.read_text().splitlines()) == 3
    assert command(sealed, "export", "--clear", str(clear))[0] == 0
    assert clear.read_text().count(f"{WORDS} ") == 3
    assert WORDS not in command(sealed, "export")[1]
    elsewhere = with_keys(disabled_env, tmp_path, "b", "a") | {"FLYWHEEL_DATA_DIR": str(tmp_path / "elsewhere")}
    code, out, err = command(elsewhere, "import", str(file))
    assert code == 0, (out, err)
    shown = command(elsewhere, "sessions", "show", "s1")[1]
    assert f"{WORDS} 1" in shown
    for keys, why in (([], "sealed with the key 'a'"), (["c"], "'a', which is not among yours (c)")):
        env = disabled_env | {"FLYWHEEL_DATA_DIR": str(tmp_path / f"other{len(keys)}")}
        code, out, err = command(with_keys(env, tmp_path, *keys) if keys else env, "import", str(file))
        assert (code, why in out + err) == (1, True), (out, err)


def test_a_store_that_somebody_has_open_is_not_sealed(tmp_path: Path, disabled_env: dict[str, str]):
    with WireServer(disabled_env) as server:
        assert server.call("save_session", history=[{"role": "user", "content": WORDS}])["saved"]
        code, _, err = command(with_keys(disabled_env, tmp_path, "a"), "keys", "seal")
        assert (code, "Another program has" in err) == (1, True)
        assert server.call("save_session", history=[{"role": "user", "content": WORDS}])["saved"]
    assert sorted(path.name for path in (tmp_path / "data").glob("journal*")) == [
        "journal.sqlite3",
        "journal.sqlite3.lock",
    ]
    assert command(with_keys(disabled_env, tmp_path, "a"), "keys", "seal")[0] == 0


def test_no_report_shows_a_key(disabled_env: dict[str, str]):
    with_key = disabled_env | {"FLYWHEEL_KEY": key_line("a")}
    with WireServer(with_key) as server:
        assert server.call("persistence_status")["sealed"] == "a"
        assert server.call("save_session", session_id="s", history=[{"role": "user", "content": WORDS}])["saved"]
    secret = key_line("a").partition(":")[2]
    for arguments in (
        ["config", "show"],
        ["doctor", "--verbose"],
        ["doctor", "--as", "gemini-cli"],
        ["keys", "status"],
    ):
        _, out, err = command(with_key, *arguments)
        assert secret not in out + err, arguments
        assert secret[:20] not in out + err, arguments
        if arguments[-1] == "gemini-cli":
            assert "sealed with the key 'a'" in out + err


@pytest.mark.parametrize("verb", ["rotate", "seal", "unseal"])
def test_without_a_key_nothing_is_done(disabled_env: dict[str, str], verb: str):
    code, _, err = command(disabled_env, "keys", verb)
    assert (code, "no key is given" in err) == (2, True)


def test_the_status_says_that_the_key_of_the_store_is_not_here(disabled_env: dict[str, str]):
    with WireServer(disabled_env | {"FLYWHEEL_KEY": key_line("spring")}) as server:
        assert server.call("save_session", session_id="s", title=WORDS)["saved"]
    for here in ("", key_line("summer")):
        code, out, err = command(disabled_env | {"FLYWHEEL_KEY": here}, "keys", "status")
        assert (code, "the key 'spring' is not among them" in err) == (1, True), (out, err)
        assert "kept in clear" not in out
        assert "sealed with spring" in out
