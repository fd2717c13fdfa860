"""The command that sets when markets are called: `cycle`.

Rule of this file: it reads and writes the setting, and calls no market itself. The leader reads the setting within a
second.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

import typer
from msgspec import Struct
from rich.console import RenderableType

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.cli.database import connected
from callmarket.bridge.cli.output import EXIT_WRONG, AsJson, Url, fail, show
from callmarket.bridge.cli.tables import table
from callmarket.bridge.scheduler.settings import cycle_of, period_of, set_cycle
from callmarket.persistence.journal.lease import this_process
from callmarket.persistence.stores.market_cycles import Cycle, CycleRow, Mode, read_cycles


class CycleView(Struct, frozen=True):
    """When a market is called. `period_s` is None unless `mode` is `every`."""

    market_id: str
    mode: Mode
    period_s: float | None
    updated_at: datetime | None
    updated_by: str


def cycle(
    market: Annotated[str, typer.Argument(help="The market. Default: show all markets.")] = "",
    every: Annotated[str, typer.Option("--every", help="Call it at each multiple of this: 500ms, 60s, 5m, 1h.")] = "",
    on_offer: Annotated[bool, typer.Option("--on-offer", help="Call it at once when a slot is offered.")] = False,
    asked: Annotated[bool, typer.Option("--asked", help="Call it only on request.")] = False,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Show or set when the process that serves a market calls it. A new setting takes effect within a second."""
    wanted = _wanted(every, on_offer=on_offer, asked=asked)
    if wanted is not None and not market:
        raise Invalid("market", "", "the market to set this for")
    with connected(url, writes=wanted is not None) as (connection, shard_id):
        rows: Sequence[CycleRow] = [row for row in read_cycles(connection, shard_id) if market in ("", row.market_id)]
        if market and not rows:
            fail(f"no market {market!r}", EXIT_WRONG)
        if wanted is not None:
            rows = [set_cycle(connection, shard_id, market, wanted, this_process())]
    views = [_view(row) for row in rows]
    show({"cycles": views}, as_json, lambda: _table(views))


def _wanted(every: str, *, on_offer: bool, asked: bool) -> Cycle | None:
    """The setting that the options ask for; None if they ask for none. Raises `Invalid` if they ask for several."""
    if bool(every) + on_offer + asked > 1:
        raise Invalid("cycle", "several", "one of --every, --on-offer and --asked")
    if every:
        return cycle_of("every", period_of(every))
    if on_offer:
        return cycle_of("on_offer")
    return cycle_of("asked") if asked else None


def _view(row: CycleRow) -> CycleView:
    period_s = None if row.period_us is None else row.period_us / 1_000_000
    return CycleView(row.market_id, row.mode, period_s, row.updated_at, row.updated_by)


def _table(views: Sequence[CycleView]) -> RenderableType:
    shown = table("When markets are called", "market", "called", "since", "set by")
    for view in views:
        since = "-" if view.updated_at is None else view.updated_at.strftime("%Y-%m-%d %H:%M:%S")
        shown.add_row(view.market_id, _words(view), since, view.updated_by or "-")
    return shown


def _words(view: CycleView) -> str:
    if view.period_s is not None:
        return f"every {timedelta(seconds=view.period_s)} ({view.period_s:g} s)"
    return "when a slot is offered" if view.mode == "on_offer" else "when asked"
