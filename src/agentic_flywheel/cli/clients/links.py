"""Makes the link with which a click installs this server in a client that takes such links."""

import base64
import json
from collections.abc import Callable
from urllib.parse import quote, urlencode

from agentic_flywheel.cli.clients.entries import Server, plain, stdio
from agentic_flywheel.cli.parser import PROGRAM
from agentic_flywheel.json_text import JSONObject

ABOUT = "Keeps conversations: save today, resume tomorrow."


def link(client: str, name: str, server: Server) -> str:
    """The link for a client of `LINKS`."""
    return LINKS[client](name, server)


def _cursor(name: str, server: Server) -> str:
    return f"cursor://anysphere.cursor-deeplink/mcp/install?{_query(name, server)}"


def _lm_studio(name: str, server: Server) -> str:
    return f"lmstudio://add_mcp?{_query(name, server)}"


def _vscode(name: str, server: Server) -> str:
    return f"vscode:mcp/install?{quote(json.dumps({'name': name, **_without_blank(stdio(server))}), safe='')}"


def _goose(name: str, server: Server) -> str:
    """The link for goose, which takes a few commands only, uvx among them, and asks for the values of variables."""
    pairs = [("cmd", "uvx"), ("arg", PROGRAM), ("id", name), ("name", name), ("description", ABOUT)]
    return (
        f"goose://extension?{urlencode([*pairs, *(('env', f'{each}={each}') for each in server.env)], quote_via=quote)}"
    )


LINKS: dict[str, Callable[[str, Server], str]] = {
    "cursor": _cursor,
    "vscode": _vscode,
    "lmstudio": _lm_studio,
    "goose": _goose,
}


def _query(name: str, server: Server) -> str:
    config = base64.b64encode(json.dumps(_without_blank(plain(server))).encode()).decode()
    return urlencode({"name": name, "config": config}, quote_via=quote)


def _without_blank(entry: JSONObject) -> JSONObject:
    return {name: value for name, value in entry.items() if value}
