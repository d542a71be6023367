"""Names all keys of one session, by which its deletion finds what goes with it. No other keys can be named here."""

import re
from dataclasses import dataclass

from agentic_flywheel.keys import RESERVED, Keys, escaped

_BEGINNING = re.compile(r"(?P<prefix>.+):(history|revision):[^:]+:")


@dataclass(frozen=True, slots=True)
class SessionKeys:
    """The keys of the session under the key `session`.

    Raises:
        ValueError: that is not the key of a session.

    """

    session: str

    def __post_init__(self) -> None:
        if not self.session_id:
            raise ValueError("This is not the key of a session.")

    @classmethod
    def of(cls, key: str) -> "SessionKeys | None":
        """All keys of the session under `key`; `None` for the key of anything else."""
        return cls(key) if _split(key, "session")[1] else None

    @property
    def session_id(self) -> str:
        """The id of the session."""
        return _split(self.session, "session")[1]

    @property
    def revisions(self) -> str:
        """What the keys of its older revisions begin with."""
        return self._keys.revisions(self.session_id)

    @property
    def histories(self) -> str:
        """What the keys of its flow histories begin with."""
        return self._keys.histories(self.session_id)

    @property
    def executions(self) -> str:
        """The set of the keys of its executions."""
        return f"{self._keys.index}:executions:{escaped(self.session_id)}"

    @property
    def execution_keys(self) -> str:
        """What the key of any execution begins with."""
        return self._keys.execution("")

    @property
    def _keys(self) -> Keys:
        return Keys(_split(self.session, "session")[0])


def execution_set(key: str, session_id: object) -> str:
    """The set in which an execution's key is found when its session is deleted; empty for what belongs to none."""
    prefix, execution_id = _split(key, "execution")
    if execution_id and isinstance(session_id, str) and session_id:
        return SessionKeys(Keys(prefix).session(session_id)).executions
    return ""


def is_part(key: str) -> bool:
    """Whether this is the key of an execution or of a flow history."""
    return bool(_prefix_of_part(key))


def session_of(key: str, session_id: object) -> str:
    """The key of the session that an execution or a flow history belongs to; empty for what belongs to none."""
    prefix = _prefix_of_part(key)
    return Keys(prefix).session(session_id) if prefix and isinstance(session_id, str) and session_id else ""


def _prefix_of_part(key: str) -> str:
    return _split(key, "execution")[0] or _split(key, "history")[0]


def check_beginning(beginning: str, prefix: str) -> str:
    """The beginning itself, if it names nothing but the older revisions or the flow histories of one session.

    Raises:
        ValueError: it names more, such as every key of the database.

    """
    match = _BEGINNING.fullmatch(beginning)
    if match is None or match["prefix"] != prefix:
        raise ValueError("Only the keys of one session may be looked for to be deleted.")
    return beginning


def _split(key: str, kind: str) -> tuple[str, str]:
    """The prefix and the id in a key of that kind; two empty texts for any other key."""
    prefix, _, identity = key.partition(f":{kind}:")
    return (prefix, identity) if prefix and identity and not RESERVED & set(prefix.split(":")[1:]) else ("", "")
