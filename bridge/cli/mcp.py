"""The command that gives language models the market as tools: `mcp`.

Rule of this file: it says where the market is and how to begin. On standard output there is nothing but the protocol.
"""

import os
from typing import Annotated, Final

import typer

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.cli.output import config_of
from callmarket.bridge.config import client_from_environment

PORT: Final = 8322


def mcp(
    http: Annotated[
        bool, typer.Option("--http", help="Speak HTTP on this machine, to many; each sends a key of its own.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="With --http: the port. 0: a free one.")] = PORT,
    account: Annotated[str, typer.Option(help="Whom to act for, if the key has several accounts.")] = "",
) -> None:
    """Give a language model the market as tools (Model Context Protocol), over stdin and stdout or HTTP.

    CALLMARKET_URL says where the market is served, CALLMARKET_KEY with which API key. Over HTTP the key comes with each
    request as Authorization: Bearer, and the account, if one has to be named, as Callmarket-Account.
    """
    config = client_from_environment(os.environ)
    if http and (config.key or account):
        raise Invalid(
            "CALLMARKET_KEY" if config.key else "account", "...", "none with --http: each request brings its own"
        )
    if not http and not config.key:
        raise Invalid("CALLMARKET_KEY", "", "an API key, as `callmarket keys create` makes it")
    from callmarket.bridge.telemetry.logs import configure as configure_logs  # noqa: PLC0415

    # Before anything is opened, so that what is logged on the way is told as all the rest.
    configure_logs(config_of(""))
    # Only here: the SDK takes a second that no other command should pay.
    if http:
        from callmarket.bridge.mcp_server.http import serve as serve_http  # noqa: PLC0415

        serve_http(config.url, port, lambda url: typer.echo(f"tools on {url}"))
        return
    from callmarket.bridge.mcp_server.stdio import serve as serve_stdio  # noqa: PLC0415

    serve_stdio(config.url, config.key, account)
