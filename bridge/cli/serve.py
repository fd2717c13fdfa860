"""The command that serves the market over HTTP: `serve`.

Rule of this file: it reads the options and prints how to reach the service; `bridge.serve` wires the service.
"""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from callmarket.bridge.cli.output import AsJson, Url, config_of, console, print_json
from callmarket.bridge.config import with_changes

if TYPE_CHECKING:
    from callmarket.bridge.serve import Ready


def serve(
    host: Annotated[str, typer.Option(help="The address to listen on. Default: CALLMARKET_HOST, else loopback.")] = "",
    port: Annotated[int | None, typer.Option(help="Default: CALLMARKET_PORT, else 8321. 0: any free port.")] = None,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Serve the market over HTTP until SIGTERM or Ctrl-C. A second process on the same database is a standby."""
    changes: dict[str, object] = {"host": host} if host else {}
    if port is not None:
        changes["port"] = port
    config = with_changes(config_of(url), changes)
    # Imported here: the framework takes half a second to import, which no other command should pay.
    from callmarket.bridge.serve import serve as serve_until_told  # noqa: PLC0415
    from callmarket.bridge.telemetry.logs import configure as configure_logs  # noqa: PLC0415

    # Before anything is opened, so that all log lines have the same form.
    configure_logs(config)

    serve_until_told(config, print_json if as_json else _welcome)


def _welcome(ready: "Ready") -> None:
    """Print the URLs, and how a client connects."""
    lines = [f"API documentation: {ready.url}/api/docs", f"Live view of the market: {ready.url}/resources"]
    if ready.admin_key_path:
        key = f'"$(cat {shlex.quote(ready.admin_key_path)})"'
        lines += [
            f"The admin key is in {ready.admin_key_path}",
            "For a client in another terminal, run:",
            f"export CALLMARKET_URL={ready.url} CALLMARKET_KEY={key}",
        ]
    else:
        lines.append("No file here has an admin key that works; `callmarket keys create --admin` makes another.")
    told = console()
    told.print(f"callmarket serves on {ready.url}", style="bold", soft_wrap=True)
    for line in lines:
        told.print(line, soft_wrap=True)
