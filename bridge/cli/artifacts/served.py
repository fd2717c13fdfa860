"""What the commands about artifact markets share: the served market, its account, and how people write times.

Rule of this file: where the market is and the key come from the environment, so that no key stands in a command line.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer

from callmarket.bridge.api.clock import system_clock
from callmarket.bridge.api.errors import Invalid, UnknownOutcome
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.cli.keys import duration_us
from callmarket.bridge.config import client_from_environment
from callmarket.engine.capital.commands import OrderTimeInForce

if TYPE_CHECKING:
    # It takes a tenth of a second to import, which no other command should pay.
    from callmarket.bridge.client import Client

# Somebody waits for it.
ANSWER_S_MAX: Final = 20.0

Account = Annotated[str, typer.Option("--account", help="The account to act for, if the key has several.")]
CommandId = Annotated[
    str,
    typer.Option(
        "--command-id", help="A name for this command: sent again with it and the same arguments, it is done once."
    ),
]
Artifact = Annotated[str, typer.Argument(help="The artifact.")]
OfArtifact = Annotated[str, typer.Option("--artifact", help="Only in this artifact.")]
Limit = Annotated[
    str, typer.Option("--limit", help="The worst price of a share, 0.001 to 0.999. Default: any, so quote first.")
]
Until = Annotated[
    str,
    typer.Option(
        "--until", help="Let what does not trade at once rest at the limit until then: 12h, 30d, or an ISO time."
    ),
]
Whole = Annotated[bool, typer.Option("--all-or-nothing", help="Refuse the order unless all of it trades at once.")]


@contextmanager
def served(account: str = "") -> Iterator["Client"]:
    """The market at CALLMARKET_URL, with the key CALLMARKET_KEY. Raises `Invalid` if there is no key.

    An outcome that stays unknown becomes an error that says under which id to send the command again.
    """
    from callmarket.bridge.client import Client  # noqa: PLC0415
    from callmarket.bridge.client.doubt import InDoubt  # noqa: PLC0415

    config = client_from_environment(os.environ)
    if not config.key:
        raise Invalid("CALLMARKET_KEY", "", "an API key, as `callmarket keys create` makes it")
    with Client(config.url, config.key, account=account, timeout_s=ANSWER_S_MAX) as market:
        try:
            yield market
        except InDoubt as error:
            again = f"send the same command again with --command-id {error.command_id}, and it is done once"
            raise UnknownOutcome(f"it may have been done: {again}", error.seqs) from error


def account_of(market: "Client") -> str:
    """The account that acts: the one that was named, else the only one of the key. Raises `Invalid`, `Forbidden`."""
    from callmarket.bridge.client.own_account import WHOAMI, only_account  # noqa: PLC0415

    return market.account or only_account(market.send(WHOAMI), "with --account")


def time_of(field: str, text: str) -> datetime | None:
    """A time as people write it: `12h` or `30d` from now, or ISO 8601 with a zone; None for none. Raises `Invalid`."""
    if not text:
        return None
    if text[-1] in "mhd":
        return datetime_of(system_clock() + duration_us(field, text))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.utcoffset() is None:
        raise Invalid(field, text, "90m, 12h, 30d, or a time with its zone, as 2026-11-30T12:00:00Z")
    return at


def life_of(until: str, *, whole: bool) -> tuple[OrderTimeInForce, datetime | None]:
    """How an order lives, and its deadline. Raises `Invalid` where both are asked for."""
    if whole and until:
        raise Invalid("until", until, "either --until or --all-or-nothing")
    if whole:
        return "fok", None
    return ("gtd" if until else "ioc"), time_of("until", until)
