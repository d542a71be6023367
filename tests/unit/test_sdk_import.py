"""The SDK is imported without its parts for HTTP, and as a whole where it cannot be."""

import subprocess
import sys

import pytest

from agentic_flywheel.server.sdk_import import LEFT_OUT

LOADED = f"""
import sys
loaded = [name for name, module in sys.modules.items() for package in {LEFT_OUT!r}
          if name == package or name.startswith(package + ".")]
"""


def outcome(code: str) -> str:
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_no_part_of_the_sdk_for_http_is_imported_and_no_stand_in_is_left():
    begin = "from agentic_flywheel.server.sdk_import import import_server; import_server()"
    assert outcome(f"{begin}\n{LOADED}\nprint(loaded)") == "[]"


def test_who_imports_such_a_part_later_gets_the_real_one():
    begin = "from agentic_flywheel.server.sdk_import import import_server; import_server()"
    later = "import mcp.client, mcp.client.session, starlette.requests"
    assert outcome(
        f"{begin}\n{later}\nprint(mcp.client.session.__file__ and starlette.requests.Request({{'type': 'http'}}).scope)"
    )


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["raise ValueError", "del sys.modules['mcp']; raise AttributeError", "1 / 0"])
def test_a_release_that_cannot_be_imported_so_is_imported_as_a_whole(fault: str):
    code = f"""
import sys
from agentic_flywheel.server import front, sdk_import

class Fails(sdk_import._StandIn):
    def __getattr__(self, name):
        if self.__name__ == "starlette.routing":
            {fault}
        return super().__getattr__(name)

sdk_import._StandIn = Fails
sdk_import.import_server()
from agentic_flywheel.server import app
from mcp.server.mcpserver import MCPServer
from mcp.shared.message import SessionMessage
from agentic_flywheel import jsonrpc_lines
assert app.MCPServer is MCPServer and jsonrpc_lines.SessionMessage is SessionMessage
assert app.Front is front.Front
{LOADED}
print("starlette.routing" in loaded)
"""
    assert outcome(code) == "True"


def test_a_fault_of_our_own_shows_itself():
    code = """
import sys
from agentic_flywheel.server import sdk_import
sdk_import.APP = "agentic_flywheel.server.no_such"
try:
    sdk_import.import_server()
except ModuleNotFoundError as exc:
    print(exc.name)
"""
    assert outcome(code) == "agentic_flywheel.server.no_such"
