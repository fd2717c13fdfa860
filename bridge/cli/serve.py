"""The command that serves the market over HTTP: `serve`.

Rule of this file: it says where the service is and how to begin; what serves is wired in `bridge.serve`.
"""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from callmarket.bridge.cli.output import AsJson, Url, config_of, console, print_json
from callmarket.bridge.config import with_changes

if TYPE_CHECKING:
    from callmarket.bridge.serve import Ready


def serve(
    host: Annotated[str, typer.Option(help="Where to listen. Default: CALLMARKET_HOST, else this machine.")] = "",
    port: Annotated[int | None, typer.Option(help="Default: CALLMARKET_PORT, else 8321. 0: a free one.")] = None,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Serve the market over HTTP, until SIGTERM or Ctrl-C. A second one on the same database stands by."""
    changes: dict[str, object] = {"host": host} if host else {}
    if port is not None:
        changes["port"] = port
    config = with_changes(config_of(url), changes)
    # Only here: the framework takes half a second that no other command should pay.
    from callmarket.bridge.serve import serve as serve_until_told  # noqa: PLC0415
    from callmarket.bridge.telemetry.logs import configure as configure_logs  # noqa: PLC0415

    # Before anything is opened, so that what is logged on the way is told as all the rest.
    configure_logs(config)

    serve_until_told(config, print_json if as_json else _welcome)


def _welcome(ready: "Ready") -> None:
    """What a person needs next."""
    lines = [f"What it can do: {ready.url}/api/docs", f"What goes on in it: {ready.url}/resources"]
    if ready.admin_key_path:
        key = f'"$(cat {shlex.quote(ready.admin_key_path)})"'
        lines += [
            f"The admin key is in {ready.admin_key_path}",
            "For a client in another terminal:",
            f"export CALLMARKET_URL={ready.url} CALLMARKET_KEY={key}",
        ]
    else:
        lines.append("Its admin key is kept elsewhere; `callmarket keys create --admin` makes another.")
    told = console()
    told.print(f"callmarket serves on {ready.url}", style="bold", soft_wrap=True)
    for line in lines:
        told.print(line, soft_wrap=True)
