"""The market as it was after an earlier row of the journal.

Rule of this file: the past is reached by recovery and by nothing else: the newest good snapshot at or before that row,
and the rows after it, executed again. Movements of tokens and rounds are not part of a state; their rows never change
once they are written, so those of that time are those up to its seq, and they must end where the state of that time
says that they do.
"""

from collections.abc import Sequence
from typing import Final

import psycopg

from callmarket.engine.state import State
from callmarket.persistence import queries
from callmarket.persistence.errors import Diverged, Unavailable
from callmarket.persistence.journal.postgres import wait_for_tables
from callmarket.persistence.journal.protocol import Journal
from callmarket.persistence.queries import MovementRow, RoundRow
from callmarket.persistence.recovery import rehearse
from callmarket.persistence.snapshots.store import SnapshotStore

# Tables that are further behind are an error.
_WAIT_S_MAX: Final = 5.0


def state_at(journal: Journal, snapshots: SnapshotStore | None, seq: int) -> State:
    """The state after row `seq`, which the journal must have. Claims nothing; costs and raises as `rehearse`."""
    return rehearse(journal, snapshots, seq)[0].engine.state


def statement_at(
    connection: psycopg.Connection, shard_id: int, state: State, account_id: str, rows_max: int
) -> list[MovementRow]:
    """The latest movements of an account as of a state, newest first, proved back from its balance.

    Raises `Diverged` if one that is shown is missing or wrong, `Unavailable` where the tables are not there yet.
    """
    _insist_on_tables(connection, shard_id, state)
    rows = queries.statement(connection, shard_id, account_id, rows_max, state.seq)
    balance = state.ledger.accounts[account_id].balance_tokens
    for row in rows:
        paid = row.from_account_id == account_id
        if (row.from_balance_tokens if paid else row.to_balance_tokens) != balance:
            raise _not_so("token_ledger", f"the movements of {account_id} do not lead to its balance", state)
        balance += row.amount_tokens if paid else -row.amount_tokens
    if len(rows) < rows_max and balance != 0:
        raise _not_so("token_ledger", f"the first movements of {account_id} are missing", state)
    return rows


def rounds_at(
    connection: psycopg.Connection, shard_id: int, state: State, market_id: str | None, rows_max: int
) -> list[RoundRow]:
    """The latest calls as of a state, newest first, of all markets where none is named.

    Raises `Diverged` if a round that should be shown is missing, or one is shown that had not been called, and
    `Unavailable` where the tables are not there yet.
    """
    _insist_on_tables(connection, shard_id, state)
    rows = queries.rounds(connection, shard_id, market_id, rows_max, state.seq)
    called = {
        market.rules.market_id: market.rounds_called
        for market in state.markets.values()
        if market_id in (None, market.rules.market_id)
    }
    if len(rows) != min(rows_max, sum(called.values())) or not _descend(rows, called):
        raise _not_so("compute_auction_rounds", "its rounds are not those that were called", state)
    return rows


def _insist_on_tables(connection: psycopg.Connection, shard_id: int, state: State) -> None:
    """Raise `Unavailable` where the tables do not have the last row of a state."""
    mark = wait_for_tables(connection, shard_id, state.seq, _WAIT_S_MAX)
    if mark < state.seq:
        raise Unavailable(
            f"The SQL tables stand at row {mark} and do not have row {state.seq} yet: the market's leader brings "
            "them along."
        )


def _descend(rows: Sequence[RoundRow], called: dict[str, int]) -> bool:
    """Whether the rounds of each market go down from its last one without a gap."""
    expected = dict(called)
    for row in rows:
        if expected.get(row.market_id) != row.round_no:
            return False
        expected[row.market_id] -= 1
    return True


def _not_so(table: str, what: str, state: State) -> Diverged:
    return Diverged(
        f"{table}: as of row {state.seq}, {what}. Run verify, then rebuild the tables from the journal.", state.seq
    )
