"""The command `artifact` and its parts, by name.

Rule of this file: the list; what each does is in the file that it comes from.
"""

from typing import Final

import typer

from callmarket.bridge.cli.artifacts import looking, staff, trading

artifact: Final = typer.Typer(
    name="artifact",
    help="Markets for positions in artifacts, on a served market: CALLMARKET_URL, CALLMARKET_KEY.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

_COMMANDS: Final = (
    ("markets", looking.markets, "markets --status open"),
    ("book", looking.book, "book h-17"),
    ("trades", looking.trades, "trades h-17 --rows 50"),
    ("quote", trading.quote, "quote h-17 long 10 --limit 0.6"),
    ("buy", trading.buy, "buy h-17 long 10 --limit 0.6"),
    ("sell", trading.sell, "sell 3 2.5 --limit 0.7"),
    ("positions", trading.positions, "positions --json"),
    ("orders", trading.orders, "orders --artifact h-17"),
    ("cancel", trading.cancel, "cancel 5"),
    ("open", staff.open_market, "open h-17 --subsidy 70 --closes 30d"),
    ("freeze", staff.freeze, "freeze h-17 --until 48h"),
    ("unfreeze", staff.unfreeze, "unfreeze h-17"),
    ("settle", staff.settle, "settle h-17 validated --dry-run"),
    ("decay", staff.decay, "decay h-17"),
)
for _name, _command, _example in _COMMANDS:
    artifact.command(_name, epilog=f"Example: callmarket artifact {_example}")(_command)
