"""The file of tokens: hashes alone, private, read again when it changes, and closed to everybody when it is wrong."""

import json
from pathlib import Path

import pytest

from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.server.token_file import TokenFile, TokenFileError


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "settings" / "tokens.json")


def test_a_token_is_found_by_itself_alone(file: TokenFile):
    token = file.add("ann", "team")
    found = TokenFile(file.path).find(token)
    assert found
    assert (found.name, found.namespace) == ("ann", "team")
    for wrong in ("", token[:-1], token + "x", token.swapcase(), "ann", found.hash, "\ud83c", "é" * 600):
        assert file.find(wrong) is None


def test_two_tokens_of_one_text_would_have_two_hashes(file: TokenFile):
    file.add("ann", "team")
    file.add("bob", "team")
    rows = json.loads(file.path.read_text())["tokens"]
    assert len({row["salt"] for row in rows}) == len({row["hash"] for row in rows}) == 2


def test_an_expired_token_is_nobodys(file: TokenFile):
    token = file.add("ann", "ann", days=1)
    made = file.tokens()[0].created
    assert file.find(token, made + 86_399)
    assert file.find(token, made + 86_400) is None


def test_a_change_by_another_process_counts_at_once(file: TokenFile):
    token = file.add("ann", "ann")
    other = TokenFile(file.path)
    assert other.find(token)
    assert file.revoke("ann")
    assert not file.revoke("ann")
    assert other.find(token) is None
    assert file.is_there


@pytest.mark.parametrize("name", ["", "../x", "a b", "a:b", "a.b", "-a", "é", "x" * 49])
def test_a_name_that_could_reach_beside_its_folder_or_keys_is_refused(file: TokenFile, name: str):
    with pytest.raises(InvalidArgument, match="not allowed"):
        file.add("ann", name)
    with pytest.raises(InvalidArgument, match="not allowed"):
        file.add(name, "team")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "tokens": []}',
        '{"version": 1, "tokens": [{}]}',
        '{"version": 1, "tokens": [{"name": "a", "namespace": "../b", "salt": "", "hash": "", "created": 0}]}',
        '{"version": 1, "tokens": [{"name": "a", "namespace": "b", "salt": "zz", "hash": "", "created": 0}]}',
        '{"version": 1, "tokens": [{"name": "a", "namespace": "b", "salt": "", "hash": 1, "created": 0}]}',
        '{"version": 1, "tokens": [{"name": "a", "namespace": "b", "salt": "", "hash": "\u00e9", "created": 0}]}',
    ],
)
def test_a_file_that_is_no_list_of_tokens_is_refused(file: TokenFile, content: str):
    token = file.add("ann", "ann")
    file.path.write_text(content)
    with pytest.raises(TokenFileError):
        file.find(token)


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o604])
def test_a_file_that_others_reach_is_refused(file: TokenFile, mode: int):
    token = file.add("ann", "ann")
    file.path.chmod(mode)
    with pytest.raises(TokenFileError, match="chmod 600"):
        TokenFile(file.path).find(token)


def test_a_link_is_not_followed(file: TokenFile, tmp_path: Path):
    token = file.add("ann", "ann")
    link = tmp_path / "link.json"
    link.symlink_to(file.path)
    with pytest.raises(TokenFileError, match="link"):
        TokenFile(link).find(token)
