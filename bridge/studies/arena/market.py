"""One market on the real engine, in memory, called round by round and audited from its events.

Rule of this file: payments are those that the engine reported. Wins and balances are added up from events
(`demo.books`, which refuses what contradicts itself) and compared with the engine's own ledger.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from callmarket.bridge.api.messages import Request
from callmarket.bridge.studies.demo.other_seeds import MemoryMarket
from callmarket.bridge.studies.demo.scenario.books import Books
from callmarket.engine.commands import (
    ADMIN,
    OPERATOR,
    TREASURY,
    ClearRound,
    Command,
    ExpireDue,
    Mint,
    OfferSlot,
    OpenAccount,
    OpenMarket,
    PlaceBid,
    PricingRule,
    SettleAward,
    TaskScope,
)
from callmarket.engine.events import AwardGranted, Event, Rejected, RoundCleared, SweepFinished, one_by_one

MARKET: Final = "arena"


class Win(Struct, frozen=True, gc=False):
    """A slot that a seat won for a task, and what it paid."""

    seat: int
    task_id: str
    price_tokens: int


class Called(Struct, frozen=True):
    """A call: its winners, and the price of a slot (the lowest paid where there is no one price, 0 if none sold)."""

    wins: tuple[Win, ...]
    price_tokens: int


class ArenaMarket:
    """A market with a wallet for each seat. All bids are for one round, and awards are settled at once."""

    def __init__(
        self,
        pricing_rule: PricingRule,
        slots: int,
        wallets_tokens: Sequence[int],
        awards_per_bidder_max: int = 0,
        task_scope: TaskScope = "market",
    ) -> None:
        """Open it, with `slots` in each round. Every wallet begins with at least one token."""
        self._market = MemoryMarket()
        self._books = Books()
        self._now_us = 0
        self._paid_tokens = 0
        # Slots that are not sold in one round are still on offer in the next.
        self._to_offer = [f"slot-{number}" for number in range(slots)]
        self._names = [f"seat-{seat}" for seat in range(len(wallets_tokens))]
        self._seats = {name: seat for seat, name in enumerate(self._names)}
        rules = OpenMarket(MARKET, pricing_rule, awards_per_bidder_max=awards_per_bidder_max, task_scope=task_scope)
        opening: list[tuple[str, Command]] = [(ADMIN, rules)]
        for name, wallet in zip(self._names, wallets_tokens, strict=True):
            opening += [(ADMIN, OpenAccount(name, "agent")), (ADMIN, Mint(name, wallet, "grant:initial"))]
        self._do(opening)

    def available_tokens(self, seat: int) -> int:
        """What a seat may still bid."""
        return self._books.available(self._names[seat])

    def place(self, seat: int, bids: Sequence[tuple[str, int]]) -> None:
        """Bid for tasks at prices, which the wallet must cover."""
        name = self._names[seat]
        self._do([(name, PlaceBid(MARKET, name, task_id, price)) for task_id, price in bids])

    def call(self) -> Called:
        """Offer the slots, call the market, settle what was won and release what lost."""
        self._now_us += 1
        offers = [(OPERATOR, OfferSlot(MARKET, slot_id, self._now_us)) for slot_id in self._to_offer]
        events = self._do([*offers, (OPERATOR, ClearRound(MARKET))])
        awards = [event for event in one_by_one(events) if isinstance(event, AwardGranted)]
        self._to_offer = [award.slot_id for award in awards]
        self._do([(OPERATOR, SettleAward(award.slot_id, 0, 0, award.award_id)) for award in awards])
        cleared = next(event for event in events if isinstance(event, RoundCleared))
        if cleared.losers_remaining:
            self._sweep()
        wins = tuple(Win(self._seats[award.bidder_id], award.task_id, award.price_tokens) for award in awards)
        self._paid_tokens += sum(win.price_tokens for win in wins)
        lowest = min((win.price_tokens for win in wins), default=0)
        return Called(wins, lowest if cleared.clearing_price_tokens is None else cleared.clearing_price_tokens)

    def audit(self) -> int:
        """Return the tokens paid in all; asserts that the treasury has them, by our books and by the engine's."""
        self._books.check()
        accounts = self._market.engine.state.ledger.accounts
        for name, balance in self._books.balances.items():
            assert accounts[name].balance_tokens == balance, (name, accounts[name], balance)
        assert self._books.balances[TREASURY] == self._paid_tokens, (self._books.balances[TREASURY], self._paid_tokens)
        return self._paid_tokens

    def _sweep(self) -> None:
        more_due = True
        while more_due:
            events = self._do([(OPERATOR, ExpireDue())])
            more_due = any(isinstance(event, SweepFinished) and event.more_due for event in events)

    def _do(self, commands: Sequence[tuple[str, Command]]) -> list[Event]:
        requests = [Request(actor, command) for actor, command in commands]
        events = [event for reply in self._market.submit(self._now_us, requests) for event in reply.events]
        for event in events:
            assert not isinstance(event, Rejected), event
            self._books.add(event)
        return events
