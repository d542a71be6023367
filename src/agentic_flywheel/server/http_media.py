"""Says in words which media types and codings of a POST are not taken; an absent Accept means any, as in HTTP."""

from collections.abc import Sequence

from agentic_flywheel.server.prepared_answers import LISTEN

Headers = list[tuple[bytes, bytes]]

ANY = (b"accept", b"*/*")
"""What a request without an Accept header accepts (RFC 9110, 12.5.1): Go's and Java's clients send none."""

JSON_RANGES = ("application/json", "application/*", "*/*")
"""Media ranges that take JSON."""

STREAM_RANGES = ("text/event-stream", "text/*", "*/*")
"""Media ranges that take a stream, which is the answer to `subscriptions/listen`."""

NOT_ACCEPTABLE = "The Accept header must have application/json and text/event-stream, or be left out."

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def with_accept(headers: Headers) -> Headers:
    """The headers; where they say nothing of what is accepted, anything is."""
    if _ranges(headers):
        return headers
    return [*(each for each in headers if each[0] != b"accept"), ANY]


def media_problem(headers: Headers) -> tuple[int, str] | None:
    """Why a POST with these headers is not taken: a status and a sentence; `None` if it is."""
    accepted = _ranges(headers)
    if accepted and not set(accepted) & set(JSON_RANGES):
        return 406, NOT_ACCEPTABLE
    if accepted and LISTEN in _all(headers, b"mcp-method") and not takes_stream(headers):
        return 406, NOT_ACCEPTABLE
    kinds = _all(headers, b"content-type")
    if [each.partition(";")[0].strip() for each in kinds] != ["application/json"]:
        return 415, "The body must be JSON, with the header Content-Type: application/json."
    if set(_all(headers, b"content-encoding")) - {"identity", ""}:
        return 415, "The body must be sent as it is, without Content-Encoding."
    return None


def takes_stream(headers: Headers) -> bool:
    """Whether a stream is among what these headers name as accepted."""
    return not set(_ranges(headers)).isdisjoint(STREAM_RANGES)


def _ranges(headers: Headers) -> list[str]:
    """What is accepted; an empty member of the list, or an empty header, names nothing (RFC 9110, 5.6.1)."""
    ranges = (each.partition(";")[0].strip() for line in _all(headers, b"accept") for each in line.split(","))
    return [each for each in ranges if each]


def _all(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1").lower() for key, value in headers if key == name]
