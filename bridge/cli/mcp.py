"""The command that gives language models the market as tools: `mcp`.

Rule of this file: it checks the settings and starts a server. Standard output has only the protocol.
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
        bool, typer.Option("--http", help="Serve many clients over HTTP on this machine; each sends its own key.")
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port, with --http. 0: any free port.")] = PORT,
    account: Annotated[str, typer.Option(help="The account to act for, if the key has several.")] = "",
) -> None:
    """Give a language model the market as tools (Model Context Protocol), over stdin and stdout or HTTP.

    CALLMARKET_URL is the URL of the served market, and CALLMARKET_KEY the API key. Over HTTP each request brings the
    key as Authorization: Bearer and, if the key has several accounts, the account as Callmarket-Account.
    """
    config = client_from_environment(os.environ)
    if http and (config.key or account):
        raise Invalid(
            "CALLMARKET_KEY" if config.key else "account", "...", "none with --http: each request brings its own"
        )
    if not http and not config.key:
        raise Invalid("CALLMARKET_KEY", "", "an API key, as `callmarket keys create` makes it")
    from callmarket.bridge.telemetry.logs import configure as configure_logs  # noqa: PLC0415

    # Before anything is opened, so that all log lines have the same form.
    configure_logs(config_of(""))
    # Imported here: the SDK takes a second to import, which no other command should pay.
    if http:
        from callmarket.bridge.mcp_server.http import serve as serve_http  # noqa: PLC0415

        serve_http(config.url, port, lambda url: typer.echo(f"tools on {url}"))
        return
    from callmarket.bridge.mcp_server.stdio import serve as serve_stdio  # noqa: PLC0415

    serve_stdio(config.url, config.key, account)
