"""What accounts may try to keep their tokens from being charged for idling.

Goal: whatever an account and its friends move to and fro, hold, bid and take back, together they pay at least what they
would have by doing nothing, less what rounding leaves to each, and less nothing else, unless they have really spent.
Method: the known tricks, each day for some days, beside one who does nothing; then random ones of a whole group.
"""

import random
from collections.abc import Callable

import pytest

from callmarket import Exchange, ManualClock
from callmarket.bridge.fleet.earning.collector import collect
from callmarket.bridge.fleet.earning.demurrage import Demurrage
from callmarket.engine.commands import TREASURY
from tests.bridge.fleet.earning.test_demurrage import DAY_US, LATE, MIDNIGHT_US

SECOND_US = 1_000_000
TOKENS = 1_000_000
TERMS = Demurrage(ppm=1_000, period_us=DAY_US, exempt_tokens=0, to="burn")
DAYS = 5


@pytest.fixture
def clock() -> ManualClock:
    """It begins at a midnight."""
    return ManualClock(MIDNIGHT_US)


class Cunning:
    """An account with all the tokens of its group, two friends, and what they do around a midnight."""

    def __init__(self, market: Exchange, clock: ManualClock) -> None:
        self.market, self.clock = market, clock
        market.open_market("m")
        for name, kind in (("a", "agent"), ("friend", "agent"), ("shop", "provider"), ("honest", "agent")):
            market.open_account(name, kind)  # type: ignore[arg-type]
        for name in ("a", "honest"):
            market.mint(name, TOKENS, "grant:initial")
        # A day later: what is new is not idle.
        self.midnight_us = MIDNIGHT_US + 2 * DAY_US

    def nights(
        self, before: Callable[[int], None], between: Callable[[int], None], after: Callable[[int], None]
    ) -> None:
        """Some days, with what is done a second before midnight, a moment after it, and when it has been asked."""
        for day in range(DAYS):
            self.clock.set_us(self.midnight_us - SECOND_US)
            before(day)
            self.clock.set_us(self.midnight_us + SECOND_US // 2)
            between(day)
            self.clock.set_us(self.midnight_us + SECOND_US)
            collect(self.market, TERMS)
            after(day)
            collect(self.market, TERMS)
            self.midnight_us += DAY_US

    def paid(self) -> tuple[int, int]:
        """What the group has left, and who did nothing."""
        group = sum(self.market.wallet(name).balance_tokens for name in ("a", "friend", "shop"))
        return group, self.market.wallet("honest").balance_tokens


def nothing(_: int) -> None:
    """It is left as it is."""


def all_of(market: Exchange, name: str) -> int:
    return market.wallet(name).available_tokens


def test_a_token_to_a_friend_and_back_changes_nothing(market: Exchange, clock: ManualClock) -> None:
    cunning = Cunning(market, clock)

    def pass_on(_: int) -> None:
        market.transfer("a", "friend", 1, "tip")
        market.transfer("friend", "a", 1, "tip")

    cunning.nights(pass_on, nothing, nothing)
    group, honest = cunning.paid()
    assert group == honest < TOKENS


@pytest.mark.parametrize("way", ["hold", "bid", "won"])
def test_tokens_held_over_midnight_are_charged_when_they_are_free_again(
    market: Exchange, clock: ManualClock, way: str
) -> None:
    """A hold, a bid in a market that nobody calls, and a slot of a friend that is voided."""
    cunning = Cunning(market, clock)

    def hold(day: int) -> None:
        tokens = all_of(market, "a")
        if way == "hold":
            market.place_hold(f"h{day}", "a", tokens, "stake")
            return
        if way == "won":
            market.offer_slot("m", f"s{day}", provider_id="friend", reserve_price_tokens=tokens)
        market.place_bid("m", "a", f"t{day}", tokens, time_in_force="gtd", ttl_at=LATE)
        if way == "won":
            market.clear_round("m")

    def free(day: int) -> None:
        if way == "hold":
            market.release_hold(f"h{day}", "a")
        elif way == "bid":
            market.cancel_bid(day + 1)
        else:
            market.void(f"s{day}", provider_id="friend")

    cunning.nights(hold, nothing, free)
    group, honest = cunning.paid()
    assert group == honest < TOKENS


@pytest.mark.parametrize("friend", ["friend", "shop"])
def test_tokens_parked_with_a_friend_over_midnight_are_charged_there(
    market: Exchange, clock: ManualClock, friend: str
) -> None:
    """A provider too: only what it was paid for slots is not asked for."""
    cunning = Cunning(market, clock)
    cunning.nights(lambda _: _move(market, "a", friend), nothing, lambda _: _move(market, friend, "a"))
    group, honest = cunning.paid()
    assert group == honest < TOKENS


def test_tokens_moved_before_the_charge_are_owed(market: Exchange, clock: ManualClock) -> None:
    """Between midnight and the walk: the debt waits for the tokens, whoever has them at the next midnight."""
    cunning = Cunning(market, clock)
    owners = ["a", "friend"]

    def pass_on(day: int) -> None:
        _move(market, owners[day % 2], owners[1 - day % 2])

    cunning.nights(nothing, pass_on, nothing)
    cunning.nights(nothing, nothing, nothing)
    owner = "friend" if all_of(market, "friend") else "a"
    _move(market, owner, "friend" if owner == "a" else "a")
    collect(market, TERMS)
    group, honest = cunning.paid()
    # The exact sums differ a little: what is charged later idles a little longer.
    assert abs(group - honest) <= 2 * DAYS


def _move(market: Exchange, payer: str, payee: str) -> None:
    market.transfer(payer, payee, all_of(market, payer), "back")


def test_tokens_that_are_really_new_or_spent_are_not_charged(market: Exchange, clock: ManualClock) -> None:
    """What was earned in the period, what was paid for, and what a provider was paid for its slots, however old."""
    cunning = Cunning(market, clock)
    market.transfer("a", TREASURY, TOKENS, "bought")
    market.mint("friend", 1_000, "earn:x", "work", "1")
    market.offer_slot("m", "s", provider_id="shop", reserve_price_tokens=10_000)
    market.place_bid("m", "honest", "t", 10_000)
    market.clear_round("m")
    market.settle("s", 0, 0, provider_id="shop")
    clock.set_us(MIDNIGHT_US + DAY_US)
    assert collect(market, TERMS).charges == 0, "all of it is new"
    cunning.nights(nothing, nothing, nothing)
    assert market.wallet("shop").balance_tokens == 10_000
    assert market.wallet("friend").balance_tokens == 999, "and then 0.999, rounded down"
    assert market.wallet("a").balance_tokens == 0


def test_the_account_that_pays_rewards_is_not_idle(market: Exchange, clock: ManualClock) -> None:
    market.open_account("pool")
    market.mint("pool", TOKENS, "fund:rewards")
    rewards = {"reward_tokens_per_impact": 1, "reward_cap_tokens": 1, "reward_day_cap_tokens": 1}
    market.open_market("paying", reward_account_id="pool", **rewards)  # type: ignore[arg-type]
    clock.set_us(MIDNIGHT_US + 3 * DAY_US)
    assert collect(market, TERMS).charges == 0


def test_no_group_pays_less_than_by_idling(market: Exchange, clock: ManualClock, seed: int) -> None:
    """Random transfers, holds, captures, bids, awards that are voided, within a group, in every moment of some days."""
    rng = random.Random(seed)
    terms = Demurrage(ppm=rng.choice((1_000, 50_000)), period_us=DAY_US, exempt_tokens=0, to="burn")
    market.open_market("m")
    group = [f"g{number}" for number in range(rng.randrange(2, 5))]
    for name in group:
        market.open_account(name, rng.choice(("agent", "agent", "quest", "provider")))
    market.mint(group[0], TOKENS, "grant:initial")
    market.open_account("honest")
    market.mint("honest", TOKENS, "grant:initial")
    holds: list[tuple[str, str]] = []
    for day in range(1, 6):
        midnight_us = MIDNIGHT_US + day * DAY_US
        for moment in sorted(rng.randrange(-DAY_US + 2, 2 * SECOND_US) for _ in range(rng.randrange(1, 12))):
            clock.set_us(max(clock(), midnight_us + moment))
            _within(market, rng, group, holds, clock())
        clock.set_us(max(clock(), midnight_us + 2 * SECOND_US))
        collect(market, terms)
    for hold in holds:
        market.release_hold(*hold)
    _gather(market, group, terms)
    left = sum(market.wallet(name).balance_tokens for name in group)
    # Each charge is rounded down, once for each account and day.
    assert left <= market.wallet("honest").balance_tokens + len(group) * 5, (left, seed)
    assert market.verify().ok


def _gather(market: Exchange, group: list[str], terms: Demurrage) -> None:
    """Let the tokens come by everywhere, so that whoever owes can pay."""
    for bid in market.bids(status="open", market_id="m").items:
        market.cancel_bid(bid.bid_id)
    for _ in range(2):
        for name, following in zip(group, [*group[1:], group[0]], strict=True):
            collect(market, terms)
            if all_of(market, name):
                _move(market, name, following)
    collect(market, terms)


def _within(market: Exchange, rng: random.Random, group: list[str], holds: list[tuple[str, str]], at_us: int) -> None:
    """Something that costs the group nothing."""
    payer, payee = rng.sample(group, 2)
    available = all_of(market, payer)
    tokens = rng.choice((1, available, rng.randint(1, available))) if available else 0
    match rng.randrange(5):
        case 0 | 1 if tokens:
            market.transfer(payer, payee, tokens, "tip")
        case 2 if tokens:
            holds.append((f"h{at_us}-{len(holds)}", payer))
            market.place_hold(*holds[-1], tokens, "stake")
        case 3 if holds:
            name, owner = holds.pop(rng.randrange(len(holds)))
            if owner != payee and rng.random() < 0.5:
                market.capture_hold(name, owner, payee)
            else:
                market.release_hold(name, owner)
        case 4 if tokens and market.wallet(payer).kind != "provider":
            task = f"t{at_us}-{rng.randrange(10**6)}"
            market.place_bid("m", payer, task, tokens, time_in_force="gtd", ttl_at=LATE)
        case _:
            pass
