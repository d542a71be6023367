"""Keeps the tokens of clients over HTTP in a file, as salted hashes, and says whose a token is.

A token is 32 random bytes, which nobody guesses however fast a hash is: so it is a fast one, and a wrong token is
refused at once. Every stored hash is compared with it, in constant time.
"""

import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from agentic_flywheel.errors import FlywheelError, InvalidArgument
from agentic_flywheel.private_files import NotPrivate, changing, put, read_secret

FILE_NAME = "tokens.json"
"""The file, beside the settings file."""

MAX_BYTES = 4 * 2**20
"""Of the file; one token has a few hundred."""

MAX_TOKEN = 512
"""Characters of a token that are looked at; one of ours has 47."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}")
"""A token's name, and a namespace's: it becomes part of key prefixes and the name of a folder."""

RULE = "1 to 48 of A-Z a-z 0-9 _ -, the first a letter or a digit"

BEGIN = "afs_"
"""What each token begins with, so that scanners of leaked credentials can know it."""


class TokenFileError(FlywheelError):
    """The file cannot be used; the message is a whole sentence that names it."""


class NameTaken(TokenFileError):  # noqa: N818  it is named for what is the matter
    """There is a token of that name."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token of the file: its name, its namespace and its hash. Times are seconds since 1970."""

    name: str
    namespace: str
    salt: str
    hash: str
    created: int
    expires: int | None = None

    def matches(self, token: bytes) -> bool:
        """Whether this is that token, in a time that says nothing of it."""
        return hmac.compare_digest(_hash(token, self.salt), self.hash)


class TokenFile:
    """The tokens in a file, read again whenever the file has changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read_as: tuple[int, int, int] | None = None
        self._tokens: tuple[Token, ...] = ()

    @property
    def is_there(self) -> bool:
        """Whether there is such a file, usable or not."""
        try:
            self.path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True

    def tokens(self) -> tuple[Token, ...]:
        """All tokens of the file as it is now; none if there is no file.

        Raises:
            TokenFileError: others can write the file, it is not ours, a link, or no such list.

        """
        try:
            status = self.path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            self._read_as, self._tokens = None, ()
            return ()
        except OSError as exc:
            raise TokenFileError(f"{self.path} cannot be read: {exc.strerror}.") from None
        seen = (status.st_mtime_ns, status.st_ino, status.st_size)
        if seen != self._read_as:
            self._tokens = self._parsed()
            self._read_as = seen
        return self._tokens

    def find(self, token: str, now: float | None = None) -> Token | None:
        """Whose token that is; `None` if it is nobody's, or has expired. Raises as `tokens` does."""
        given = token[:MAX_TOKEN].encode(errors="replace")
        found = None
        for each in self.tokens():  # all of them: how long it takes does not say which it was
            if each.matches(given):
                found = each
        if found is None or (found.expires is not None and found.expires <= (time.time() if now is None else now)):
            return None
        return found

    def add(self, name: str, namespace: str, days: int | None = None) -> str:
        """Add a token and write the file; the token, which is not kept anywhere.

        Raises:
            InvalidArgument: a name is not allowed.
            TokenFileError: there is one of that name (`NameTaken`), or the file cannot be used.

        """
        for what, text in (("name", name), ("namespace", namespace)):
            if not NAME.fullmatch(text):
                raise InvalidArgument(f"{text[:60]!r} is not allowed as a {what}; allowed: {RULE}.")
        token, salt, now = BEGIN + secrets.token_urlsafe(32), secrets.token_hex(8), int(time.time())
        expires = now + days * 86_400 if days else None
        with self._changing():
            tokens = self.tokens()
            if any(each.name == name for each in tokens):
                raise NameTaken(f"there is a token {name!r} already; revoke it first, or choose another name.")
            self._write([*tokens, Token(name, namespace, salt, _hash(token.encode(), salt), now, expires)])
        return token

    def revoke(self, name: str) -> bool:
        """Take a token out; whether there was one of that name. The file stays, be it empty: nobody else comes in."""
        if not self.is_there:
            return False
        with self._changing():
            tokens = self.tokens()
            left = [each for each in tokens if each.name != name]
            if len(left) == len(tokens):
                return False
            self._write(left)
        return True

    @contextmanager
    def _changing(self) -> Generator[None]:
        """Hold the file for a change: a token that was printed is in it, and a revoked one does not come back."""
        try:
            with changing(self.path.parent):
                yield
        except OSError as exc:
            why = str(exc) if isinstance(exc, NotPrivate) else f"{self.path} cannot be written: {exc.strerror}."
            raise TokenFileError(why) from None

    def _write(self, tokens: Sequence[Token]) -> None:
        content = {"version": 1, "tokens": [asdict(each) for each in tokens]}
        put(self.path, (json.dumps(content, indent=1) + "\n").encode())

    def _parsed(self) -> tuple[Token, ...]:
        try:
            content: Any = json.loads(read_secret(self.path, MAX_BYTES + 1))
            if content["version"] != 1:
                raise TokenFileError(f"{self.path} was written by a newer version of this program.")
            return tuple(_token(cast("dict[str, Any]", each)) for each in content["tokens"])
        except OSError as exc:
            why = str(exc) if isinstance(exc, NotPrivate) else f"{self.path} cannot be read: {exc.strerror}."
            raise TokenFileError(why) from None
        except (ValueError, TypeError, KeyError, RecursionError):
            raise TokenFileError(f"{self.path} is no file of tokens. Move it away and add them anew.") from None


def _token(row: dict[str, Any]) -> Token:
    texts = (row["name"], row["namespace"], row["salt"], row["hash"])
    times = (row["created"], row.get("expires") or 0)
    if not all(isinstance(each, str) for each in texts) or not all(isinstance(each, int) for each in times):
        raise TypeError
    token = Token(**row)
    bytes.fromhex(token.salt)
    bytes.fromhex(token.hash)  # text that is not ASCII is not compared, with any token
    if not NAME.fullmatch(token.name) or not NAME.fullmatch(token.namespace):
        raise ValueError(token.name)
    return token


def _hash(token: bytes, salt: str) -> str:
    return hashlib.blake2b(token, digest_size=32, salt=bytes.fromhex(salt)[:16]).hexdigest()
