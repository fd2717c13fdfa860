"""Seeded streams of random commands, each seed with its own mixture: few or many accounts, tasks, slots and prices.

Rule of this file: what a stream does follows from its seed and from the events so far (`observe`), never from the
inside of an engine, so that the same stream drives any implementation.
"""

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, get_args

from callmarket.engine import limits
from callmarket.engine.capital import limits as capital_limits
from callmarket.engine.commands import (
    ADMIN,
    ISSUANCE,
    OPERATOR,
    RESERVED_NAMES,
    TREASURY,
    AmendBid,
    BeginHistory,
    BindHolds,
    Burn,
    CancelBid,
    CaptureHold,
    ClearRound,
    Command,
    Entry,
    ExpireDue,
    Mint,
    OfferSlot,
    OpenAccount,
    OpenMarket,
    PlaceBid,
    PlaceHold,
    PricingRule,
    ReleaseHold,
    SettleAward,
    Transfer,
    VoidAward,
    WithdrawSlot,
)
from callmarket.engine.events import Events
from tests.support.artifact_streams import GHOST, ArtifactCommands
from tests.support.seen import Seen
from tests.support.swarms import CAPITAL_WEIGHTS, WEIGHTS, Swarm, small_swarm

PRICING_RULES: tuple[PricingRule, ...] = get_args(PricingRule)


@contextmanager
def bounds(overrides: dict[str, int]) -> Iterator[None]:
    """Give bounds of the engine other numbers for a while. The engine and the naive market look there at every use."""
    homes = {name: limits if hasattr(limits, name) else capital_limits for name in overrides}
    before = {name: getattr(home, name) for name, home in homes.items()}
    try:
        for name, value in overrides.items():
            setattr(homes[name], name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(homes[name], name, value)


class Stream(ArtifactCommands):
    """An endless stream of stamped commands: ask for `next_entry`, then `observe` what it caused."""

    def __init__(
        self,
        seed: int,
        pricing_rules: Sequence[PricingRule] = PRICING_RULES,
        choose_swarm: Callable[[random.Random], Swarm] = small_swarm,
    ) -> None:
        self.rng = random.Random(seed)
        self.swarm = choose_swarm(self.rng)
        self.pricing_rules = tuple(pricing_rules)
        self.seen = Seen()
        self.at_us = self.rng.choice((1_000, 1_700_000_000_000_000))
        # Recent commands that had an id, to be sent again.
        self.sent: deque[tuple[str, str, Command]] = deque(maxlen=8)
        # The words of the latest holds, which some of what follows is about.
        self.held: deque[dict[str, str]] = deque(maxlen=6)
        swarm = self.swarm
        kinds = ("agent", "quest", "agent", "provider")
        self.names = [f"{kinds[i % 4]}{i}" for i in range(swarm.accounts)]
        self.markets = [f"market{i}" for i in range(swarm.markets)]
        self.tasks = [f"task{i}" for i in range(swarm.tasks)]
        self.slots = [f"slot{i}" for i in range(swarm.slots)]
        # So few that each is soon several accounts', and used again, and so many that some are forgotten before.
        self.hold_names = [f"hold{i}" for i in range(8)]
        self.opening = deque(self._opening())
        commands = (*WEIGHTS, *CAPITAL_WEIGHTS)
        self.makers: list[Callable[[], tuple[str, Any]]] = [getattr(self, f"_{name}") for name in commands]
        self.maker_weights = [swarm.weights.get(name, 0.0) for name in commands]

    def next_entry(self) -> Entry:
        """Make the next command and stamp it."""
        self.at_us += self.rng.choice(self.swarm.steps_us)
        if self.opening:
            actor, command, command_id = *self.opening.popleft(), ""
        elif self.sent and self._chance(self.swarm.id_chance / 3):
            actor, command_id, command = self._again()
        else:
            actor, command = self.rng.choices(self.makers, self.maker_weights)[0]()
            command_id = f"id{self.rng.randrange(1000)}" if self._chance(self.swarm.id_chance) else ""
        if command_id:
            self.sent.append((actor, command_id, command))
        return Entry(self.seen.seq + 1, self.at_us, actor, command, command_id)

    def observe(self, entry: Entry, events: Events) -> None:
        """Learn what the last command caused."""
        self.seen.observe(entry, events)

    # --- choices -----------------------------------------------------------------------------------------------

    def _chance(self, probability: float) -> bool:
        return self.rng.random() < probability

    def _wrong(self) -> bool:
        return self._chance(self.swarm.wrong_chance)

    def _name(self, names: Sequence[str], *wrong: str) -> str:
        return self.rng.choice(wrong) if self._wrong() else self.rng.choice(names)

    def _actor(self, *right: str) -> str:
        if self._wrong():
            return self.rng.choice((*self.names, *RESERVED_NAMES, GHOST))
        return self.rng.choice(right)

    def _account(self) -> str:
        return self._name(self.seen.accounts or self.names, GHOST, TREASURY, ISSUANCE)

    def _bidder(self) -> str:
        return self._name(self.seen.bidders or self.names, self._account())

    def _market(self) -> str:
        return self._name(self.seen.markets or self.markets, GHOST)

    def _price(self) -> int:
        if self.swarm.rich and self._chance(0.2):
            return self.rng.choice((limits.TOKENS_MAX, limits.TOKENS_MAX // 2, 10**9))
        return self.rng.randint(1, self.swarm.price_max)

    def _reserve(self) -> int:
        return self.rng.choice((0, 0, 1, self.rng.randint(0, self.swarm.price_max)))

    def _amount(self) -> int:
        room = limits.TOKENS_MAX - self.seen.supply
        if self.swarm.rich and room and self._chance(0.3):
            return self.rng.choice((room, max(1, room - self.rng.randint(0, 5)), min(room + 1, limits.TOKENS_MAX)))
        return self.rng.randint(1, self.swarm.mint_max)

    def _deadline(self) -> int:
        if self._wrong():
            return max(0, self.at_us - self.rng.choice((0, 0, 1, 1000)))
        return self.at_us + self.rng.choice(self.swarm.ttls_us)

    def _lease(self) -> int:
        return self.rng.choice(self.swarm.leases_us)

    def _reference(self) -> dict[str, str]:
        """Return the words of a movement: earnings with few references, so that they repeat; and others."""
        if self._chance(0.5):
            reference = "" if self._wrong() else f"ref{self.rng.randrange(6)}"
            reason = self.rng.choice(("earn:debate", "earn:review"))
            return {"reason": reason, "reference_type": self.rng.choice(("", "task")), "reference_id": reference}
        reasons = (
            ("settle:slot", "lapse:slot", "reward:impact", "capital:trade")
            if self._wrong()
            else ("earn", "grant:weekly", "demurrage")
        )
        if self._chance(0.6):
            return {"reason": "stake", "reference_id": f"ref{self.rng.randrange(3)}"}
        return {"reason": self.rng.choice(reasons), "memo": "for the work"}

    def _again(self) -> tuple[str, str, Command]:
        """Return an earlier command with its id, or the id with another command or by another actor."""
        actor, command_id, command = self.rng.choice(self.sent)
        change = self.rng.randrange(4)
        if change == 0:
            _, command = self.rng.choices(self.makers, self.maker_weights)[0]()
        if change == 1:
            actor = self._actor(actor, ADMIN)
        return actor, command_id, command

    def _bid_id(self) -> int:
        """Return a bid that is open, won, out of the book, closed or unknown."""
        seen = self.seen
        if self._wrong() or not seen.bids_ever:
            return seen.bids_ever + 1
        if seen.open and self._chance(0.8):
            return self.rng.choice(list(seen.open))
        if seen.won and self._chance(0.4):
            return self.rng.choice(list(seen.won))
        return self.rng.randint(max(1, seen.bids_ever - 20), seen.bids_ever)

    def _hold(self) -> tuple[str, str]:
        """Return account and id of a named hold that is open, ended, another account's or unknown."""
        if self.seen.holds and self._chance(0.8):
            account, hold_id = self.rng.choice(list(self.seen.holds))
            return (self._account() if self._wrong() else account), hold_id
        return self._account(), self._name(self.hold_names, GHOST)

    def _slot(self, likely: set[tuple[str, str]]) -> tuple[str, str]:
        """Return provider and id of a slot that is likely, ended, another provider's or unknown."""
        if likely and self._chance(0.8):
            # A set of texts is in another order in each process.
            provider, slot_id = self.rng.choice(sorted(likely))
            return (self._account() if self._wrong() else provider), slot_id
        return self._provider(), self._name(self.slots, GHOST)

    def _provider(self) -> str:
        return TREASURY if self._chance(0.5) else self._account()

    def _award_id(self, slot: tuple[str, str]) -> int | None:
        latest = self.seen.award_of.get(slot)
        if self._chance(0.4):
            return None
        if latest is None or self._wrong():
            return self.rng.randint(1, self.seen.awards_ever + 1)
        return latest

    # --- one maker for each command ----------------------------------------------------------------------------

    def _opening(self) -> Iterator[tuple[str, Command]]:
        """Yield what makes a market possible at all."""
        for name in self.names:
            kind = name.rstrip("0123456789")
            yield ADMIN, OpenAccount(name, kind)  # type: ignore[arg-type]  # the names begin with a kind
            yield ADMIN, Mint(name, self.rng.randint(1, self.swarm.mint_max), "grant:first")
        for market in self.markets:
            yield ADMIN, OpenMarket(market, **self._market_rules())
        # What rewards are paid from, most often; it may be too little.
        yield ADMIN, Mint(TREASURY, self.rng.randint(1, self.swarm.mint_max), "fund:rewards")
        yield from self._artifact_opening()

    def _market_rules(self) -> dict[str, Any]:
        rich = self.swarm.rich
        rates = (limits.REWARD_TOKENS_PER_IMPACT_MAX, 1) if rich else (0, 1, 3)
        return {
            "pricing_rule": self.rng.choice(self.pricing_rules),
            "reserve_price_tokens": self._reserve(),
            "awards_per_bidder_max": self.rng.choice((0, 0, 1, 2, 3)),
            "lease_us": self._lease(),
            "lapse_policy": self.rng.choice(("charge", "refund")),
            "reward_tokens_per_impact": self.rng.choice(rates),
            "reward_cap_tokens": self.rng.choice((limits.TOKENS_MAX, 7) if rich else (0, 1, 7, 1000)),
            "task_scope": self.rng.choice(("market", "market", "bidder")),
            "reward_account_id": self.rng.choice((TREASURY, TREASURY, *self.names)),
            "reward_day_cap_tokens": self.rng.choice((limits.TOKENS_MAX, 8) if rich else (0, 9, 1000, 1000)),
        }

    def _open_market(self) -> tuple[str, OpenMarket]:
        market = self._name([*self.markets, f"market{self.rng.randrange(100)}"], TREASURY)
        rules = self._market_rules()
        rules["reward_account_id"] = self._name([rules["reward_account_id"]], ISSUANCE)
        return self._actor(OPERATOR, ADMIN), OpenMarket(market, **rules)

    def _open_account(self) -> tuple[str, OpenAccount]:
        name = self._name([*self.names, f"agent{self.rng.randrange(100)}"], *RESERVED_NAMES)
        return self._actor(ADMIN), OpenAccount(name, self.rng.choice(("agent", "quest", "provider")))

    def _mint(self) -> tuple[str, Mint]:
        return self._actor(ADMIN), Mint(self._account(), self._amount(), **self._reference())

    def _burn(self) -> tuple[str, Burn]:
        return self._actor(ADMIN), Burn(self._account(), self._amount(), **self._reference())

    def _transfer(self) -> tuple[str, Transfer]:
        payer, words = self._account(), self._reference()
        return self._payer(payer, words), Transfer(payer, self._account(), self._amount(), **words)

    def _place_hold(self) -> tuple[str, PlaceHold]:
        account = self._account()
        expires_at_us = self._deadline() if self._chance(0.5) else None
        words = self._reference()
        command = PlaceHold(
            self.rng.choice(self.hold_names), account, self._price(), expires_at_us=expires_at_us, **words
        )
        if words["reason"] == "stake":
            self.held.append(words)
        return self._payer(account, words), command

    def _payer(self, account: str, words: dict[str, str]) -> str:
        """Return who may give these words for tokens of an account: some are the admin's to give (LED-4, LED-8)."""
        if words["reason"] == "demurrage" or words["reason"].startswith("earn:"):
            return self._actor(ADMIN, ADMIN, ADMIN, account)
        return self._actor(account, account, ADMIN)

    def _capture_hold(self) -> tuple[str, CaptureHold]:
        account, hold_id = hold = self._hold()
        tokens = self._price() if self._chance(0.5) else None
        return self._actor(ADMIN, *self.seen.placer(hold)), CaptureHold(hold_id, self._account(), tokens, account)

    def _release_hold(self) -> tuple[str, ReleaseHold]:
        account, hold_id = hold = self._hold()
        return self._actor(ADMIN, *self.seen.placer(hold)), ReleaseHold(hold_id, account)

    def _bind_holds(self) -> tuple[str, BindHolds]:
        words = self.rng.choice(self.held) if self.held else {"reason": "stake"}
        reference_type, reference_id = words.get("reference_type", ""), words.get("reference_id", "ref0")
        return self._actor(OPERATOR, ADMIN), BindHolds(words["reason"], reference_type, reference_id)

    def _offer_slot(self) -> tuple[str, OfferSlot | SettleAward]:
        provider = self._provider()
        live = self.seen.live_slots()
        idle = [slot for slot in self.slots if (provider, slot) not in live]
        # As many live slots as there are ids, whosever: each id is many providers'.
        if len(live) >= len(self.slots) and self._chance(0.8):
            return self._settle_award()
        named: dict[str, Any] = {"provider_id": provider}
        if self._chance(0.6):
            named["reserve_price_tokens"] = self._reserve()
        if self._chance(0.3):
            named["lease_us"] = self._lease()
        available_at_us = self.at_us + self.rng.choice((-900, 0, 0, 0, 1, 30))
        slot_id = self._name(idle or self.slots, *self.slots)
        command = OfferSlot(self._market(), slot_id, available_at_us, **named)
        return self._actor(OPERATOR, ADMIN, command.provider_id), command

    def _withdraw_slot(self) -> tuple[str, WithdrawSlot]:
        provider, slot_id = self._slot(self.seen.offered)
        return self._actor(OPERATOR, ADMIN, provider), WithdrawSlot(slot_id, provider)

    def _place_bid(self) -> tuple[str, PlaceBid]:
        bidder = self._bidder()
        gtd = self._chance(self.swarm.gtd_chance)
        ttl = self._deadline() if (gtd and not self._wrong()) or self._chance(0.2) else None
        command = PlaceBid(
            market_id=self._market(),
            bidder_id=bidder,
            task_id=self.rng.choice(self.tasks),
            max_price_tokens=self._price(),
            expected_value_microusd=self.rng.choice((0, 1, 10**6)),
            ttl_at_us=ttl,
            time_in_force="gtd" if gtd else "round",
        )
        return self._actor(bidder, bidder, ADMIN), command

    def _amend_bid(self) -> tuple[str, AmendBid]:
        bid_id = self._bid_id()
        price = self._price() if self._chance(0.7) else None
        ttl = self._deadline() if price is None or self._chance(0.2) else None
        if self._wrong():
            price = ttl = None
        return self._actor(ADMIN, *self.seen.bidder(bid_id)), AmendBid(bid_id, price, ttl)

    def _cancel_bid(self) -> tuple[str, CancelBid]:
        bid_id = self._bid_id()
        return self._actor(ADMIN, *self.seen.bidder(bid_id)), CancelBid(bid_id)

    def _clear_round(self) -> tuple[str, ClearRound]:
        return self._actor(OPERATOR, ADMIN), ClearRound(self._market())

    def _settle_award(self) -> tuple[str, SettleAward]:
        provider, slot_id = slot = self._slot(self.seen.awarded)
        cost, impact = self.rng.randrange(100), self.rng.choice((0, 1, 999_999, 1_000_000, 2_500_001, 10**15))
        actors = (OPERATOR, ADMIN, provider, *self.seen.winner(slot))
        return self._actor(*actors), SettleAward(slot_id, cost, impact, self._award_id(slot), provider)

    def _void_award(self) -> tuple[str, VoidAward]:
        provider, slot_id = slot = self._slot(self.seen.awarded)
        return self._actor(OPERATOR, ADMIN, provider), VoidAward(slot_id, self._award_id(slot), provider)

    def _expire_due(self) -> tuple[str, ExpireDue]:
        return self._actor(OPERATOR, ADMIN), ExpireDue()

    def _begin_history(self) -> tuple[str, BeginHistory]:
        """Whom nothing was lost to: refused."""
        return self._actor(ADMIN), BeginHistory(self.rng.randrange(100), self.rng.randrange(100))
