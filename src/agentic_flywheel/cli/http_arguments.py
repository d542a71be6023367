"""Defines the commands for serving over HTTP: `serve` and `tokens`."""

import argparse
from typing import cast

from agentic_flywheel.cli.parser import Parser, number

MAX_DAYS = 36_500
MAX_RATE = 10**6

HTTP_ONLY = (
    "host", "port", "allowed_host", "allowed_origin", "tls_cert", "tls_key", "tokens_file", "issuer", "audience",
    "namespace_claim", "jwks_url", "rate",
)  # fmt: skip
"""What of `serve` is about HTTP alone."""


def add_http(top: Parser) -> None:
    """Add `serve` and `tokens`."""
    serve = top.command(
        "serve",
        "serve over standard input/output, or with --http over Streamable HTTP",
        "--http --port 8765",
        "0 ended by itself, 128 and its number by a signal",
    )
    serve.add_argument("--http", action="store_true", help="over Streamable HTTP, at /mcp")
    serve.add_argument("--host", metavar="HOST", help="where to listen (default: 127.0.0.1)")
    serve.add_argument("--port", type=number(0, 65_535), metavar="N", help="default: 8765; 0: a free one")
    serve.add_argument(
        "--allowed-host", action="append", default=[], metavar="NAME", help="a name under which clients reach it"
    )
    serve.add_argument(
        "--allowed-origin", action="append", default=[], metavar="ORIGIN", help="web pages that may ask, as https://…"
    )
    serve.add_argument("--tls-cert", metavar="FILE", help="certificate chain, PEM")
    serve.add_argument("--tls-key", metavar="FILE", help="its key, PEM")
    _add_file(serve)
    serve.add_argument("--issuer", default="", metavar="URL", help="accept JWTs of this issuer, too")
    serve.add_argument("--audience", default="", metavar="NAME", help="for whom its JWTs must be")
    serve.add_argument("--namespace-claim", metavar="CLAIM", help="what of a JWT names the namespace (default: sub)")
    serve.add_argument("--jwks-url", default="", metavar="URL", help="its keys (default: as its metadata says)")
    limit = number(0, MAX_RATE)
    serve.add_argument("--rate", type=limit, metavar="N", help="requests a second of one token (default: 1000; 0: any)")
    _add_tokens(top.command("tokens", "who may use the server over HTTP, and which namespace is whose"))


def refuse_without_http(options: argparse.Namespace) -> None:
    """End the program with 2 where an option of HTTP was given without --http: it would wait at a pipe, unheard."""
    parser = cast("Parser", options.parser)
    if given := [name for name in HTTP_ONLY if getattr(options, name) != parser.get_default(name)]:
        parser.error(f"--{given[0].replace('_', '-')} needs --http")


def _add_tokens(parser: Parser) -> None:
    parser.commands("verb")
    parser.description = "List the tokens of clients over HTTP; with a VERB, add or revoke one."
    add = parser.command("add", "make a token and print it, once", "laptop --namespace team", "0 made, 1 not")
    add.add_argument("name", metavar="NAME", help="of the token, for you")
    add.add_argument("--namespace", default="", metavar="NAME", help="whose sessions it reaches (default: its name)")
    add.add_argument("--days", type=number(1, MAX_DAYS), metavar="N", help="until it expires (default: never)")
    _add_file(add)
    listing = parser.command("list", "a table, oldest first (also without a verb)", "", "0 listed")
    listing.add_argument("--json", action="store_true", help="for programs")
    _add_file(listing)
    revoke = parser.command("revoke", "refuse a token from now on", "laptop", "0 revoked, 1 there is no such")
    revoke.add_argument("name", metavar="NAME")
    _add_file(revoke)


def _add_file(parser: Parser) -> None:
    what = "the file of tokens (default: tokens.json beside the settings file)"
    parser.add_argument("--tokens-file", metavar="FILE", help=what)
