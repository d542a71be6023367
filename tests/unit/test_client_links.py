"""The links of `install --link` say what the clients' own decoders read out of them."""

import base64
import json
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from agentic_flywheel.cli.clients.entries import Server
from agentic_flywheel.cli.clients.links import LINKS, link
from agentic_flywheel.cli.clients_arguments import LINKED

SERVER = Server(["/a b/flywheel+x", "-P", "é&?#="], {"REDIS_URL": "redis://u:p%40@h:1/0?x=y&z", "A": ""})
BARE = Server(["/usr/bin/agentic-flywheel-state"])
FULL = {"command": SERVER.command[0], "args": SERVER.command[1:], "env": SERVER.env}


@pytest.mark.parametrize(
    ("client", "begin"),
    [("cursor", "cursor://anysphere.cursor-deeplink/mcp/install?"), ("lmstudio", "lmstudio://add_mcp?")],
)
def test_name_and_entry_are_in_the_query(client: str, begin: str):
    made = link(client, "flywheel-state", SERVER)
    assert made.startswith(begin)
    query = parse_qs(urlsplit(made).query, strict_parsing=True)
    assert query["name"] == ["flywheel-state"]
    assert json.loads(base64.b64decode(query["config"][0], validate=True)) == FULL


def test_vs_code_has_all_of_it_as_json():
    made = link("vscode", "flywheel-state", SERVER)
    path, _, query = made.partition("?")
    assert path == "vscode:mcp/install"
    assert json.loads(unquote(query)) == {"name": "flywheel-state", "type": "stdio", **FULL}
    assert not set(query) & set(' "#&?+')


def test_goose_is_told_a_command_that_it_takes_and_the_names_of_variables_alone():
    made = link("goose", "flywheel-state", SERVER)
    query = parse_qs(urlsplit(made).query, strict_parsing=True)
    assert made.startswith("goose://extension?cmd=uvx&arg=agentic-flywheel-state&id=flywheel-state")
    assert query["env"] == ["REDIS_URL=REDIS_URL", "A=A"]
    assert "p%2540" not in made


@pytest.mark.parametrize("client", LINKS)
def test_what_is_blank_is_not_in_it(client: str):
    assert "env" not in unquote(link(client, "x", BARE))
    assert link(client, "x", BARE).isascii()


def test_the_command_line_offers_each():
    assert set(LINKED) == set(LINKS)
