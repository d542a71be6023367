"""Keeps the sessions of Strands programs: each is an ordinary session of the same id, whose turns are its messages.

    repository = FlywheelRepository()
    agent = Agent(session_manager=RepositorySessionManager("support-42", session_repository=repository))

The states of agents are in the session's context, so that an earlier revision brings back messages and states together.
A turn that others added is kept, and not given to agents. What is not kept raises.
"""

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from strands.session.session_repository import SessionRepository
from strands.types.session import Session, SessionAgent, SessionMessage
from typing_extensions import override

from agentic_flywheel.integrations.background_loop import BackgroundLoop
from agentic_flywheel.integrations.strands_records import AGENT, MULTI_AGENT, SESSION, plain
from agentic_flywheel.integrations.strands_sessions import StrandsSessions
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.settings import Settings

if TYPE_CHECKING:
    from strands.multiagent.base import MultiAgentBase

__all__ = ["FlywheelRepository"]


class FlywheelRepository(SessionRepository):
    """A `SessionRepository` on the store of this package, for any number of threads and processes.

    Args:
        settings: where sessions are kept; by default as the environment and the settings file say.
        key_prefix: keeps deployments in one Redis apart.
        redis_url: `redis://…`, `rediss://…` or `unix://…`; by default what the settings name, else this machine.
        ttl_seconds: life of a session after its last change; 0 means for ever.
        redact: replace what looks like a credential before it is kept. What the program holds stays as it is.
        user_id: whose the sessions are that begin here; by default nobody's.

    Every method raises `SessionException` where Strands' own repositories do, and `FlywheelError` where it is not known
    what is stored, or a change is not kept.

    """

    def __init__(
        self,
        *,
        settings: Settings | None = None,
        key_prefix: str | None = None,
        redis_url: str | None = None,
        ttl_seconds: int | None = None,
        redact: bool = False,
        user_id: str = "",
    ) -> None:
        self._sessions = StrandsSessions(
            settings=settings,
            key_prefix=key_prefix,
            redis_url=redis_url,
            ttl_seconds=ttl_seconds,
            redact=redact,
            user_id=user_id,
        )
        self._loop = BackgroundLoop("agentic-flywheel-strands")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._sessions!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the thread and let go of the store; using the repository opens it anew."""
        self._loop.close(self._sessions.aclose())

    @override
    def create_session(self, session: Session, **kwargs: Any) -> Session:
        """Begin a session; `SessionException` if there is one of that id."""
        self._loop.run(self._sessions.begin(session.session_id, plain(session.to_dict())))
        return session

    @override
    def read_session(self, session_id: str, **kwargs: Any) -> Session | None:
        """The session's own record; `None` if there is none."""
        record = self._loop.run(self._sessions.record(session_id, SESSION))
        return None if record is None else Session.from_dict(record)

    def delete_session(self, session_id: str, **kwargs: Any) -> None:  # noqa: ARG002  as Strands' own repositories have it
        """Delete a session with all that goes with it; `SessionException` if there is none."""
        self._loop.run(self._sessions.remove(session_id))

    @override
    def create_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:
        """Add an agent to a session; `SessionException` if it has one of that id."""
        self._put_agent(session_id, session_agent, new=True)

    @override
    def read_agent(self, session_id: str, agent_id: str, **kwargs: Any) -> SessionAgent | None:
        """The state of an agent; `None` if there is none."""
        record = self._loop.run(self._sessions.record(session_id, AGENT + agent_id))
        return None if record is None else SessionAgent.from_dict(record)

    @override
    def update_agent(self, session_id: str, session_agent: SessionAgent, **kwargs: Any) -> None:
        """Keep the state of an agent, as of when it was created; `SessionException` if there is no such agent."""
        session_agent.created_at = self._put_agent(session_id, session_agent, new=False)["created_at"]

    @override
    def create_message(self, session_id: str, agent_id: str, session_message: SessionMessage, **kwargs: Any) -> None:
        """Add a message; `SessionException` if there is no such agent, or it has another one of that number."""
        self._loop.run(self._sessions.add(session_id, agent_id, session_message))

    @override
    def read_message(self, session_id: str, agent_id: str, message_id: int, **kwargs: Any) -> SessionMessage | None:
        """The message of that number; `None` if there is none."""
        messages = self._loop.run(self._sessions.messages(session_id, agent_id))
        return next((each for each in messages if each.message_id == message_id), None)

    @override
    def update_message(self, session_id: str, agent_id: str, session_message: SessionMessage, **kwargs: Any) -> None:
        """Put a message in the place of the one of its number; `SessionException` if there is none."""
        self._loop.run(self._sessions.put_message(session_id, agent_id, session_message))

    @override
    def list_messages(
        self, session_id: str, agent_id: str, limit: int | None = None, offset: int = 0, **kwargs: Any
    ) -> list[SessionMessage]:
        """The messages of an agent by their numbers, at most `limit`, without the first `offset` of them."""
        messages = self._loop.run(self._sessions.messages(session_id, agent_id))
        return messages[offset : None if limit is None else offset + limit]

    @override
    def create_multi_agent(self, session_id: str, multi_agent: "MultiAgentBase", **kwargs: Any) -> None:
        """Keep the state of a group of agents; `SessionException` if the session has another one of that id."""
        self._put_group(session_id, multi_agent, new=True)

    @override
    def read_multi_agent(self, session_id: str, multi_agent_id: str, **kwargs: Any) -> dict[str, Any] | None:
        """The state of a group of agents; `None` if there is none."""
        return self._loop.run(self._sessions.record(session_id, MULTI_AGENT + multi_agent_id))

    @override
    def update_multi_agent(self, session_id: str, multi_agent: "MultiAgentBase", **kwargs: Any) -> None:
        """Keep the state of a group of agents; `SessionException` if there is none of that id."""
        self._put_group(session_id, multi_agent, new=False)

    def _put_agent(self, session_id: str, agent: SessionAgent, *, new: bool) -> JSONObject:
        key, what = AGENT + agent.agent_id, f"Agent {agent.agent_id}"
        return self._loop.run(self._sessions.put(session_id, key, lambda: plain(agent.to_dict()), what, new=new))

    def _put_group(self, session_id: str, group: "MultiAgentBase", *, new: bool) -> None:
        key, what = MULTI_AGENT + group.id, f"MultiAgent {group.id}"
        self._loop.run(self._sessions.put(session_id, key, lambda: plain(group.serialize_state()), what, new=new))
