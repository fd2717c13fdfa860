"""Which tokens were idle at the end of a period, account after account.

Rule of this file: a page walks the accounts by name and costs, for each, what it was credited with in the period and
since then, and no more. What was idle follows from rows that never change, so a later question finds the same.
"""

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from callmarket.engine.commands import ISSUANCE, TREASURY
from callmarket.engine.reasons import REWARD, SALES
from callmarket.persistence.database.row_factories import row_of

if TYPE_CHECKING:
    import psycopg


class IdleRow(Struct, frozen=True):
    """An account, how many of its tokens were idle at the end, and how many it has available now.

    `idle_tokens` is 0 where none were, where the account is none that is asked, and where it has paid for the period.
    """

    account_id: str
    idle_tokens: int
    available_tokens: int


# The last movement before the end says what an account had. Held, bid and won tokens are its own until they are paid.
_BALANCE: Final = """SELECT coalesce((SELECT last.balance FROM (
        (SELECT id, balance_after_from AS balance FROM token_ledger
            WHERE shard_id = %(shard)s AND from_account = account.account_id AND id < %(end)s
            ORDER BY id DESC LIMIT 1)
        UNION ALL
        (SELECT id, balance_after_to AS balance FROM token_ledger
            WHERE shard_id = %(shard)s AND to_account = account.account_id AND id < %(end)s
            ORDER BY id DESC LIMIT 1)) AS last ORDER BY last.id DESC LIMIT 1), 0) AS tokens"""
# Tokens new to all wallets: minted, paid by the treasury, or a reward. What another wallet has paid is not.
_FRESH: Final = """SELECT coalesce(sum(amount), 0) AS tokens FROM token_ledger
        WHERE shard_id = %(shard)s AND to_account = account.account_id AND id >= %(first)s AND id < %(end)s
            AND (from_account = ANY(%(makers)s) OR reason = %(reward)s)"""
# All that was ever credited otherwise than for slots, up to the end.
_UNSOLD: Final = """SELECT account.total_earned - account.total_sold - coalesce(sum(amount), 0) AS tokens
        FROM token_ledger WHERE shard_id = %(shard)s AND to_account = account.account_id AND id >= %(end)s
            AND reason <> ALL(%(sales)s)"""
_EXEMPT: Final = """account.kind = 'system'
        OR EXISTS (SELECT FROM compute_auction_markets AS market WHERE market.shard_id = %(shard)s
            AND market.reward_account_id = account.account_id
            AND least(market.reward_tokens_per_impact, market.reward_cap_tokens, market.reward_day_cap_tokens) > 0)
        OR EXISTS (SELECT FROM token_ledger AS paid WHERE paid.shard_id = %(shard)s
            AND paid.from_account = account.account_id AND paid.reason = 'demurrage'
            AND paid.reference_id = %(reference)s)"""


def idle_page(
    connection: "psycopg.Connection",
    shard_id: int,
    after: str,
    limit: int,
    *,
    first_id: int,
    end_id: int,
    reference_id: str,
) -> list[IdleRow]:
    """Accounts by name, `limit` at the most, those that have nothing idle too: the last name is where to go on.

    `first_id` and `end_id` are the first movements of the period and after it (`first_movement_since`). Idle is what an
    account had at the end, less what was new in the period; of a provider at most what did not come from slots. An
    account that a market pays its rewards from is not asked, nor one that has paid the demurrage of this reference.
    """
    query = f"""SELECT account.account_id, greatest(account.balance - account.held, 0)::bigint AS available_tokens,
            CASE WHEN {_EXEMPT} THEN 0 ELSE greatest(0, least(had.tokens,
                CASE WHEN account.kind = 'provider' THEN unsold.tokens ELSE had.tokens END) - fresh.tokens)
            END::bigint AS idle_tokens
        FROM (SELECT * FROM token_accounts WHERE shard_id = %(shard)s AND account_id > %(after)s
            ORDER BY account_id LIMIT %(limit)s) AS account
        CROSS JOIN LATERAL ({_BALANCE}) AS had
        CROSS JOIN LATERAL ({_FRESH}) AS fresh
        CROSS JOIN LATERAL ({_UNSOLD}) AS unsold
        ORDER BY account.account_id"""  # noqa: S608 -- made of this file's constants
    values = {
        "shard": shard_id,
        "after": after,
        "limit": limit,
        "first": first_id,
        "end": end_id,
        "reference": reference_id,
        "makers": [ISSUANCE, TREASURY],
        "reward": REWARD,
        "sales": sorted(SALES),
    }
    with connection.cursor(row_factory=row_of(IdleRow)) as cursor:
        return cursor.execute(query.encode(), values).fetchall()
