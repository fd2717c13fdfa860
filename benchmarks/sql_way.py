"""The auction as five SQL statements would have it: what the market is compared with.

Rule of this file: the strong form: one statement a bid (hold and insert in one CTE), one statement a call (the best
k + 1 by the index, locked, marked, premiums given back, awards recorded), one a cancelled bid; prepared, autocommitted,
one client. It keeps no journal and no ledger rows and knows no retries.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import psycopg

SCHEMA: Final = """
CREATE TABLE token_accounts (account_id text PRIMARY KEY, balance bigint NOT NULL, held bigint NOT NULL DEFAULT 0);
CREATE TABLE bids (id bigserial PRIMARY KEY, bidder_id text NOT NULL, task_id text NOT NULL,
  max_price_tokens bigint NOT NULL, expected_value_usd numeric NOT NULL, ttl_at timestamptz,
  status text NOT NULL DEFAULT 'open');
CREATE INDEX bids_status_price ON bids (status, max_price_tokens DESC, id);
CREATE TABLE clears (id bigserial PRIMARY KEY, slot_id text NOT NULL, clearing_price_tokens bigint NOT NULL,
  winning_task_id text NOT NULL, runner_up_task_id text, bid_id bigint NOT NULL, slot_started_at timestamptz NOT NULL,
  slot_finished_at timestamptz, actual_impact numeric);
INSERT INTO token_accounts SELECT 'agent-' || n, 1000000000000 FROM generate_series(0, 999) AS n;
"""
PLACE: Final = """
WITH paid AS (UPDATE token_accounts SET held = held + %(price)s
    WHERE account_id = %(bidder)s AND balance - held >= %(price)s RETURNING 1)
INSERT INTO bids (bidder_id, task_id, max_price_tokens, expected_value_usd, ttl_at)
SELECT %(bidder)s, %(task)s, %(price)s, 0.001, now() + interval '1 hour' FROM paid RETURNING id
"""
CLEAR: Final = """
WITH best AS (SELECT id, bidder_id, task_id, max_price_tokens,
    row_number() OVER (ORDER BY max_price_tokens DESC, id) AS n
    FROM (SELECT id, bidder_id, task_id, max_price_tokens FROM bids WHERE status = 'open' AND ttl_at > now()
        ORDER BY max_price_tokens DESC, id LIMIT %(k)s + 1 FOR UPDATE) AS locked),
price AS (SELECT coalesce(max(max_price_tokens) FILTER (WHERE n = %(k)s + 1), 0) AS tokens,
    max(task_id) FILTER (WHERE n = %(k)s + 1) AS runner FROM best),
won AS (SELECT best.* FROM best WHERE n <= %(k)s),
marked AS (UPDATE bids SET status = 'won' FROM won WHERE bids.id = won.id RETURNING bids.id),
freed AS (UPDATE token_accounts AS a SET held = held - g.premium
    FROM (SELECT bidder_id, sum(max_price_tokens - price.tokens) AS premium FROM won, price GROUP BY bidder_id) AS g
    WHERE a.account_id = g.bidder_id RETURNING 1)
INSERT INTO clears (slot_id, clearing_price_tokens, winning_task_id, runner_up_task_id, bid_id, slot_started_at)
SELECT 'slot-' || n, price.tokens, task_id, price.runner, id, now() FROM won, price ORDER BY n
RETURNING bid_id, clearing_price_tokens
"""
CANCEL: Final = """
WITH ended AS (UPDATE bids SET status = 'cancelled' WHERE id = %(id)s AND status = 'open'
    RETURNING bidder_id, max_price_tokens)
UPDATE token_accounts SET held = held - max_price_tokens FROM ended WHERE account_id = bidder_id RETURNING 1
"""


class SqlBid(NamedTuple):
    """What a bid says."""

    bidder_id: str
    task_id: str
    price_tokens: int

    @property
    def parameters(self) -> dict[str, object]:
        """As the statement has them."""
        return {"bidder": self.bidder_id, "task": self.task_id, "price": self.price_tokens}


class SqlWay:
    """Its tables and statements, and one client. Bids get the ids 1, 2, ... in the order in which they are given."""

    def __init__(self, url: str, bids: Iterable[SqlBid]) -> None:
        """Make the tables, and let these bids rest."""
        self.connection: Final = psycopg.connect(url, autocommit=True, prepare_threshold=0)
        self.connection.execute(SCHEMA, prepare=False)
        columns = "bidder_id, task_id, max_price_tokens, expected_value_usd, ttl_at"
        with self.connection.cursor() as cursor, cursor.copy(f"COPY bids ({columns}) FROM STDIN") as copy:
            for bid in bids:
                copy.write_row((*bid, 0, "2100-01-01"))
        self.connection.execute(
            "UPDATE token_accounts SET held = tokens FROM (SELECT bidder_id, sum(max_price_tokens) AS tokens FROM bids "
            "GROUP BY 1) AS sums WHERE account_id = bidder_id"
        )
        self.connection.execute("VACUUM ANALYZE", prepare=False)

    def place(self, bid: SqlBid) -> Callable[[], int]:
        """What places one bid, and returns its id."""
        parameters = bid.parameters
        return lambda: only(self.connection.execute(PLACE, parameters))

    def place_all(self, bids: Sequence[SqlBid]) -> Callable[[], list[int]]:
        """What places many in one transaction, through a pipeline, and returns their ids."""
        many = [bid.parameters for bid in bids]

        def place() -> list[int]:
            with self.connection.pipeline(), self.connection.transaction():
                cursors = [self.connection.execute(PLACE, parameters) for parameters in many]
                return [only(cursor) for cursor in cursors]

        return place

    def cancel(self, bid_id: int) -> Callable[[], int]:
        """What takes back one open bid."""
        return lambda: only(self.connection.execute(CANCEL, {"id": bid_id}))

    def call(self, k: int) -> Callable[[], list[tuple[int, int]]]:
        """What calls, and returns the ids of the winners, best first, each with the price."""
        return lambda: self.connection.execute(CLEAR, {"k": k}).fetchall()


def only(cursor: psycopg.Cursor[Any]) -> int:
    """The one number that a statement answers; it has done nothing if there is none."""
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])
