"""The days of the economy, hour by hour, against a real market.

Rule of this file: it asks the market and does what the answers say: whether somebody can pay is the market's word, not
ours. What came of the tokens is read from the ledger afterwards (`ledger.py`).
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Final

from callmarket.bridge.api.clock import ManualClock
from callmarket.bridge.api.operations.bids import PlacedBid, place_bid
from callmarket.bridge.api.units import at_us
from callmarket.bridge.fleet.earning import Context, create_account, reward_action
from callmarket.bridge.fleet.earning.collector import collect
from callmarket.bridge.fleet.earning.demurrage import Demurrage
from callmarket.bridge.market.exchange import Exchange
from callmarket.bridge.studies.economy.bidders import Bidder, TaskDraw, draw_tasks, make_bidders
from callmarket.engine.commands import TREASURY
from callmarket.engine.reject import Reject

MARKET: Final = "agents"
SLOTS: Final = 3
# What a slot costs at least: at night, when hardly anybody bids, it costs no more.
RESERVE_TOKENS: Final = 20
HOURS: Final = 24
HOUR_US: Final = 3_600_000_000
# An hour's call is at five past, so that midnight belongs to the day that ends.
CALL_US: Final = 300_000_000
DAY_US: Final = HOURS * HOUR_US
# The first midnight.
BEGINS_US: Final = at_us("begins", datetime(2026, 9, 1, tzinfo=UTC))
# Worth is told in tokens, impact in hundredths of them: so realised impact pays back what a task was worth (SET-3).
REWARD_TOKENS_PER_IMPACT: Final = 100
REWARD_CAP_TOKENS: Final = 400
# From whose tokens rewards are paid. Each midnight it is filled up to what a day of the highest rewards would take, so
# that here the caps alone bound payments.
POOL: Final = "rewards"
POOL_TOKENS: Final = HOURS * SLOTS * REWARD_CAP_TOKENS
FUND: Final = "fund:rewards"
# A review of somebody's work, which is what there is to do without a slot, is judged between these.
REVIEW_QUALITY: Final = (0.5, 1.0)


class Play:
    """One economy. `step` is called after each hour, when all that was asked is applied."""

    def __init__(self, market: Exchange, clock: ManualClock, seed: int, terms: Demurrage) -> None:
        """Open the market and everybody's account at the first midnight."""
        # Applied, not durable: a simulated hour need not wait for a disk. Each day ends with a durable row.
        self._market: Final = market.acknowledging("applied")
        self._durable: Final = market
        self._clock: Final = clock
        self._rng: Final = Random(seed)
        self._terms: Final = terms
        self.everybody: Final = make_bidders()
        # Bidders that could not pay the price of a call, until they have bought a slot again.
        self._out: Final[set[str]] = set()
        self._slots_to_offer = [f"slot-{number}" for number in range(SLOTS)]
        clock.set_us(BEGINS_US)
        self._market.open_account(POOL, "provider")
        self._market.open_market(
            MARKET,
            reserve_price_tokens=RESERVE_TOKENS,
            reward_tokens_per_impact=REWARD_TOKENS_PER_IMPACT,
            reward_cap_tokens=REWARD_CAP_TOKENS,
            reward_account_id=POOL,
            reward_day_cap_tokens=POOL_TOKENS,
        )
        self._fund("0")
        for bidder in self.everybody:
            create_account(self._market, bidder.account_id, bidder.tokens, kind=bidder.kind)

    def run(self, days: int, step: Callable[[], None]) -> None:
        """Play `days` days. Some hundredths of a second each."""
        for day in range(days):
            for hour in range(HOURS):
                self._hour(day, hour)
                self._check()
                step()
            self._midnight(day)
            self._check()

    def _hour(self, day: int, hour: int) -> None:
        began_us = BEGINS_US + day * DAY_US + hour * HOUR_US + CALL_US
        self._clock.set_us(began_us)
        for slot_id in self._slots_to_offer:
            self._market.offer_slot(MARKET, slot_id)
        asked = draw_tasks(self._rng, self.everybody, hour)
        worth = {f"{draw.bidder.account_id}-{day}.{hour}": draw.worth_tokens * draw.luck for draw in asked}
        tasks = list(zip(worth, asked, strict=True))
        short = self._bid(tasks) if tasks else []
        called = self._market.clear_round(MARKET)
        for bidder, left_tokens in short:
            if left_tokens < (called.clearing_price_tokens or 0) and bidder.account_id not in self._out:
                self._out.add(bidder.account_id)
                bidder.learn()
        self._slots_to_offer = [award.slot_id for award in called.awards]
        # What was won is done within the hour.
        self._clock.set_us(began_us + HOUR_US // 2)
        for award in called.awards:
            if award.price_tokens > RESERVE_TOKENS:
                self._out.discard(award.bidder_id)
            impact = round(worth[award.task_id] / REWARD_TOKENS_PER_IMPACT, 6)
            self._market.settle(award.slot_id, award.price_tokens, impact, award_id=award.award_id)

    def _bid(self, tasks: Sequence[tuple[str, TaskDraw]]) -> list[tuple[Bidder, int]]:
        """Everybody bids. Returns the bidders that cannot pay their bids, with the tokens they had."""
        outcomes = self._market.place_bids(
            [
                place_bid.request(MARKET, draw.bidder.account_id, task_id, draw.bidder.bid_tokens(draw.worth_tokens))
                for task_id, draw in tasks
            ]
        )
        short = []
        for (task_id, draw), outcome in zip(tasks, outcomes, strict=True):
            if isinstance(outcome, PlacedBid):
                continue
            if outcome.reason is not Reject.FUNDS_INSUFFICIENT:
                raise outcome
            short.append((draw.bidder, int(outcome.bound)))
            self._make_do(draw.bidder.account_id, task_id)
        return short

    def _make_do(self, account_id: str, task_id: str) -> None:
        """Too few tokens: do good work that needs no slot, and bid what there is; at night that may be enough."""
        quality = round(self._rng.uniform(*REVIEW_QUALITY), 3)
        reward_action(self._market, account_id, "review", Context("task", task_id, quality=quality))
        left_tokens = self._market.wallet(account_id).available_tokens
        if left_tokens:
            self._market.place_bid(MARKET, account_id, task_id, left_tokens)

    def _midnight(self, day: int) -> None:
        """Providers burn the compute they were paid for; rewards are funded; then idle tokens pay, if they have to."""
        self._clock.set_us(BEGINS_US + (day + 1) * DAY_US)
        paid_tokens = self._market.wallet(TREASURY).available_tokens
        if paid_tokens:
            self._market.burn(TREASURY, paid_tokens, "compute:used", "day", str(day + 1))
        self._fund(str(day + 1))
        # The last rows of the day are durable when this is, and the tables say all that the collector has to know.
        self._durable.refund_unfilled()
        collect(self._durable, self._terms)

    def _fund(self, day: str) -> None:
        """What the day's rewards took out of the pool is put back."""
        lacking_tokens = POOL_TOKENS - self._market.wallet(POOL).available_tokens
        if lacking_tokens:
            self._market.mint(POOL, lacking_tokens, FUND, "day", day)

    def _check(self) -> None:
        """LED-1, LED-2: at every step all balances sum to zero, and nobody has spent what it does not have."""
        accounts = self._market.read(
            lambda state: [
                (one.account_id, one.balance_tokens, one.held_tokens) for one in state.ledger.accounts.values()
            ]
        )
        assert sum(balance for _, balance, _ in accounts) == 0, accounts
        assert all(name == "issuance" or 0 <= held <= balance for name, balance, held in accounts), accounts
