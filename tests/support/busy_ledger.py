"""A ledger in which all kinds of movements have happened, by chance, for tests of what is written of it.

Rule of this file: through the public verbs alone; what the market refuses is left out.
"""

import random
from contextlib import suppress

from callmarket import Exchange, ManualClock, Refused

# Names that look like the syntax of others.
NAMES = ("alpha", "Alpha", "a-b", "a-2d-b", "a_b", "a%2Db", "x;y", "(z)", '"q"', "=1+1", "Id-alpha", "~~", "1st", "[1]")
MEMOS = (
    "",
    "thanks",
    'two\nlines "quoted"',
    "back\\slash",
    "date:2020-13-45, seq:1",
    "[2026/01/01]",
    "; comment",
    "ünïcødé 漢字 \u2028 \x07",
    "é" * 512,
    "\n" * 100,
)
DAY_US = 24 * 3600 * 1_000_000


def make_busy(market: Exchange, rng: random.Random, steps: int, clock: ManualClock | None = None) -> None:
    """Mint, pay, burn, sell slots with rewards, capture holds; with a clock over some months."""
    rewards = {"reward_tokens_per_impact": 7, "reward_cap_tokens": 20, "reward_day_cap_tokens": 60}
    market.open_market("m", **rewards)
    for name in NAMES:
        market.open_account(name)
        market.mint(name, rng.randint(1, 1_000), "grant:initial", memo=rng.choice(MEMOS))
    market.mint("treasury", 500, "fund:rewards")
    for step in range(steps):
        if clock is not None and rng.random() < 0.15:
            clock.set_us(clock() + rng.randint(1, 12) * DAY_US)
        with suppress(Refused):
            _step(market, rng, step)


def _step(market: Exchange, rng: random.Random, step: int) -> None:
    payer, payee = rng.sample(NAMES, 2)
    tokens, memo = rng.randint(1, 400), rng.choice(MEMOS)
    match rng.choice(("mint", "pay", "pay", "pay", "burn", "sell", "hold")):
        case "mint":
            market.mint(payee, tokens, "earn:review", "paper", f"p{step};,:", memo)
        case "pay":
            market.transfer(payer, rng.choice((payee, "treasury")), tokens, "payment:x.y-z_1", "", f"r{step}", memo)
        case "burn":
            market.burn(payer, tokens, "fee", memo=memo)
        case "sell":
            slot_id = f"s{step}"
            market.offer_slot("m", slot_id, reserve_price_tokens=rng.randint(0, 20))
            market.place_bid("m", payer, f"t{step}", max_price_tokens=rng.randint(20, 60))
            for award in market.clear_round("m").awards:
                market.settle(award.slot_id, 1, rng.randint(0, 5), award_id=award.award_id)
        case "hold":
            market.place_hold(f"h{step}", payer, tokens, "stake", memo=memo)
            market.capture_hold(f"h{step}", payer, payee, rng.randint(1, tokens))
