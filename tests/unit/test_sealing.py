"""What is sealed: keys by name, envelopes whose ends follow from the document, files that open with their key alone."""

import base64
import json
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentic_flywheel.coaia.envelope import Envelopes, etag_of_envelope, key_of, key_of_note
from agentic_flywheel.coaia.replies import version_of
from agentic_flywheel.documents.parse import load
from agentic_flywheel.documents.writes import etag, revision_at_head
from agentic_flywheel.errors import Damaged, JournalUnavailable, NewerSchema, SettingError
from agentic_flywheel.integrations.adapter import Adapter
from agentic_flywheel.integrations.redis_state import RedisSessionManager
from agentic_flywheel.journal import FILE_NAME, Journal
from agentic_flywheel.journal.key_file import read_key, sealed_with, unlock, write_key
from agentic_flywheel.journal.sqlite import forget_sealed
from agentic_flywheel.keys import Keys, written_under
from agentic_flywheel.sealing import KEY_FILE, KeyRing, WrongKey, new_key, seal
from agentic_flywheel.settings import Settings

from ..support.sealed import files_with, key_line, ring
from .test_journal import write

WORDS = "hepatica nobilis"
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=90),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
IDS = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)


def document(identity: str | None, revision: int, words: object, operation: str = "ab.1") -> str:
    head = {"schema_version": 1} | ({"id": identity} if identity else {}) | {"revision": revision}
    times = {"saved_at": "2026-11-05T12:00:00+00:00", "kept_until": None}
    body = {"words": words, **times, "operations": [[0, 0, revision, operation]]}
    return json.dumps(head | body, ensure_ascii=False, separators=(",", ":"))


# envelopes


@given(IDS | st.none(), st.integers(1, 10**12), VALUES, st.booleans())
def test_how_an_envelope_begins_and_ends_is_told_by_the_document_alone(identity, revision, words, escaped):
    text = document(identity, revision, words)
    if escaped:
        text = json.dumps(json.loads(text), separators=(",", ":"))
    sealed = Envelopes(ring("a")).close("k", text)
    assert etag(sealed) == etag_of_envelope(text)
    assert revision_at_head(sealed) == revision_at_head(text)
    version = version_of(sealed)
    assert version is not None
    assert version.is_of(text)
    assert Envelopes(ring("b", "a")).open("k", sealed) == text


@given(st.text() | VALUES.map(json.dumps))
def test_a_text_of_any_shape_comes_back_as_it_was(text: str):
    envelopes = Envelopes(ring("a"))
    sealed = envelopes.close("k", text)
    assert key_of(sealed) == "a"
    assert envelopes.open("k", sealed) == text
    assert etag(sealed) == etag_of_envelope(text)


@given(IDS, st.sampled_from(["p", "a:b", "session", "p.ns.revision"]), st.integers(1, 10**9))
def test_an_older_revision_is_opened_that_redis_copied_or_that_was_sealed_in_its_place(identity, prefix, number):
    envelopes, keys = Envelopes(ring("a")), Keys(prefix)
    text = document(identity, number, WORDS)
    place = f"{keys.revisions(identity)}{number}"
    copied, sealed = envelopes.close(keys.session(identity), text), envelopes.close(place, text)
    for each in (copied, sealed):
        again = Envelopes(ring("b", "a")).rewrapped(place, each)
        assert again
        assert envelopes.open(place, each) == Envelopes(ring("b")).open(place, again) == text
        with pytest.raises(Damaged):
            envelopes.open(f"{keys.revisions(identity + 'x')}{number}", each)
    with pytest.raises(Damaged):
        envelopes.open(f"{keys.session(identity)}x", copied)


@pytest.mark.parametrize(
    "key", ["p:session:s:revision:t:2", "p:history:revision:f:2", "p:execution:x:revision:y:1", "p:revision:s:x"]
)
def test_only_an_older_revision_was_written_under_another_key(key: str):
    assert written_under(key) == key


def test_an_older_revision_that_an_earlier_version_sealed_in_its_place_is_opened():
    data_key = new_key()
    name, wrapped = ring("a").wrap(data_key, "p:revision:s:2")
    text = document("s", 2, WORDS)
    body = base64.b64encode(seal(data_key, text.encode(), "p:revision:s:2")).decode()
    head = f'{{"schema_version":2,"id":"s","revision":2,"key":"{name}","data_key":"{wrapped}"'
    sealed = f'{head},"body":"{body}","ending_mark":"0"}}'
    assert Envelopes(ring("a")).open("p:revision:s:2", sealed) == text
    again = Envelopes(ring("b", "a")).rewrapped("p:revision:s:2", sealed)
    assert again
    assert Envelopes(ring("b")).open("p:revision:s:2", again) == text


def test_another_write_of_the_same_revision_ends_otherwise():
    one, other = (document("s", 2, WORDS, operation) for operation in ("ab.1", "cd.1"))
    assert etag_of_envelope(one) != etag_of_envelope(other)


def test_an_envelope_tells_times_and_names_and_not_a_word():
    sealed = Envelopes(ring("a")).close("k", document("s", 2, WORDS))
    told = json.loads(sealed)
    assert [*told] == [
        "schema_version", "id", "revision", "key", "data_key", "saved_at", "kept_until", "body", "ending_mark",
    ]  # fmt: skip
    assert "hepatica" not in sealed


def test_each_envelope_has_a_key_of_its_own():
    envelopes, text = Envelopes(ring("a")), document("s", 1, WORDS)
    one, other = (json.loads(envelopes.close("k", text)) for _ in range(2))
    assert one["data_key"] != other["data_key"]
    assert one["body"] != other["body"]


def test_who_has_no_key_is_told_of_which_and_overwrites_nothing():
    sealed = Envelopes(ring("a")).close("k", document("s", 2, WORDS))
    with pytest.raises(NewerSchema, match="key 'a', which is not given here"):
        load(sealed, "the session")
    with pytest.raises(NewerSchema, match=r"key 'a', which is not among yours \(b\)"):
        Envelopes(ring("b")).open("k", sealed)


@pytest.mark.parametrize("what", ["its key", "its place", "a byte", "its data key", "cut"])
def test_what_was_changed_is_not_opened(what: str):
    sealed = Envelopes(ring("a")).close("k", document("s", 2, WORDS))
    body = json.loads(sealed)["body"]
    envelopes, key = Envelopes(ring("a")), "k"
    match what:
        case "its key":
            envelopes = Envelopes(KeyRing.parse("a:" + key_line("b")[2:], "FLYWHEEL_KEY"))
        case "its place":
            key = "another"
        case "a byte":
            sealed = sealed.replace(body, body[:30] + ("A" if body[30] != "A" else "B") + body[31:])
        case "its data key":
            sealed = sealed.replace(json.loads(sealed)["data_key"], body)
        case _:
            sealed = sealed[:-40]
    with pytest.raises(Damaged, match="left as it is") as told:
        envelopes.open(key, sealed)
    assert "hepatica" not in str(told.value)


def test_under_a_newer_key_the_document_is_the_same_version():
    text = document("s", 2, WORDS)
    before = Envelopes(ring("old")).close("k", text)
    after = Envelopes(ring("new", "old")).rewrapped("k", before)
    assert after
    assert (key_of(before), key_of(after)) == ("old", "new")
    assert etag(before) == etag(after)
    assert Envelopes(ring("new")).open("k", after) == text
    assert Envelopes(ring("new", "old")).rewrapped("k", after) is None
    assert Envelopes(ring("new")).rewrapped("k", text) is None


def test_the_note_of_a_list_is_sealed_and_one_that_does_not_open_stays_as_it_is():
    old, both = Envelopes(ring("old")), Envelopes(ring("new", "old"))
    note = json.dumps({"title": WORDS})
    sealed = old.close_note("s", note)
    assert "hepatica" not in sealed
    assert (key_of_note(sealed), key_of_note(note)) == ("old", None)
    assert both.open_note("s", sealed) == note
    assert both.open_note("another", sealed) == sealed
    assert Envelopes(ring("new")).open_note("s", sealed) == sealed
    assert both.open_note("s", note) == note
    again = both.rewrapped_note("s", sealed)
    assert again
    assert Envelopes(ring("new")).open_note("s", again) == note


# key rings


@pytest.mark.parametrize(
    "text", ["", "a", "a:", "a:AAAA", ":" + "A" * 43, "a b:x", key_line("a") + "," + key_line("a")]
)
def test_what_is_no_key_ring_is_refused_without_a_word_of_it(text: str):
    with pytest.raises(SettingError, match=r"^FLYWHEEL_KEY is not allowed; allowed: NAME:KEY") as told:
        KeyRing.parse(text, "FLYWHEEL_KEY")
    assert len(text) < 9 or text[5:] not in str(told.value)


def test_a_key_shows_itself_nowhere(tmp_path: Path):
    line = key_line("a")
    settings = Settings.from_env({"FLYWHEEL_KEY": line, "FLYWHEEL_DATA_DIR": str(tmp_path)})
    secret = line.partition(":")[2]
    for shown in (repr(settings), str(settings), repr(settings.seal), json.dumps(settings.told)):
        assert secret not in shown
        assert repr(settings.seal and settings.seal.entries[0][1]) not in shown


def key_file(folder: Path, *names: str, mode: int = 0o600) -> Path:
    path = folder / "keys"
    path.write_text("# newest first\n" + "\n".join(map(key_line, names)) + "\n")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("setting", ["FLYWHEEL_KEY_FILE", "FLYWHEEL_KEY", "FLYWHEEL_SEAL", "seal", "flywheel_key_file"])
def test_keys_may_stand_in_a_file_of_their_own(tmp_path: Path, setting: str):
    path = key_file(tmp_path, "new", "old")
    if setting.isupper():
        settings = Settings.from_env({setting: str(path)})
    else:
        config = tmp_path / "config.toml"
        config.write_text(f'{setting} = "{path}"\n')
        config.chmod(0o600)
        settings = Settings.from_env({}, config)
    assert settings.seal
    assert settings.seal == ring("new", "old") or settings.seal.entries == ring("new", "old").entries
    assert settings.seal.named == "new, old"


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path):
    with pytest.raises(SettingError, match=r"FLYWHEEL_KEY_FILE is not allowed: .* can be read by others"):
        Settings.from_env({"FLYWHEEL_KEY_FILE": str(key_file(tmp_path, "a", mode=0o640))})


@pytest.mark.parametrize(
    ("given_", "what"),
    [
        ({"FLYWHEEL_KEY": "/nowhere/keys"}, "cannot be read"),
        ({"FLYWHEEL_KEY_FILE": key_line("a")}, "allowed: an absolute path"),
        ({"FLYWHEEL_KEY": key_line("a"), "FLYWHEEL_KEY_FILE": "/keys"}, "remove one of them"),
        ({"FLYWHEEL_KEY": "keyring"}, "keyring"),
    ],
)
def test_what_gives_no_keys_is_refused_in_a_line_without_a_secret(given_: dict[str, str], what: str):
    with pytest.raises(SettingError, match=what) as told:
        Settings.from_env(given_)
    assert key_line("a").partition(":")[2] not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_variable_named_seal_is_another_programs():
    assert Settings.from_env({"SEAL": key_line("a")}).seal is None


def test_a_running_server_follows_its_key_file(tmp_path: Path):
    path = key_file(tmp_path, "old")
    server = Envelopes(KeyRing.read(path, "FLYWHEEL_KEY_FILE"))
    assert key_of(server.close("k", "text")) == "old"
    key_file(tmp_path, "new", "old")
    assert server.open("k", Envelopes(ring("new")).close("k", "text")) == "text"
    assert key_of(server.close("k", "text")) == "new"
    path.unlink()
    assert key_of(server.close("k", "text")) == "new"


# files


def test_nothing_that_a_sealed_journal_holds_is_readable_in_any_file(tmp_path: Path, clock):
    folder = tmp_path / "data"
    unlock(folder, ring("a"))
    journal = Journal(folder, clock, ("redis",))
    for number in range(50):
        text = document(f"s{number}", 1, [{"role": "user", "content": f"{WORDS} {number}"}])
        assert journal.commit(write(f"p:session:s{number}", text), pending=text).accepted
    assert files_with(folder, "hepatica", "SQLite format", "p:session") == []
    journal.close()
    assert files_with(folder, "hepatica", "SQLite format", "p:session") == []
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    again = Journal(folder, clock, ("redis",))
    assert len(again.pending("p:session:s7")) == 1
    again.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith(".lock")}


@pytest.mark.parametrize("keys", [None, "b", "a, another of that name"])
def test_a_wrong_or_missing_key_is_one_refusal_that_changes_no_byte(tmp_path: Path, clock, keys: str | None):
    unlock(tmp_path, ring("a"))
    journal = Journal(tmp_path, clock)
    journal.commit(write())
    journal.close()
    before = contents(tmp_path)
    forget_sealed(tmp_path)
    wrong = ring("b") if keys == "b" else KeyRing.parse("a:" + key_line("b")[2:], "FLYWHEEL_KEY") if keys else None
    with pytest.raises(SettingError, match="'a'") as told:
        unlock(tmp_path, wrong)
    assert "\n" not in str(told.value)
    assert contents(tmp_path) == before
    clear = Journal(tmp_path, clock)  # a process that began before the store was sealed
    with pytest.raises(JournalUnavailable, match="sealed meanwhile"):
        clear.copy("k")
    clear.search_text = None  # pyright: ignore[reportAttributeAccessIssue]
    assert contents(tmp_path) == before
    unlock(tmp_path, ring("b", "a"))
    opened = Journal(tmp_path, clock)
    assert opened.copy("k")
    opened.close()


def test_the_python_api_is_refused_where_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    unlock(tmp_path, ring("a"))
    monkeypatch.setenv("FLYWHEEL_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    for key in ("", key_line("b")):
        monkeypatch.setenv("FLYWHEEL_KEY", key)
        for make in (RedisSessionManager, Adapter):
            with pytest.raises(SettingError, match="'a'"):
                make()
    monkeypatch.setenv("FLYWHEEL_KEY", key_line("a"))
    for make in (RedisSessionManager, Adapter):
        make()
    monkeypatch.setenv("FLYWHEEL_KEY", "")
    RedisSessionManager(enabled=False)


def test_a_store_in_clear_is_not_mixed_with_a_sealed_one(tmp_path: Path, clock):
    journal = Journal(tmp_path, clock)
    journal.commit(write())
    journal.close()
    before = contents(tmp_path)
    with pytest.raises(SettingError, match="keys seal"):
        unlock(tmp_path, ring("a"))
    assert contents(tmp_path) == before


def test_the_key_of_a_folder_is_wrapped_anew_while_it_is_open(tmp_path: Path, clock):
    unlock(tmp_path, ring("old"))
    journal = Journal(tmp_path, clock)
    journal.commit(write())
    write_key(tmp_path, ring("new", "old"), read_key(tmp_path, ring("new", "old")))
    assert sealed_with(tmp_path) == "new"
    journal.commit(write("k2"))
    journal.close()
    unlock(tmp_path, ring("new"))
    again = Journal(tmp_path, clock)
    assert again.copy("k2")
    again.close()


def test_a_key_file_of_the_folder_that_is_damaged_is_told_of(tmp_path: Path):
    unlock(tmp_path, ring("a"))
    (tmp_path / KEY_FILE).write_text("{")
    with pytest.raises(SettingError, match="damaged"):
        unlock(tmp_path, ring("a"))


def test_many_that_begin_at_once_agree_on_one_key(tmp_path: Path):
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda _: unlock(tmp_path / "data", ring("a")), range(16)))
    assert [path.name for path in (tmp_path / "data").iterdir() if "key" in path.name] == [KEY_FILE]


def test_many_threads_use_one_sealed_file(tmp_path: Path):
    unlock(tmp_path, ring("a"))
    journal = Journal(tmp_path, lambda: datetime.now(UTC))
    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(lambda n: journal.commit(write(f"k{n}", WORDS * 400)).accepted, range(100)))
        texts = list(threads.map(lambda n: journal.copy(f"k{n}"), range(100)))
    assert all(done)
    assert all(texts)
    journal.close()


def test_a_sealed_file_fails_with_the_errors_of_sqlite3(tmp_path: Path):
    unlock(tmp_path, ring("a"))
    from agentic_flywheel.journal.cipher import connect_sealed  # here: it needs what not everybody has installed

    with closing(connect_sealed(str(tmp_path / FILE_NAME), os.urandom(32), isolation_level=None)) as db:
        db.execute("CREATE TABLE t (x UNIQUE)")
        db.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(sqlite3.IntegrityError) as told:
            db.execute("INSERT INTO t VALUES (1)")
        assert told.value.sqlite_errorcode & 0xFF == sqlite3.SQLITE_CONSTRAINT  # sqlcipher3 tells no extended ones
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            db.execute("SELECT * FROM nowhere")
    with closing(connect_sealed(str(tmp_path / FILE_NAME), os.urandom(32))) as db, pytest.raises(sqlite3.DatabaseError):
        db.execute("SELECT * FROM t").fetchall()


def test_a_key_that_opens_nothing_is_no_error_of_cryptography():
    name, wrapped = ring("a").wrap(b"x" * 32, "about")
    with pytest.raises(WrongKey):
        ring("a").unwrap(name, wrapped, "another")
