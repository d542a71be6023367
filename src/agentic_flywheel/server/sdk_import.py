"""Imports the server without what the MCP SDK needs for HTTP alone: a sixth of a start, a tenth of its memory.

The SDK imports its client, and its transports over HTTP with all that they stand on, wherever its server is imported.
Here stand-ins take the place of those modules meanwhile: their names are classes that nobody ever makes an object of.
Afterwards they are no modules any more, so that whoever imports one later gets the real one.
"""

import contextlib
import importlib
import logging
import sys
from collections.abc import Generator, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

logger = logging.getLogger(__name__)

APP = "agentic_flywheel.server.app"

LEFT_OUT = ("mcp.client", "starlette", "sse_starlette", "uvicorn", "httpx2")
"""Packages that a server over standard input and output has no use for."""

ON_THEM = ("mcp", "agentic_flywheel.server", "agentic_flywheel.jsonrpc_lines")
"""What is imported meanwhile and holds their names: it is imported anew where a stand-in was not enough."""

AT_WORK = tuple(
    f"agentic_flywheel.server{part}" for part in ("", ".front", ".prepared_answers", ".begin", ".sdk_import")
)


def import_server() -> None:
    """Import the module `server.app`, in the light way if this release of the SDK can be, else in the usual one."""
    try:
        with _stand_ins():
            importlib.import_module(APP)
    except Exception:
        logger.debug("The MCP SDK cannot be imported without its parts for HTTP.", exc_info=True)
        for name in [*sys.modules]:
            if _is_part_of(name, ON_THEM) and name not in AT_WORK:
                del sys.modules[name]
        importlib.import_module(APP)


@contextlib.contextmanager
def _stand_ins() -> Generator[None]:
    """Have stand-ins in the place of these modules; those that were imported before are left alone."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name, module in [*sys.modules.items()]:
            if isinstance(module, _StandIn):
                del sys.modules[name]


class _StandIn(ModuleType):
    """A module in which every name is a class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        stand_in = type(name, (), {"__module__": self.__name__})
        setattr(self, name, stand_in)
        return stand_in


class _Finder(MetaPathFinder, Loader):
    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        return ModuleSpec(fullname, self, is_package=True) if _is_part_of(fullname, LEFT_OUT) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing to run."""


def _is_part_of(name: str, packages: Sequence[str]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)
