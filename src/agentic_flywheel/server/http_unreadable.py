"""Answers a body that is no request in our words, where the SDK quotes it in its parser's or answers nothing."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from agentic_flywheel.server.refusal import refusal, request_of

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

SUSPECT = (202, 400)
"""How the SDK answers such a body: as a notification, or with what its parser says. Others are not looked at again."""


def explaining(body: bytes, send: Send) -> Send:
    """A `send` for the answer to the request with this body."""
    told: bytes | None = None

    async def explained(message: Message) -> None:
        nonlocal told
        if message["type"] == "http.response.start" and message["status"] in SUSPECT and not _is_message(body):
            told = refusal(body).rstrip()
            kept = [each for each in message["headers"] if each[0].lower() not in (b"content-type", b"content-length")]
            size = (b"content-length", str(len(told)).encode())
            headers = [*kept, (b"content-type", b"application/json"), size]
            message = {**message, "status": 400, "headers": headers}
        elif message["type"] == "http.response.body" and told is not None:
            message, told = {"type": "http.response.body", "body": told}, b""
        await send(message)

    return explained


def _is_message(body: bytes) -> bool:
    try:
        request_of(body)
    except ValueError:
        return False
    return True
