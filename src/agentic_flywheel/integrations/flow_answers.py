"""Reads what Flowise and Langflow answer to a run: who was asked what in which talk, and what came of it.

Flowise 3.1 (`POST /api/v1/prediction/{id}`) names its answer `chatMessageId`, the talk `sessionId`, else `chatId`, and
no flow. Langflow 1.13 (`POST /api/v1/run/{flow}`) has a message, with all of that, in each of its outputs. Ids are made
as `cli/importers` makes them, so that what is recorded and imported later is there once.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, cast

from agentic_flywheel.documents.turn_values import as_list, as_object, first_text, is_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject, canonical, check_json
from agentic_flywheel.keys import id_of, question_id

Backend = Literal["flowise", "langflow"]


@dataclass(frozen=True, slots=True)
class FlowAnswer:
    """A run: what was asked, its answers as turns, and where in its backend that was. Texts are empty if unknown."""

    backend: Backend
    flow_id: str
    backend_session_id: str
    question: str
    answers: list[JSONObject]
    result: JSONObject

    @property
    def session_id(self) -> str:
        """The id under which an import keeps the same talk; an answer that names none is a talk of its own."""
        talk = self.backend_session_id or str(self.answers[0]["id"])
        return id_of(self.backend, "-".join(filter(None, (self.flow_id, talk))))

    @property
    def execution_id(self) -> str:
        """The id under which an import keeps the same run."""
        return id_of(self.backend, self.answers[0]["id"])

    @property
    def turns(self) -> list[JSONObject]:
        """The question, if it is known, and the answers."""
        first = self.answers[0]
        asked: JSONObject = {"id": question_id(first["id"]), "role": "user", "content": self.question}
        return [asked | {"created_at": first["created_at"]}, *self.answers] if self.question else self.answers

    def is_in(self, history: list[JSONObject]) -> bool:
        """Whether the talk has its answers already, recorded or imported."""
        there = {turn["id"] for turn in history if isinstance(turn.get("id"), str)}
        return all(turn["id"] in there for turn in self.answers)


def answer_in(
    prediction: Mapping[str, object], *, question: str = "", flow_id: str = "", backend: str = ""
) -> FlowAnswer:
    """What a prediction of Flowise, or the answer to a run of Langflow, says.

    Args:
        prediction: the JSON object that was answered.
        question: what was asked; by default what the answer repeats of it.
        flow_id: the flow; Langflow's answers name it, Flowise's do not.
        backend: which of the two answered; by default that is seen by the fields.

    Raises:
        InvalidArgument: it is neither, or holds what JSON cannot carry.

    """
    value: JSONObject = dict(prediction)
    check_json(value, "prediction")
    if backend not in ("", "flowise", "langflow"):
        raise InvalidArgument("backend must be flowise or langflow.")
    if backend == "langflow" or (not backend and isinstance(value.get("outputs"), list)):
        return _of_langflow(value, question, flow_id)
    if backend == "flowise" or not {"chatMessageId", "chatId"}.isdisjoint(value):
        return _of_flowise(value, question, flow_id)
    raise InvalidArgument(
        "prediction must be what Flowise answers to a prediction (chatMessageId, chatId, text) or Langflow to a run"
        " (session_id, outputs); name the backend if it is one without these."
    )


def _of_flowise(value: JSONObject, question: str, flow_id: str) -> FlowAnswer:
    text = first_text(value, ("text",))
    if not text and value.get("json"):
        text = json.dumps(value["json"], ensure_ascii=False)
    own = first_text(value, ("chatMessageId",)) or _digest(value)
    return FlowAnswer(
        "flowise",
        flow_id or first_text(value, ("chatflowid", "chatflowId")),
        first_text(value, ("sessionId", "chatId")),
        question or first_text(value, ("question",)),
        [_turn(own, text, None)],
        value,
    )


def _of_langflow(value: JSONObject, question: str, flow_id: str) -> FlowAnswer:
    asked = (first_text(as_object(run.get("inputs")), ("input_value",)) for run in _objects(value, "outputs"))
    messages = list(_messages(value))
    answers = [
        _turn(first_text(each, ("id",)) or f"{_digest(value)}-{place}", first_text(each, ("text",)), each)
        for place, each in enumerate(messages)
    ]
    named, talk = (_first(messages, name) for name in ("flow_id", "session_id"))
    return FlowAnswer(
        "langflow",
        flow_id or named,
        first_text(value, ("session_id",)) or talk,
        question or next(filter(None, asked), ""),
        answers or [_turn(_digest(value), json.dumps(value.get("outputs"), ensure_ascii=False), None)],
        value,
    )


def _messages(value: JSONObject) -> Iterator[JSONObject]:
    """The messages of all outputs, each once, with the fields of its `data` beside its own."""
    ids = set[str]()
    for run in _objects(value, "outputs"):
        for output in _objects(run, "outputs"):
            for result in filter(is_object, as_object(output.get("results")).values()):
                message = result | as_object(result.get("data"))
                own = first_text(message, ("id",))
                if first_text(message, ("text",)) and not (own and own in ids):
                    ids.add(own)
                    yield message


def _first(messages: list[JSONObject], name: str) -> str:
    """What the first message that has such a field says in it; empty if none has."""
    return next(filter(None, (first_text(each, (name,)) for each in messages)), "")


def _objects(value: JSONObject, name: str) -> list[JSONObject]:
    return list(filter(is_object, as_list(value.get(name))))


def _turn(own: str, text: str, message: JSONObject | None) -> JSONObject:
    said_at = _instant(first_text(message or {}, ("timestamp",))) or datetime.now(UTC)
    return {"id": own, "role": "assistant", "content": text, "created_at": said_at.isoformat()}


def _instant(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text.removesuffix(" UTC"))
    except ValueError:
        return None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _digest(value: JSONObject) -> str:
    """What stands for the id of an answer that has none: the same one for the same answer."""
    return hashlib.blake2b(canonical(cast("object", value)).encode(), digest_size=16).hexdigest()
