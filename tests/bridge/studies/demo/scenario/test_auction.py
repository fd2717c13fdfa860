"""The auction as a policy, on the real engine in memory.

Goal: bids follow BRG-1 and LED-7, and the demo's own books agree with the engine's ledger at every batch. Method: small
examples of quotes, and a whole run with an auditor between bidders and market.
"""

from collections.abc import Sequence

import pytest

from callmarket.bridge.api.messages import Reply, Request
from callmarket.bridge.studies.demo.result import episodes
from callmarket.bridge.studies.demo.scenario.auction import Auction
from callmarket.bridge.studies.demo.scenario.bidders import (
    OpenBid,
    agent_quotes,
    quest_quotes,
    quest_raises,
    worth_tokens,
)
from callmarket.bridge.studies.demo.scenario.simulation import Simulation, slots_for
from callmarket.bridge.studies.demo.scenario.workload import make_workload
from callmarket.engine.commands import OfferSlot, PlaceBid
from callmarket.engine.events import AwardGranted, RoundCleared, one_by_one
from tests.bridge.studies.demo.memory_market import MemoryMarket
from tests.bridge.studies.demo.scenario.test_policies import waiting


def test_worth_is_what_it_brings_less_what_it_burns():
    assert worth_tokens(waiting(1, value_tokens=1000, tractability=0.5, estimated_cost_tokens=100)) == 400
    assert worth_tokens(waiting(1, value_tokens=100, tractability=0.5, estimated_cost_tokens=100)) == 0


def test_a_quest_bids_six_tenths_of_ev_but_no_more_than_its_share_of_the_wallet():
    tasks = [waiting(index, value_tokens=1000, tractability=0.7, estimated_cost_tokens=100) for index in range(4)]
    assert [quote.price_tokens for quote in quest_quotes(tasks, 10_000)] == [360] * 4
    assert [quote.price_tokens for quote in quest_quotes(tasks, 1001)] == [250] * 4
    assert [quote.price_tokens for quote in quest_quotes(tasks, -5)] == [0] * 4
    assert quest_quotes([], 10_000) == []


def test_an_agent_bids_what_a_slot_is_worth_the_dearest_first():
    cheap = waiting(1, value_tokens=400, tractability=0.5, estimated_cost_tokens=0)
    dear = waiting(2, value_tokens=1000, tractability=0.5, estimated_cost_tokens=0)
    quotes = agent_quotes([cheap, dear], 600, 0)
    assert [(quote.task.index, quote.price_tokens) for quote in quotes] == [(2, 500), (1, 100)]


def test_an_agent_with_less_than_the_going_price_asks_for_more_than_it_has():
    task = waiting(1, value_tokens=1000, tractability=0.5, estimated_cost_tokens=0)
    assert [quote.price_tokens for quote in agent_quotes([task], 300, 301)] == [500]
    assert [quote.price_tokens for quote in agent_quotes([task], 300, 300)] == [300]
    # A slot that is dearer than its worth is nothing to be priced out of.
    assert [quote.price_tokens for quote in agent_quotes([task], 300, 501)] == [300]


def test_a_quest_raises_the_bids_that_its_wallet_had_kept_low():
    low, full = OpenBid(1, 0, 100, 400), OpenBid(2, 0, 400, 400)
    assert quest_raises([low, full], 1000) == [(low, 400)]
    assert quest_raises([low, full], 50) == [(low, 150)]
    assert quest_raises([low, full], 10) == []
    assert quest_raises([low, full], 0) == []


class AuditedMarket(MemoryMarket):
    """Compares the books with the ledger after each batch, one batch late: the books are behind until the reply."""

    auction: Auction | None = None

    def submit(self, now_us: int, requests: Sequence[Request]) -> list[Reply]:
        if self.auction is not None:
            books = self.auction.books
            accounts = self.engine.state.ledger.accounts
            assert books.balances == {name: account.balance_tokens for name, account in accounts.items()}
            assert books.held == {name: account.held_tokens for name, account in accounts.items()}
        return super().submit(now_us, requests)


def test_the_books_agree_with_the_ledger_at_every_batch(seed: int):
    market = AuditedMarket()
    workload = make_workload(seed, 3)
    slots = slots_for(workload)
    auction = market.auction = Auction(workload, market, slots)
    run = Simulation(workload, auction, "auction", slots).run()
    market.engine.state.check()
    # All work has ended, so every slot is free and nothing is held for an award.
    assert not market.engine.state.awards
    assert sum(cycle.awards for cycle in auction.cycles) >= sum(ending is not None for ending in run.endings)


def test_all_bids_rest_until_their_tasks_are_given_up(seed: int):
    market = MemoryMarket()
    workload = make_workload(seed, 1)
    Simulation(workload, Auction(workload, market, 10), "auction", 10).run()
    deadlines = {task.task_id: task.ttl_at_us for task in workload.tasks}
    places = [entry.command for entry in market.entries if isinstance(entry.command, PlaceBid)]
    assert places
    assert all(bid.time_in_force == "gtd" and bid.ttl_at_us == deadlines[bid.task_id] for bid in places)


def test_no_more_slots_are_offered_than_there_are(seed: int):
    market = MemoryMarket()
    workload = make_workload(seed, 1)
    auction = Auction(workload, market, 10)
    Simulation(workload, auction, "auction", 10).run()
    assert all(cycle.slots <= 10 and cycle.awards <= cycle.slots for cycle in auction.cycles)
    offers = [entry.command.slot_id for entry in market.entries if isinstance(entry.command, OfferSlot)]
    assert len(set(offers)) == 10


def test_wallets_run_dry_and_come_back_on_the_default_seed():
    workload = make_workload(20231116)
    slots = slots_for(workload)
    auction = Auction(workload, MemoryMarket(), slots)
    Simulation(workload, auction, "auction", slots).run()
    stretches = episodes(auction.cycles)
    assert any(won_after for _, _, _, won_after in stretches)
    assert auction.refusals["FUNDS_INSUFFICIENT"] > 0


def test_a_refusal_for_another_reason_is_a_mistake_of_the_demo():
    class Usurped(MemoryMarket):
        def submit(self, now_us: int, requests: Sequence[Request]) -> list[Reply]:
            return super().submit(now_us, [Request("nobody", request.command) for request in requests])

    with pytest.raises(AssertionError, match="NOT_PERMITTED"):
        Auction(make_workload(1, 1), Usurped(), 5)


def test_all_winners_of_a_call_pay_its_one_price(seed: int):
    rounds: list[tuple[int, set[int]]] = []

    class Watched(MemoryMarket):
        def submit(self, now_us: int, requests: Sequence[Request]) -> list[Reply]:
            replies = super().submit(now_us, requests)
            for reply in replies:
                prices = {event.price_tokens for event in one_by_one(reply.events) if isinstance(event, AwardGranted)}
                rounds.extend(
                    (event.clearing_price_tokens or 0, prices)
                    for event in reply.events
                    if isinstance(event, RoundCleared)
                )
            return replies

    workload = make_workload(seed, 2)
    slots = slots_for(workload)
    Simulation(workload, Auction(workload, Watched(), slots), "auction", slots).run()
    assert any(price > 0 for price, _ in rounds)
    assert all(prices <= {price} for price, prices in rounds)
