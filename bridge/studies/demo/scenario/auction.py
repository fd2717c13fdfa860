"""The auction as a policy: bidders place bids, the market is called, the awards are the choice.

Rule of this file: it reaches the market only by `Market.submit` and knows wallets only from the replies. It is pure
apart from that, so a market in memory gives the same run as the real one.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct

from callmarket.bridge.api.messages import Reply, Request
from callmarket.bridge.studies.demo.scenario.bidders import (
    REWARD_CAP_TOKENS,
    REWARD_TOKENS_PER_IMPACT,
    OpenBid,
    Quote,
    agent_quotes,
    quest_quotes,
    quest_raises,
)
from callmarket.bridge.studies.demo.scenario.books import Books
from callmarket.bridge.studies.demo.scenario.policies import Finished, Waiting
from callmarket.bridge.studies.demo.scenario.workload import LEASE_US, Workload
from callmarket.engine.commands import (
    ADMIN,
    OPERATOR,
    TREASURY,
    AmendBid,
    Burn,
    ClearRound,
    Command,
    ExpireDue,
    Mint,
    OfferSlot,
    OpenAccount,
    OpenMarket,
    PlaceBid,
    SettleAward,
    VoidAward,
)
from callmarket.engine.events import (
    AwardGranted,
    AwardLapsed,
    BidAmended,
    BidPlaced,
    BidsExpired,
    Rejected,
    RoundCleared,
    SweepFinished,
    one_by_one,
)
from callmarket.engine.ids import AwardId
from callmarket.engine.reject import Reject

MARKET: Final = "agents"
# A bidder that was priced out for a minute on end reviews others' work, for a fifth of what its wallet began with.
WAGE_CYCLES: Final = 12
WAGE_DIVISOR: Final = 5


class Market(Protocol):
    """Where commands go. The reply comes when it is durable."""

    def submit(self, now_us: int, requests: Sequence[Request]) -> Sequence[Reply]:
        """Return one reply per request, in order."""


class Cycle(Struct, frozen=True):
    """The figures of one call that are worth drawing."""

    at_us: int
    price_tokens: int | None
    slots: int
    bids: int
    awards: int
    available: tuple[int, ...]
    priced_out: tuple[bool, ...]
    won: tuple[int, ...]


class _Award(Struct, frozen=True):
    award_id: AwardId
    slot_id: str
    bidder: int
    estimated_cost_tokens: int


class Auction:
    """A policy that asks a market. `cycles` is its history, `books` what the replies add up to."""

    def __init__(self, workload: Workload, market: Market, slots: int) -> None:
        """Open accounts, wallets and the market at the window's first instant."""
        self._workload = workload
        self._market = market
        self._ids_used = 0
        self._names = [bidder.bidder_id for bidder in workload.bidders]
        self._bids: dict[int, OpenBid] = {}
        self._task_of_bid: dict[int, int] = {}
        self._awards: dict[int, _Award] = {}
        self._results: Sequence[Finished] = ()
        self._slots_to_offer = [f"slot-{number:03d}" for number in range(slots)]
        self._compute_due: list[tuple[int, int, int]] = []
        self._priced_out_for = [0] * len(workload.bidders)
        self._price = 0
        # What each wallet has left in the batch that is being made.
        self._left: dict[str, int] = {}
        self.books = Books()
        self.cycles: list[Cycle] = []
        self.commands = 0
        self.refusals: dict[str, int] = {}
        self.compute_burned_tokens = 0
        self.compute_unpaid_tokens = 0
        self.wages_tokens = 0
        # Tasks that somebody bid for, or would have with more tokens.
        self.tasks_wanted: set[int] = set()
        self._open(workload.starts_at_us)

    def finished(self, now_us: int, results: Sequence[Finished]) -> None:  # noqa: ARG002
        """Keep the results for the next call, which reports them to the market."""
        self._results = results

    def choose(self, now_us: int, waiting: Sequence[Waiting], free_slots: int) -> Sequence[int]:
        """Report what ended, pay for compute, bid, call the market, and return the tasks that won."""
        self._report(now_us)
        assert len(self._slots_to_offer) <= free_slots, (self._slots_to_offer, free_slots)
        slots = [OfferSlot(MARKET, slot_id, now_us) for slot_id in self._slots_to_offer]
        self._slots_to_offer = []
        requests = [(OPERATOR, offer) for offer in slots] + self._pay_compute() + self._pay_wages(now_us)
        priced_out = [False] * len(self._names)
        bids, quotes = self._bid(waiting, priced_out)
        replies = self._submit(now_us, [*requests, *bids, (OPERATOR, ClearRound(MARKET))])
        self._note_bids(replies[len(requests) : -1], quotes, priced_out)
        awards = [event for event in one_by_one(replies[-1].events) if isinstance(event, AwardGranted)]
        chosen = [self._win(award, {task.index: task for task in waiting}) for award in awards]
        self._note_cycle(now_us, replies[-1], priced_out, awards)
        return chosen

    def _open(self, now_us: int) -> None:
        # Enough for the highest reward of every task, so that here the cap of an award alone bounds payments.
        fund_tokens = max(1, len(self._workload.tasks)) * REWARD_CAP_TOKENS
        market = OpenMarket(
            MARKET, lease_us=LEASE_US, reward_tokens_per_impact=REWARD_TOKENS_PER_IMPACT,
            reward_cap_tokens=REWARD_CAP_TOKENS, reward_day_cap_tokens=fund_tokens,
        )  # fmt: skip
        commands: list[tuple[str, Command]] = [(ADMIN, market), (ADMIN, Mint(TREASURY, fund_tokens, "fund:rewards"))]
        for bidder in self._workload.bidders:
            commands.append((ADMIN, OpenAccount(bidder.bidder_id, bidder.kind)))
            commands.append((ADMIN, Mint(bidder.bidder_id, bidder.wallet_tokens, "grant:initial")))
        self._submit(now_us, commands)

    def _report(self, now_us: int) -> None:
        """Settle, void, and sweep; the swept leases must be the ones that the simulation says are over."""
        commands: list[tuple[str, Command]] = []
        lapsed: set[int] = set()
        for result in self._results:
            award = self._awards.pop(result.index)
            self._slots_to_offer.append(award.slot_id)
            if result.ending != "voided":
                self._compute_due.append((result.bidder, award.award_id, result.cost_tokens))
            if result.ending == "settled":
                settle = SettleAward(award.slot_id, result.cost_tokens, result.impact_micros, award.award_id)
                # Whose work is rewarded does not report it (SET-3).
                commands.append((OPERATOR, settle))
            elif result.ending == "voided":
                commands.append((OPERATOR, VoidAward(award.slot_id, award.award_id)))
            else:
                lapsed.add(award.award_id)
        commands.append((OPERATOR, ExpireDue()))
        more_due = True
        while more_due:
            replies = self._submit(now_us, commands)
            for event in replies[-1].events:
                if isinstance(event, BidsExpired):
                    self._forget(event.bid_ids)
                elif isinstance(event, AwardLapsed):
                    lapsed.remove(event.award_id)
            commands = [(OPERATOR, ExpireDue())]
            more_due = any(isinstance(event, SweepFinished) and event.more_due for event in replies[-1].events)
        assert not lapsed, f"the market has not lapsed what the world has: awards {lapsed}"

    def _forget(self, bid_ids: Sequence[int]) -> None:
        for bid_id in bid_ids:
            del self._bids[self._task_of_bid.pop(bid_id)]

    def _pay_compute(self) -> list[tuple[str, Command]]:
        """Burn what the work cost, as far as the wallet goes; the rest is told, not hidden."""
        commands: list[tuple[str, Command]] = []
        self._left = left = {name: self.books.available(name) for name in self._names}
        for bidder, award_id, cost in self._compute_due:
            name = self._names[bidder]
            paid = min(cost, left[name])
            left[name] -= paid
            self.compute_burned_tokens += paid
            self.compute_unpaid_tokens += cost - paid
            if paid:
                commands.append((ADMIN, Burn(name, paid, "compute:used", "award", str(award_id))))
        self._compute_due = []
        return commands

    def _pay_wages(self, now_us: int) -> list[tuple[str, Command]]:
        commands: list[tuple[str, Command]] = []
        for bidder, cycles in enumerate(self._priced_out_for):
            if cycles and cycles % WAGE_CYCLES == 0:
                wage = self._workload.bidders[bidder].wallet_tokens // WAGE_DIVISOR
                self.wages_tokens += wage
                commands.append((ADMIN, Mint(self._names[bidder], wage, "earn:review", "cycle", str(now_us))))
        return commands

    def _bid(self, waiting: Sequence[Waiting], priced_out: list[bool]) -> tuple[list[tuple[str, Command]], list[Quote]]:
        """Return the commands, raises first, and the quotes of those that place a bid."""
        unbid: list[list[Waiting]] = [[] for _ in self._names]
        resting: list[list[OpenBid]] = [[] for _ in self._names]
        for task in waiting:
            bid = self._bids.get(task.index)
            if bid is None:
                unbid[task.bidder].append(task)
            else:
                resting[task.bidder].append(bid)
        raises: list[tuple[str, Command]] = []
        quotes: list[Quote] = []
        for bidder, name in enumerate(self._names):
            if self._workload.bidders[bidder].kind == "agent":
                quotes += agent_quotes(unbid[bidder], self._left[name], self._price)
                continue
            spendable = self._spendable(bidder)
            fresh = quest_quotes(unbid[bidder], spendable)
            quotes += fresh
            spendable -= sum(quote.price_tokens for quote in fresh)
            raised = quest_raises(resting[bidder], spendable)
            raises += [(name, AmendBid(bid.bid_id, price)) for bid, price in raised]
            prices = {bid.bid_id: price for bid, price in raised}
            offered = [(quote.price_tokens, quote.wanted_tokens) for quote in fresh]
            offered += [(prices.get(bid.bid_id, bid.price_tokens), bid.wanted_tokens) for bid in resting[bidder]]
            # Priced out: at the last price it would buy, and its wallet does not let it.
            priced_out[bidder] = any(price < self._price <= wanted for price, wanted in offered)
        self.tasks_wanted |= {quote.task.index for quote in quotes if quote.wanted_tokens > 0}
        quotes = [quote for quote in quotes if quote.price_tokens > 0]
        places = [(self._names[quote.task.bidder], self._placing(quote)) for quote in quotes]
        return raises + places, quotes

    def _spendable(self, bidder: int) -> int:
        """The available tokens, less the compute of the work that runs."""
        due = sum(award.estimated_cost_tokens for award in self._awards.values() if award.bidder == bidder)
        return self._left[self._names[bidder]] - due

    def _placing(self, quote: Quote) -> Command:
        task = quote.task
        name, task_id = self._names[task.bidder], self._workload.tasks[task.index].task_id
        return PlaceBid(MARKET, name, task_id, quote.price_tokens, task.value_tokens, task.ttl_at_us, "gtd")

    def _note_bids(self, replies: Sequence[Reply], quotes: Sequence[Quote], priced_out: list[bool]) -> None:
        raises = len(replies) - len(quotes)
        for reply in replies[:raises]:
            event = reply.events[0]
            assert isinstance(event, BidAmended), event
            self._bids[self._task_of_bid[event.bid_id]].price_tokens = event.max_price_tokens
        for reply, quote in zip(replies[raises:], quotes, strict=True):
            event = reply.events[0]
            if isinstance(event, BidPlaced):
                index = quote.task.index
                self._bids[index] = OpenBid(event.bid_id, quote.task.bidder, quote.price_tokens, quote.wanted_tokens)
                self._task_of_bid[event.bid_id] = index
            else:
                priced_out[quote.task.bidder] = True

    def _win(self, award: AwardGranted, waiting: dict[int, Waiting]) -> int:
        index = self._task_of_bid.pop(award.bid_id)
        bid = self._bids.pop(index)
        cost = waiting[index].estimated_cost_tokens
        self._awards[index] = _Award(award.award_id, award.slot_id, bid.bidder, cost)
        return index

    def _note_cycle(
        self, now_us: int, reply: Reply, priced_out: Sequence[bool], awards: Sequence[AwardGranted]
    ) -> None:
        cleared = next(event for event in reply.events if isinstance(event, RoundCleared))
        self._price = cleared.clearing_price_tokens or 0
        for bidder, out in enumerate(priced_out):
            self._priced_out_for[bidder] = self._priced_out_for[bidder] + 1 if out else 0
        index = {name: number for number, name in enumerate(self._names)}
        self.cycles.append(
            Cycle(
                now_us, cleared.clearing_price_tokens, cleared.slots_available, cleared.bids_open,
                cleared.awards_granted, tuple(self.books.available(name) for name in self._names), tuple(priced_out),
                tuple(index[award.bidder_id] for award in awards),
            )
        )  # fmt: skip

    def _submit(self, now_us: int, commands: Sequence[tuple[str, Command]]) -> Sequence[Reply]:
        """Send a batch and book the replies. Only a lack of tokens may be refused: all else would be our mistake."""
        first = self._ids_used
        requests = [
            Request(actor, command, f"demo-{first + number}") for number, (actor, command) in enumerate(commands)
        ]
        self._ids_used += len(requests)
        self.commands += len(requests)
        replies = self._market.submit(now_us, requests)
        assert len(replies) == len(requests), (len(replies), len(requests))
        for reply, request in zip(replies, requests, strict=True):
            for event in reply.events:
                if isinstance(event, Rejected):
                    assert event.reason is Reject.FUNDS_INSUFFICIENT, (request, event)
                    self.refusals[event.reason.value] = self.refusals.get(event.reason.value, 0) + 1
                self.books.add(event)
        self.books.check()
        return replies
