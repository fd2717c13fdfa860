"""The command about time: `clock`.

Rule of this file: it shows the clocks, and records the time that an operator confirms. The leader and the standbys
read that record and compare it with the clocks of their own machines. Nothing in the journal changes.
"""

from datetime import datetime
from typing import Annotated, Final

import psycopg
import typer
from msgspec import Struct
from rich.console import Group, RenderableType
from rich.text import Text

from callmarket.bridge.api.clock import system_clock
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.units import at_us
from callmarket.bridge.cli.database import connected
from callmarket.bridge.cli.output import EXIT_WRONG, AsJson, Url, config_of, show
from callmarket.bridge.timekeeping import messages
from callmarket.bridge.timekeeping.opening import lead_of
from callmarket.persistence.journal.lease import this_process
from callmarket.persistence.leadership import market_time, register

# The operator reads a clock and types the time, so it may be this far from the machine's clock.
TYPED_US_MAX: Final = 90_000_000
REASON_CHARACTERS_MAX: Final = 500


class ClockView(Struct, frozen=True):
    """The clocks at one moment, and the market's time. Times are to the second.

    `database_ahead_s`: how far the database's clock is ahead of this machine's; negative if it is behind.
    `market_leads_by_s`: the lead of the market's time that an operator has accepted.
    `market_ahead_s`: how far the last row is ahead of this machine's clock plus that lead.
    """

    shard_id: int
    machine_at: str
    database_ahead_s: float
    last_row_at: str
    market_ahead_s: float
    market_leads_by_s: float
    leader_fault: str
    standby_faults: dict[str, str]
    accepted: bool

    @property
    def wrong(self) -> bool:
        """Whether the clock of the leader keeps it from taking commands, or that of a standby keeps it from leading."""
        return bool(self.leader_fault or self.standby_faults)


def clock(
    accept: Annotated[
        str, typer.Option("--accept", help="Confirm that this is the time, with its zone: 2026-11-30T12:00:00Z.")
    ] = "",
    reason: Annotated[str, typer.Option("--reason", help="Why it is accepted; recorded for later readers.")] = "",
    database_is_wrong: Annotated[
        bool, typer.Option("--database-is-wrong", help="Accept it although the database's clock shows another time.")
    ] = False,
    url: Url = "",
    as_json: AsJson = False,
) -> None:
    """Show the clocks and what is wrong with them; or confirm the time where the clocks do not agree.

    If the market's time is in the future, it continues from there once the time is accepted. Exit code 1 if the clock
    of the leader keeps it from taking commands, or that of a standby keeps it from leading.
    """
    config = config_of(url)
    if not accept and (reason or database_is_wrong):
        raise Invalid("accept", "", "the time that it is")
    bound_us = int(config.clock_leap_s_max * 1_000_000)
    with connected(url, writes=bool(accept), asks_tables=False) as (connection, shard_id):
        if accept:
            _accept(connection, shard_id, accept, reason, bound_us, database_is_wrong=database_is_wrong)
        found = _look(connection, shard_id, accepted=bool(accept))
    show(found, as_json, lambda: _shown(found))
    if found.wrong and not accept:
        raise typer.Exit(EXIT_WRONG)


def _accept(
    connection: psycopg.Connection, shard_id: int, typed: str, reason: str, bound_us: int, *, database_is_wrong: bool
) -> None:
    """Record that the time was accepted. Raises `Invalid` and records nothing unless it is this machine's time."""
    try:
        said_us = at_us("accept", datetime.fromisoformat(typed))
    except ValueError:
        raise Invalid("accept", typed, "a time with its zone, as 2026-11-30T12:00:00Z") from None
    if not 0 < len(reason) <= REASON_CHARACTERS_MAX or not reason.isprintable():
        raise Invalid("reason", reason, f"1 to {REASON_CHARACTERS_MAX} characters: why it is accepted")
    view = market_time.look(connection, shard_id)
    now_us = system_clock()
    if abs(said_us - now_us) > TYPED_US_MAX:
        raise Invalid(
            "accept",
            typed,
            f"the time of this machine's clock ({messages.shown(now_us)}): correct the clock, or give its time",
        )
    if abs(view.database_us - now_us) > bound_us and not database_is_wrong:
        raise Invalid(
            "accept",
            typed,
            f"a time that is also the database's ({messages.shown(view.database_us)}), or --database-is-wrong",
        )
    ahead_us = view.last_us - now_us
    lead_us = ahead_us if ahead_us > bound_us else 0
    market_time.say(connection, shard_id, time_us=now_us, lead_us=lead_us, by=this_process(), reason=reason)


def _look(connection: psycopg.Connection, shard_id: int, *, accepted: bool) -> ClockView:
    view = market_time.look(connection, shard_id)
    now_us = system_clock()
    lead_us = lead_of(view.word)
    leader = register.look(connection, shard_id)
    return ClockView(
        shard_id=shard_id,
        machine_at=messages.shown(now_us),
        database_ahead_s=round((view.database_us - now_us) / 1_000_000, 1),
        last_row_at=messages.shown(view.last_us) if view.last_us else "",
        market_ahead_s=max(0.0, round((view.last_us - lead_us - now_us) / 1_000_000, 1)),
        market_leads_by_s=round(lead_us / 1_000_000, 1),
        leader_fault="" if leader is None or leader.sign != "alive" else leader.clock_fault,
        standby_faults={
            one.address: one.clock_fault for one in register.standbys(connection, shard_id) if one.clock_fault
        },
        accepted=accepted,
    )


def _shown(row: ClockView) -> RenderableType:
    lines = [
        f"shard {row.shard_id}: this machine's clock says {row.machine_at}",
        f"  the database's clock differs by {row.database_ahead_s + 0.0:+.1f} s",
        f"  the last row was stamped at {row.last_row_at}" if row.last_row_at else "  there is no row yet",
    ]
    if row.market_leads_by_s:
        lines.append(f"  the market's time leads by {messages.long(int(row.market_leads_by_s * 1_000_000))}")
    if row.market_ahead_s:
        lines.append(f"  the market's time is ahead by {messages.long(int(row.market_ahead_s * 1_000_000))}")
    if row.leader_fault:
        lines.append(f"  the leader takes no commands: {row.leader_fault}")
    lines += [f"  standby {address} would not lead: {fault}" for address, fault in row.standby_faults.items()]
    if row.accepted:
        lines.append(
            "  accepted: the leader and the standbys read it within a second, and go on if their clocks agree with it"
        )
    return Group(*(Text(line) for line in lines))
