"""The commands of those who trade: `artifact quote`, `buy`, `sell`, `positions`, `orders`, `cancel`.

Rule of this file: that of its folder. A quote that would be refused is exit code 1, so that a script can ask first.
"""

from typing import Annotated

import typer

from callmarket.bridge.api.capital.quoting import ArtifactQuote
from callmarket.bridge.api.contract.fields import SideWord
from callmarket.bridge.cli.artifacts import tables
from callmarket.bridge.cli.artifacts.served import (
    Account,
    Artifact,
    CommandId,
    Limit,
    OfArtifact,
    Until,
    Whole,
    account_of,
    life_of,
    served,
)
from callmarket.bridge.cli.output import EXIT_WRONG, AsJson, show
from callmarket.engine.ids import OrderId, PositionId
from callmarket.engine.limits import SEQ_MAX

Side = Annotated[SideWord, typer.Argument(help="long (yes): it holds. short (no): it does not.")]
Tokens = Annotated[int, typer.Argument(help="The most to pay, in whole tokens.", min=1)]
Position = Annotated[
    int, typer.Argument(help="The position's id, as `artifact positions` lists it.", min=1, max=SEQ_MAX)
]
Whose = Annotated[str, typer.Option("--account", help="Whose. Default: the only account of the key.")]
Rows = Annotated[int, typer.Option("--rows", min=1, max=1_000, help="The maximum number of rows.")]


def quote(
    artifact: Artifact,
    side: Side,
    tokens: Tokens,
    limit: Limit = "",
    until: Until = "",
    whole: Whole = False,
    account: Account = "",
    as_json: AsJson = False,
) -> None:
    """Show what buying would do now: shares, price, what they pay, what selling them would bring. Nothing is done.

    Exit code 1 if it would be refused. To quote a sale: `artifact sell --dry-run`.
    """
    life, expires_at = life_of(until, whole=whole)
    with served(account) as market:
        found = market.quote_open(
            artifact,
            account_of(market),
            side,
            tokens,
            limit_price=limit or None,
            time_in_force=life,
            expires_at=expires_at,
        )
    _show_quote(found, as_json)


def buy(
    artifact: Artifact,
    side: Side,
    tokens: Tokens,
    limit: Limit = "",
    until: Until = "",
    whole: Whole = False,
    account: Account = "",
    command_id: CommandId = "",
    as_json: AsJson = False,
) -> None:
    """Buy shares of a side, for at most `tokens`. A share pays one token if its side proves right, else nothing."""
    life, expires_at = life_of(until, whole=whole)
    with served(account) as market:
        done = market.open_position(
            artifact,
            account_of(market),
            side,
            tokens,
            limit_price=limit or None,
            time_in_force=life,
            expires_at=expires_at,
            command_id=command_id,
        )
    show(done, as_json, lambda: tables.placed(done))


def sell(
    position: Position,
    shares: Annotated[str, typer.Argument(help="How many shares. Default: all that no order has reserved.")] = "",
    limit: Limit = "",
    until: Until = "",
    whole: Whole = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would do now.")] = False,
    account: Account = "",
    command_id: CommandId = "",
    as_json: AsJson = False,
) -> None:
    """Sell shares of a position at the market, less the exit fee. What they cost does not matter.

    With --dry-run, exit code 1 if it would be refused.
    """
    life, expires_at = life_of(until, whole=whole)
    position_id, amount, price = PositionId(position), shares or None, limit or None
    with served(account) as market:
        if dry_run:
            _show_quote(
                market.quote_close(position_id, amount, limit_price=price, time_in_force=life, expires_at=expires_at),
                as_json,
            )
            return
        done = market.close_position(
            position_id, amount, limit_price=price, time_in_force=life, expires_at=expires_at, command_id=command_id
        )
    show(done, as_json, lambda: tables.placed(done))


def positions(artifact: OfArtifact = "", account: Whose = "", rows: Rows = 50, as_json: AsJson = False) -> None:
    """List the open positions of an account, with what selling each would bring now."""
    with served() as market:
        whose = account or account_of(market)
        page = market.positions(whose, artifact or None, limit=min(rows, 100))
        items = page.items
        while page.next is not None and len(items) < rows:
            page = market.positions(whose, artifact or None, limit=min(rows - len(items), 100), after=page.next)
            items += page.items
    show({"account_id": whose, "positions": items}, as_json, lambda: tables.positions(whose, items))


def orders(artifact: OfArtifact = "", account: Whose = "", rows: Rows = 50, as_json: AsJson = False) -> None:
    """List the resting orders of an account."""
    with served() as market:
        whose = account or account_of(market)
        page = market.orders(whose, artifact or None, limit=rows)
    show({"account_id": whose, "orders": page.items}, as_json, lambda: tables.orders(whose, page.items))


def cancel(
    order: Annotated[int, typer.Argument(help="The order's id, as `artifact orders` lists it.", min=1, max=SEQ_MAX)],
    account: Account = "",
    command_id: CommandId = "",
    as_json: AsJson = False,
) -> None:
    """Cancel a resting order. All that is left of it is free again; it costs nothing."""
    with served(account) as market:
        done = market.cancel_order(OrderId(order), command_id=command_id)
    show(done, as_json, lambda: tables.cancelled(done))


def _show_quote(found: ArtifactQuote, as_json: bool) -> None:
    show(found, as_json, lambda: tables.quote(found))
    if found.refusal is not None:
        raise typer.Exit(EXIT_WRONG)
