"""Reads all messages that a Flowise or a Langflow has, over its HTTP interface, into files for their readers.

Flowise 3.1 answers all messages of a flow at once, and Langflow 1.13 at most 200, the newest first: pages are asked for
until one brings nothing new, whatever an older version makes of that. A file has no name, and is gone with the command.
"""

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, NoReturn, cast

from agentic_flywheel.cli.importers.archives import MAX_UNPACKED_BYTES
from agentic_flywheel.cli.importers.found_files import Absent, Source, Sources, Stream
from agentic_flywheel.cli.importers.http_server import HttpServer
from agentic_flywheel.documents.turn_values import as_object, is_object
from agentic_flywheel.errors import InvalidArgument
from agentic_flywheel.json_text import JSONObject
from agentic_flywheel.plain_text import quoted

PAGE = 200
"""Messages of a page: the most that Langflow gives."""

MAX_PAGES = 50_000
"""Ten million messages: what has more never ends."""

MAX_FLOWS = 10_000

IN_MEMORY = 2**18
"""Bytes of a flow's messages that are not written to a file."""

_EMPTY = b"[]"


@dataclass(frozen=True, slots=True)
class FlowProgram:
    """A program that runs flows: how it is called, where it is by default, and what carries its key."""

    shown: str
    url: str
    variable: str
    """What the names of its environment variables begin with: `…_URL`, `…_API_KEY`."""
    key_header: str
    key_value: str
    files: Callable[[HttpServer, Sequence[str], ExitStack], Iterator[Source]]
    """The messages of these flows, or of all, as files that are closed with the stack."""

    def server(self, url: str, key: str) -> HttpServer:
        """Its server at an address.

        Raises:
            InvalidArgument: that, or the key, is none.

        """
        if not key.isascii() or any(each < " " or each == "\x7f" for each in key):
            raise InvalidArgument("the key must be plain ASCII without line breaks.")
        where = f"{self.variable}_API_KEY in the environment, or --api-key"
        told = f"Give {'another one' if key else 'one'} with {where}."
        headers = {self.key_header: self.key_value.format(key)} if key else {}
        return HttpServer(self.shown, url or self.url, headers, told)


@contextmanager
def fetched(program: FlowProgram, server: HttpServer, flows: Sequence[str]) -> Generator[Sources]:
    """All messages of these flows, or of all flows that the key may read, in files.

    Raises:
        InvalidArgument: they cannot be had; the message says why and what to do.

    """
    with ExitStack() as stack:
        yield Sources(list(program.files(server, flows, stack)), [])


def _of_flowise(server: HttpServer, flows: Sequence[str], stack: ExitStack) -> Iterator[Source]:
    named = dict.fromkeys(flows, "")
    if not named:
        listed = server.json("/api/v1/chatflows")
        listed = listed["data"] if is_object(listed) and "data" in listed else listed
        if not isinstance(listed, list):
            _other(server, "Flowise")
        found = filter(is_object, cast("list[object]", listed))
        named = {flow["id"]: flow.get("name") for flow in found if isinstance(flow.get("id"), str) and flow["id"]}
    if len(named) > MAX_FLOWS:
        raise InvalidArgument(f"Flowise at {server.url} has more than {MAX_FLOWS:,} flows: name some with --flow.")
    for flow, name in named.items():
        file = stack.enter_context(_file())
        shown = f"{quoted(name)} ({flow})" if isinstance(name, str) and name else flow
        try:
            if _copied(server, flow, file):
                yield Stream(file, f"Flowise at {server.url}, flow {shown}")
        except InvalidArgument as exc:
            if len(named) == 1:
                raise
            yield Absent(f"Flowise, flow {shown}", str(exc))


def _copied(server: HttpServer, flow: str, target: IO[bytes]) -> bool:
    """Write all messages of a flow, as an array; whether there are any."""
    server.copy(f"/api/v1/chatmessage/{flow}", target, order="ASC")
    target.seek(0)
    head = target.read(64).strip()
    if not head.startswith(b"["):
        _other(server, "Flowise")
    return head.replace(b" ", b"") != _EMPTY


def _of_langflow(server: HttpServer, flows: Sequence[str], stack: ExitStack) -> Iterator[Source]:
    for flow in flows or (None,):
        file = stack.enter_context(_file())
        if _pages(server, flow, file):
            yield Stream(file, f"Langflow at {server.url}" + (f", flow {flow}" if flow else ""))


def _pages(server: HttpServer, flow: str | None, target: IO[bytes]) -> int:
    """Write all messages of a flow, or of all, as an array; how many there are."""
    there, asked = set[str](), 0
    for _ in range(MAX_PAGES):
        page = server.json("/api/v1/monitor/messages", flow_id=flow, order="DESC", limit=PAGE, offset=asked)
        if not isinstance(page, list):
            _other(server, "Langflow")
        messages = cast("list[object]", page)
        new = [each for each in map(as_object, messages) if _own(each) not in there]
        for each in new:
            target.write((b",\n" if there else b"[") + json.dumps(each).encode())
            there.add(_own(each))
            if target.tell() > MAX_UNPACKED_BYTES:
                raise InvalidArgument(f"Langflow at {server.url} has more than 4 GB of messages: name a --flow.")
        asked += len(messages)
        if not new:  # an older version gives all at once, whatever the offset
            target.write(b"]" if there else _EMPTY)
            return len(there)
    raise InvalidArgument(f"Langflow at {server.url} has messages without an end: name a --flow.")


def _file() -> "SpooledTemporaryFile[bytes]":
    """A file without a name, on the disk once it is large: there may be more flows than files may be open."""
    return SpooledTemporaryFile(max_size=IN_MEMORY)


def _own(message: JSONObject) -> str:
    own = message.get("id")
    return own if isinstance(own, str) else json.dumps(message)


def _other(server: HttpServer, program: str) -> NoReturn:
    raise InvalidArgument(f"{program} at {server.url} answered with other JSON. Is it the address of {program}?")


PROGRAMS = {
    "flowise": FlowProgram("Flowise", "http://localhost:3000", "FLOWISE", "Authorization", "Bearer {}", _of_flowise),
    "langflow": FlowProgram("Langflow", "http://localhost:7860", "LANGFLOW", "x-api-key", "{}", _of_langflow),
}
"""By the name with which `import` is told of it."""
