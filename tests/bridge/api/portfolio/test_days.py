"""The days of a portfolio, against the engine's own state at each midnight of random histories.

Goal: what the tables say of any day is what there was, to the last millionth but for the average price, of which events
have whole millionths (PRT-3). Method: random histories of artifact markets that go on for weeks; at each midnight the
engine is asked what every account has, and the tables are asked afterwards.
"""

import random
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest

from callmarket.bridge.api.portfolio.days import DAY_S, Account, Moved, Traded, days_of, held_at, value
from callmarket.bridge.api.portfolio.facts import accounts_of
from callmarket.engine.capital.events import OrderMatched, PositionsPaid, SharesTraded
from callmarket.engine.capital.limits import MICRO
from callmarket.engine.commands import Command, Entry
from callmarket.engine.events import one_by_one
from callmarket.engine.state import State
from callmarket.persistence.queries import portfolios
from tests.persistence.tables.test_projections import append
from tests.support.capital_stories import ACCOUNTS, DAY_US, MINUTE_US, CapitalStory
from tests.support.sealed import batches

HOUR_US = 60 * MINUTE_US


def cash_of(state: State, account_id: str) -> int:
    """Wallet, purse, and what resting orders have of a started token."""
    orders = [order for order in state.capital.orders.values() if order.account_id == account_id]
    change = sum(order.change_microtokens for order in orders)
    wallet = state.ledger.accounts[account_id].balance_tokens
    return wallet * MICRO + state.capital.purses.get(account_id, 0) + change


def worth_of(state: State, account_id: str, now_us: int) -> tuple[int, int]:
    """The positions at the average price, and their shares."""
    worth = shares = 0
    sides: dict[tuple[str, str], int] = {}
    for position in state.capital.positions_by_account.get(account_id, {}).values():
        key = (position.artifact_id, position.side)
        sides[key] = sides.get(key, 0) + position.microshares
    for (artifact_id, side), microshares in sides.items():
        average = state.capital.markets[artifact_id].average_at(now_us).micros
        worth += value("long" if side == "long" else "short", microshares, average)
        shares += microshares
    return worth, shares


def worthless(_artifact_id: str, _day: int) -> int:
    """A price."""
    return 0


class Weeks(CapitalStory):
    """A history that leaps, and what everybody has at each midnight: cash, worth of positions, shares."""

    def __init__(self, seed: int) -> None:
        self.midnights: dict[int, dict[str, tuple[int, int, int]]] = {}
        super().__init__(seed)

    def do(self, actor: str, command: Command) -> None:
        """Some time later, after the midnights between."""
        before = self.engine.state.at_us
        self.at_us += self.rng.choice((0, 7, MINUTE_US, HOUR_US, 5 * HOUR_US, 30 * HOUR_US))
        if before:
            for day in range(before // DAY_US, self.at_us // DAY_US):
                self.midnights[day] = self.look((day + 1) * DAY_US)
        self.sealer.apply(Entry(len(self.sealer.rows) + 1, self.at_us, actor, command))

    def look(self, at_us: int) -> dict[str, tuple[int, int, int]]:
        state = self.engine.state
        return {
            name: (cash_of(state, name), *worth_of(state, name, at_us))
            for name in ACCOUNTS
            if name in state.ledger.accounts
        }


@pytest.fixture
def weeks(seed: int) -> Weeks:
    """A history of two months or so."""
    story = Weeks(seed)
    story.go_on(350)
    return story


@pytest.fixture
def connection(weeks: Weeks, database_url: str, seed: int) -> Iterator[psycopg.Connection]:
    """The tables of it."""
    append(database_url, batches(weeks.sealer.rows, seed, (1, 40, 200)))
    with psycopg.connect(database_url, autocommit=True) as connected:
        # Whatever the session thinks of days, they are of UTC.
        connected.execute("SET timezone = 'America/New_York'")
        yield connected


@pytest.mark.parametrize("period", [7, 1_000])
def test_each_day_is_what_the_engine_had(weeks: Weeks, connection: psycopg.Connection, period: int) -> None:
    """PRT-3: at its beginning and its end; what was given and taken is no gain; the trades of today are not in it."""
    today = weeks.engine.state.at_us // DAY_US
    found = accounts_of(connection, 0, ACCOUNTS, today, period)
    assert found, "somebody traded"
    for account_id, (first_day, account) in found.items():
        prices = portfolios.prices_at(connection, 0, sorted(held_at(account, first_day, today)))
        days = days_of(account, first_day, today, lambda artifact_id, day, of=prices: of[artifact_id, day])
        assert [day.day for day in days] == list(range(first_day, today))
        for day in days:
            for end_day, told in ((day.day - 1, day.start_microtokens), (day.day, day.end_microtokens)):
                if end_day not in weeks.midnights or account_id not in weeks.midnights[end_day]:
                    continue
                cash, worth, shares = weeks.midnights[end_day][account_id]
                # Two millionths of the price at the most, and one for rounding each side.
                assert abs(told - cash - worth) <= 2 * shares // MICRO + 2 * 6, (account_id, end_day)
            earned = day.end_microtokens - day.start_microtokens - (day.in_tokens - day.out_tokens) * MICRO
            assert day.earned_microtokens == earned


def test_what_was_earned_is_what_was_realised(weeks: Weeks, connection: psycopg.Connection) -> None:
    """PRT-1, PRT-3: with all that is open at its cost, the sum of all days is what positions have realised."""
    for account_id in ACCOUNTS:
        (flow,) = connection.execute(
            "SELECT coalesce(sum(CASE effect WHEN 'open' THEN -tokens_micros ELSE tokens_micros - fee_micros END), 0) "
            "FROM market_fills WHERE account_id = %s", (account_id,)
        ).fetchone() or (0,)  # fmt: skip
        (paid, cost, realised) = connection.execute(
            "SELECT coalesce(sum(settlement_micros), 0), coalesce(sum(cost_micros) FILTER (WHERE status = 'open'), 0), "
            "coalesce(sum(realised_micros), 0) FROM artifact_positions WHERE account_id = %s",
            (account_id,),
        ).fetchone() or (0, 0, 0)
        assert flow + paid + cost == realised


def test_what_was_realised_up_to_a_row_is_what_its_events_say(
    weeks: Weeks, connection: psycopg.Connection, seed: int
) -> None:
    """PRT-1: so that a portfolio is of one moment, though the tables go on."""
    rows = weeks.sealer.rows
    rng = random.Random(seed)
    for seq in [len(rows), 0, *(rng.randrange(len(rows)) for _ in range(10))]:
        expected = dict.fromkeys(ACCOUNTS, 0)
        for row in rows[:seq]:
            for event in one_by_one(row.events):
                if isinstance(event, SharesTraded | OrderMatched):
                    expected[event.account_id] += event.realised_microtokens
                elif isinstance(event, PositionsPaid):
                    for account_id, micros in zip(event.account_ids, event.realised_microtokens, strict=True):
                        expected[account_id] += micros
        for account_id in ACCOUNTS:
            found = portfolios.realised(connection, 0, account_id, seq)
            assert found.realised_micros == expected[account_id], (account_id, seq)


def test_a_deposit_is_no_gain_and_its_loss_is_no_more_than_all() -> None:
    """PRT-3: tokens that came on the day are at risk on it; 0 at the start gives no return."""
    holding = ("x", "long")
    # A token at the start; 999 came, all went into 1,000 shares, which are worth nothing in the evening.
    account = Account(
        0, {holding: 1_000 * MICRO}, [Traded(10, holding, 1_000 * MICRO, -1_000 * MICRO)], [Moved(10, 999, 0)]
    )
    (day,) = days_of(account, 10, 11, worthless)
    assert (day.start_microtokens, day.in_tokens, day.earned_microtokens) == (MICRO, 999, -1_000 * MICRO)
    assert day.return_ppm == -MICRO
    # Nothing at the start.
    account = Account(500 * MICRO, {}, [], [Moved(10, 600, 100)])
    first, second = days_of(account, 10, 12, worthless)
    assert (first.start_microtokens, first.earned_microtokens, first.return_ppm) == (0, 0, None)
    assert (second.start_microtokens, second.earned_microtokens, second.return_ppm) == (500 * MICRO, 0, 0)


def test_rows_of_a_day_that_the_clock_has_not_seen_yet_are_taken_back() -> None:
    """PRT-3: the market's time may be a moment ahead of that of who asks."""
    account = Account(7 * MICRO, {}, [], [Moved(11, 5, 0)])
    (day,) = days_of(account, 10, 11, worthless)
    assert (day.start_microtokens, day.end_microtokens) == (2 * MICRO, 2 * MICRO)


def test_days_are_of_utc() -> None:
    assert datetime(1970, 1, 2, tzinfo=UTC).timestamp() == DAY_S
