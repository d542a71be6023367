"""`tokens`: makes, lists and revokes the tokens of clients over HTTP."""

from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path

from agentic_flywheel.cli.terminal import complain, finish, say, say_json, say_table, tell
from agentic_flywheel.errors import SettingError
from agentic_flywheel.server.http_options import default_tokens
from agentic_flywheel.server.token_file import NameTaken, Token, TokenFile


def tokens(options: Namespace) -> int:
    """Run one of the commands; the exit code."""
    verbs = {"add": _add, "list": _list, "revoke": _revoke}
    return finish(lambda: verbs[options.verb or "list"](_file(options), options))


def _file(options: Namespace) -> TokenFile:
    given = getattr(options, "tokens_file", None)
    path = Path(given).expanduser() if given else default_tokens()
    if path is None:
        raise SettingError("HOME is not set; name the file with --tokens-file.")
    return TokenFile(path)


def _add(file: TokenFile, options: Namespace) -> int:
    try:
        token = file.add(options.name, options.namespace or options.name, options.days)
    except NameTaken as exc:
        complain(str(exc))
        return 1
    tell("This is the only time it is shown. A client sends it as header: Authorization: Bearer TOKEN")
    say(token)
    return 0


def _list(file: TokenFile, options: Namespace) -> int:
    found = file.tokens()
    if getattr(options, "json", False):
        return say_json([_about(each) for each in found])
    if not found:
        say("There are no tokens.")
        return 0
    rows = [("NAME", "NAMESPACE", "MADE", "EXPIRES")]
    rows += [(each.name, each.namespace, _day(each.created), _day(each.expires)) for each in found]
    say_table(rows)
    return 0


def _revoke(file: TokenFile, options: Namespace) -> int:
    if file.revoke(options.name):
        say(f"The token {options.name} is revoked; servers refuse it from now on. What it saved is kept.")
        return 0
    complain(f"there is no token {options.name!r}.")
    return 1


def _about(token: Token) -> dict[str, object]:
    return {
        "name": token.name,
        "namespace": token.namespace,
        "created_at": _time(token.created),
        "expires_at": _time(token.expires),
    }


def _time(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _day(seconds: int | None) -> str:
    return "never" if seconds is None else (_time(seconds) or "")[:10]
