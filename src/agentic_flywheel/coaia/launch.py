"""Prepares what a child is started with: its command, its whole environment, and a private folder."""

import contextlib
import os
import re
import shutil
import site
import sys
import tempfile
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path

from agentic_flywheel.langfuse_access import LangfuseAccess
from agentic_flywheel.private_files import check_folder, open_again
from agentic_flywheel.redis_url import with_name_checked

CHILD_FOLDER = Path(__file__).with_name("child")
"""Our own program."""

BARE_FOLDER = Path(__file__).with_name("bare") / "child" / "home"
"""A folder of this package like those that are made, for a machine on which none can be made."""

PREFIX = "agentic-flywheel-child-"
"""What the name of a temporary folder begins with."""

NO_REDIS = "redis://127.0.0.1:1/0"
"""The address of a Redis for a child that needs none: nothing listens there."""

BEING_MADE_SECONDS = 60.0
"""A temporary folder that is younger may be one that its process has not locked yet."""

INHERITED = (
    "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TERM", "TMPDIR", "TEMP", "TMP", "TZ", "USER", "LOGNAME", "SSL_CERT_FILE",
    "SSL_CERT_DIR", "SYSTEMROOT", "PATHEXT", "COMSPEC",
)  # fmt: skip
"""Variables handed to every child as they are. All others (REDIS_*, KV_*, UPSTASH_*, …) are not."""

FOR_THE_WEB = (
    "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy",
    "all_proxy", "no_proxy",
)  # fmt: skip
"""Variables handed as well to who speaks HTTP."""

FOR_A_LAUNCHER = (
    *FOR_THE_WEB, "UV_CACHE_DIR", "UV_CONCURRENT_DOWNLOADS", "UV_CONFIG_FILE", "UV_CONSTRAINT",
    "UV_DEFAULT_INDEX", "UV_EXCLUDE_NEWER", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_FROZEN", "UV_HTTP_TIMEOUT",
    "UV_INDEX", "UV_INDEX_STRATEGY", "UV_INDEX_URL", "UV_INSECURE_HOST", "UV_LINK_MODE", "UV_MANAGED_PYTHON",
    "UV_NATIVE_TLS", "UV_NO_CACHE", "UV_NO_CONFIG", "UV_NO_INDEX", "UV_NO_MANAGED_PYTHON", "UV_OFFLINE", "UV_OVERRIDE",
    "UV_PRERELEASE", "UV_PYTHON", "UV_PYTHON_DOWNLOADS", "UV_PYTHON_INSTALL_DIR", "UV_PYTHON_INSTALL_MIRROR",
    "UV_PYTHON_PREFERENCE", "UV_RESOLUTION", "UV_SYSTEM_CERTS", "UV_TOOL_BIN_DIR", "UV_TOOL_DIR",
)  # fmt: skip
"""Variables handed as well to a command of the user's own, which may have to fetch the child (`uvx`). None of those
that hold nothing but credentials (UV_PUBLISH_*, UV_INDEX_*_PASSWORD)."""

INDEXES = ("UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX", "UV_INDEX_URL")
"""Those of them with addresses of package indexes, which go without the user and password in them."""


def child_command(coaia_command: Sequence[str], coaia_python: str) -> list[str]:
    """The command line of the child: the user's own, or our program under `coaia_python` or this interpreter.

    Empty where there is none: in an archive our program is no folder, and what is called the interpreter of a frozen
    program (PyInstaller, cx_Freeze, Nuitka) is that program, which would start itself again and again.
    """
    if coaia_command:
        folders = [folder for folder in os.get_exec_path() if Path(folder).is_absolute()]  # never the current one
        found = shutil.which(coaia_command[0], path=os.pathsep.join(folders))
        return [found or coaia_command[0], *coaia_command[1:]]
    frozen = getattr(sys, "frozen", False) or "__compiled__" in globals()
    if not CHILD_FOLDER.is_dir() or (frozen and not coaia_python):
        return []
    # -P: never import a module from the current folder. The program's own folder is then the first of the path.
    return [coaia_python or sys.executable, "-P", str(CHILD_FOLDER)]


def child_environment(
    environ: Mapping[str, str],
    home: Path,
    *,
    redis_url: str,
    cluster: bool,
    socket_timeout: float,
    launcher: bool = False,
) -> dict[str, str]:
    """The child's whole environment: nothing in it, or in the folders it names, can redirect where data goes.

    `launcher`: it is a command of the user's own, which is also given what it may need to fetch a program.
    """
    real_home = Path(environ.get("HOME") or "~").expanduser()
    wanted = (*INHERITED, *FOR_A_LAUNCHER) if launcher else INHERITED
    env = {name: environ[name] for name in wanted if name in environ}
    env |= {name: re.sub(r"//[^/@\s]*@", "//", env[name]) for name in INDEXES if name in env}
    return env | {
        "HOME": str(home),
        "XDG_CACHE_HOME": environ.get("XDG_CACHE_HOME") or str(real_home / ".cache"),  # where uv keeps its packages
        "XDG_DATA_HOME": environ.get("XDG_DATA_HOME") or str(real_home / ".local" / "share"),
        "PYTHONUSERBASE": site.getuserbase(),  # `pip install --user` installs below the real home
        "PYTHONIOENCODING": "utf-8",
        "COAIAPY_ENV_PATH": str(home / "env"),
        "LANGFUSE_TRACING_ENABLED": "false",
        "REDIS_URL": with_name_checked(redis_url),
        "REDIS_CLUSTER": "true" if cluster else "false",
        # A stock child that cannot use REDIS_URL (no such database, socket or user) falls back to the next best thing,
        # by itself localhost:6379. This comes before that, and nothing listens there.
        "UPSTASH_REDIS_REST_URL": "http://127.0.0.1:1",
        "FLYWHEEL_CHILD_SOCKET_TIMEOUT": f"{socket_timeout:g}",
        "FLYWHEEL_CHILD_PARENT": str(os.getpid()),
    }


def tracing_environment(
    environ: Mapping[str, str], home: Path, *, access: LangfuseAccess, socket_timeout: float, launcher: bool
) -> dict[str, str]:
    """The whole environment of a child that serves the tools for Langfuse alone, and reaches no Redis."""
    env = child_environment(
        environ, home, redis_url=NO_REDIS, cluster=False, socket_timeout=socket_timeout, launcher=launcher
    )
    web = {name: environ[name] for name in FOR_THE_WEB if name in environ}
    return (
        web
        | env
        | {
            "FLYWHEEL_CHILD_SERVES": "langfuse",
            "LANGFUSE_HOST": access.host,
            "LANGFUSE_BASE_URL": access.host,  # which coaiapy would take before the other
            "LANGFUSE_PUBLIC_KEY": access.public_key,
            "LANGFUSE_SECRET_KEY": access.secret_key,
        }
    )


class ChildFolder:
    """A private HOME and working folder for the child, below `parent` or, where that cannot be, a temporary one.

    It lies two levels down, since coaiapy looks for a `coaia.json` in `..` and `../../shared/etc` as well.
    """

    def __init__(self, parent: Path | None) -> None:
        self._temporary: weakref.finalize[..., ChildFolder] | None = None
        self._held: int | None = None
        try:
            if parent is None:
                raise FileNotFoundError
            self.path = self._make(parent)
        except OSError:
            try:
                _remove_orphans()
                folder = tempfile.mkdtemp(prefix=PREFIX)
                self._held = _hold(folder)
            except OSError:  # no room anywhere: Redis alone may still serve
                self.path = BARE_FOLDER
                return
            # At the latest when the interpreter ends, and without the warning of a TemporaryDirectory.
            self._temporary = weakref.finalize(self, _remove_own, folder, os.getpid())
            self.path = self._make(Path(folder))

    @staticmethod
    def _make(parent: Path) -> Path:
        path = parent / "child" / "home"
        for folder in (parent, path.parent, path):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            check_folder(folder)  # what others put there could redirect the child
        # An empty or a missing file makes coaiapy print a warning.
        with os.fdopen(open_again(path / "env", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w") as file:
            file.write("FLYWHEEL_PRIVATE_ENV=1\n")
        return path

    def close(self) -> None:
        """Remove a temporary folder."""
        if self._temporary:
            self._temporary()
        if self._held is not None:
            os.close(self._held)
            self._held = None


def _remove_own(folder: str, owner: int) -> None:
    """Remove a folder, unless this is a fork of the process that made it, and may be using it."""
    if os.getpid() == owner:
        shutil.rmtree(folder, ignore_errors=True)


def _hold(folder: str) -> int | None:
    """Lock a folder as long as this process lives; a file descriptor, or none where there are no such locks.

    Raises:
        OSError: it is gone, or locked by another process.

    """
    if sys.platform == "win32":
        return None
    import fcntl

    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        raise
    return held


def _remove_orphans() -> None:
    """Remove the temporary folders of processes that were killed."""
    if sys.platform == "win32":
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):
            status = folder.lstat()
            ours = status.st_uid == os.geteuid() and (folder / "child" / "home" / "env").is_file()
            if ours and time.time() - status.st_mtime > BEING_MADE_SECONDS and (held := _hold(str(folder))) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                os.close(held)
