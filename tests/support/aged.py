"""Time that passes in a market, so that what is committed counts as demand (BRG-3).

Rule of this file: a test's own clock moves, or the rows do, and then nothing else knows: for tests of what is told of
budgets by services whose clock no test can move.
"""

from typing import Final

import psycopg

from callmarket import Exchange, ManualClock

DAY_US: Final = 86_400 * 10**6
# After it a stake counts as a whole.
LONG_US: Final = 30 * DAY_US


def let_pass(market: Exchange, clock: ManualClock, passed_us: int = LONG_US) -> None:
    """Let time pass, and a row say so."""
    clock.set_us(clock() + passed_us)
    market.refund_unfilled()


def age_stakes(url: str) -> None:
    """Let all stakes have been placed three months ago. The tables must have them."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "UPDATE token_holds SET placed_at = placed_at - interval '90 days' "
            "WHERE reason = 'stake' AND status = 'open'"
        )
