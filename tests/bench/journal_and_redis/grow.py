"""Run by either build's interpreter: a session of 1 MB grows through the Python API; prints what the folder takes."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from agentic_flywheel.backends.base import BackendType, UniversalSession
from agentic_flywheel.integrations.redis_state import RedisSessionManager


async def main(versions: dict[str, Any], folder: Path) -> None:
    """Save a history, and then one turn more at a time, as the same session."""
    session = UniversalSession("grows", BackendType.CUSTOM, history=versions["first"])
    async with RedisSessionManager(strict=True) as manager:
        assert await manager.save_session(session)
        for turn in versions["then"]:
            session.history.append(turn)
            assert await manager.save_session(session)
        running = _bytes(folder)
    print(json.dumps({"running": running, "ended": _bytes(folder)}))  # noqa: T201


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    asyncio.run(main(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])))
