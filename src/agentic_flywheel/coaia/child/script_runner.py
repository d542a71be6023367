"""Runs scripts in the way that this Redis allows: by name or whole, with flags or without."""

# pyright: basic
# redis-py 4 has no types; in strict mode every line that touches it would be an error.

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import redis
from redis.exceptions import NoScriptError

WAYS = 4
"""Ways in which one call is tried at the most: by name, whole, without flags, by name after it was loaded."""

_REFUSED = r"(unknown command|no permissions to run)[^'`]*['`]"
"""How a Redis (or a proxy before it) begins to refuse a command, whose name follows."""


class Scripts:
    """What is known of how the Redis behind `client` runs scripts.

    On a cluster each is sent whole (`by_name=False`): no node need know it.
    """

    def __init__(self, client: Any, *, by_name: bool) -> None:  # noqa: ANN401  it is untyped
        self.client = client
        self.by_name = by_name
        self.flagged = True
        """Whether Redis reads `#!lua flags=…`; before Redis 7 it cannot."""
        self.forbidden = False
        """Whether no way was open at the last try."""

    def of(self, text: str, *, reads: bool = False) -> "Script":
        """The script of that text; one that only `reads` says so to Redis, which runs it while writes are paused."""
        return Script(self, text, reads=reads)


class Script:
    """One script. Called, it answers what Redis answers, or raises what redis-py raises."""

    def __init__(self, scripts: Scripts, text: str, *, reads: bool) -> None:
        self._scripts = scripts
        self._texts = {False: text, True: f"#!lua flags=no-writes\n{text}" if reads else text}
        self._names = {flagged: hashlib.sha1(each.encode()).hexdigest() for flagged, each in self._texts.items()}  # noqa: S324

    def __call__(self, keys: Sequence[str], args: Sequence[Any] = (), **options: Any) -> Any:  # noqa: ANN401
        """What Redis answers."""
        try:
            answer = self._answer(keys, args, options)
        except redis.ResponseError as exc:
            self._scripts.forbidden = any(_refuses(command, exc) for command in ("evalsha", "eval", "script"))
            raise
        self._scripts.forbidden = False
        return answer

    def _answer(self, keys: Sequence[str], args: Sequence[Any], options: dict[str, Any]) -> Any:  # noqa: ANN401
        command = self.command(keys, args)
        for _ in range(WAYS - 1):
            try:
                return self._scripts.client.execute_command(*command, **options)
            except redis.ResponseError as exc:
                if not self.has_another_way(exc):
                    raise
                if _refuses("eval", exc):
                    self._scripts.client.script_load(self._text)
                    command = self._named(keys, args)
                else:
                    command = self._whole(keys, args)
        return self._scripts.client.execute_command(*command, **options)

    def command(self, keys: Sequence[str], args: Sequence[Any] = ()) -> tuple[Any, ...]:
        """The command that runs it, in the way that did last."""
        return self._named(keys, args) if self._scripts.by_name else self._whole(keys, args)

    def has_another_way(self, refusal: redis.ResponseError) -> bool:
        """Whether that refuses not what the script does, but the way in which it was sent; that is remembered."""
        if isinstance(refusal, NoScriptError):
            return True
        if _refuses("evalsha", refusal):
            self._scripts.by_name = False
            return True
        if re.search("near '#'|shebang", str(refusal), re.IGNORECASE):  # also of calls sent before that was known
            self._scripts.flagged = False
            return True
        return _refuses("eval", refusal) and self._scripts.by_name

    @property
    def _text(self) -> str:
        return self._texts[self._scripts.flagged]

    def _named(self, keys: Sequence[str], args: Sequence[Any]) -> tuple[Any, ...]:
        return "EVALSHA", self._names[self._scripts.flagged], len(keys), *keys, *args

    def _whole(self, keys: Sequence[str], args: Sequence[Any]) -> tuple[Any, ...]:
        return "EVAL", self._text, len(keys), *keys, *args


def _refuses(command: str, refusal: redis.ResponseError) -> bool:
    return re.search(rf"{_REFUSED}{command}\b", str(refusal), re.IGNORECASE) is not None
