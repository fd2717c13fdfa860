"""The engine and the naive market side by side on one stream, and the shortest account of where they part.

Rule of this file: a failure says all that is needed to repeat it (seed, index, entry, what each said) and then the
shortest list of commands that still makes the two disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from callmarket.engine.capital.commands import ESCROW, CancelOrder, ClosePosition, OpenPosition
from callmarket.engine.capital.events import OrderRested, SharesTraded
from callmarket.engine.commands import AmendBid, CancelBid, Entry
from callmarket.engine.core import Engine
from callmarket.engine.events import BidPlaced, Events, RoundCleared
from callmarket.engine.limits import SEQ_MAX
from tests.support.naive import NaiveMarket, comparable
from tests.support.streams import Stream, bounds


@dataclass(frozen=True)
class Difference:
    """Where the two parted."""

    index: int
    entry: Entry
    what: str

    def __str__(self) -> str:
        return f"at index {self.index}: {shown(self.entry)}\n{self.what}"


@dataclass(frozen=True)
class Step:
    """One entry of a stream, and the bid or the order that it placed, if it did."""

    entry: Entry
    bid_id: int | None
    order_id: int | None = None


class Pair:
    """An engine and a naive market that were told the same."""

    def __init__(self) -> None:
        self.engine = Engine()
        self.naive = NaiveMarket()

    def apply(self, entry: Entry) -> tuple[Events, str]:
        """Apply one entry to both. Return what the engine said, and where they differ ("" if they do not)."""
        expected = self.naive.apply(entry)
        try:
            events = self.engine.apply(entry)
        except Exception as error:  # noqa: BLE001 -- whatever the engine raises is a finding to report
            return (), f"naive:  {expected}\nengine raised {error!r}"
        if comparable(events) != comparable(expected):
            return events, f"naive:  {expected}\nengine: {events}"
        visited, needed = bids_visited(events), bids_visited(expected)
        return events, f"CLR-9: {visited} bids visited where {needed} would do" if visited > needed else ""

    def check(self) -> str:
        """Return what is wrong with the state: balances that differ (LED-1, LED-2), or the engine's own check."""
        balances = self.engine_balances()
        if balances != self.naive.balances():
            return f"balances and holds\nnaive:  {self.naive.balances()}\nengine: {balances}"
        if sum(balance for balance, _ in balances.values()) != 0:
            return f"LED-1: the sum of all balances is not zero: {balances}"
        if (engine_has := artifact_state(self.engine)) != (naive_has := naive_artifact_state(self.naive)):
            return f"artifact markets\nnaive:  {naive_has}\nengine: {engine_has}"
        try:
            self.naive.capital.check(balances[ESCROW][0])
            self.engine.state.check()
        except AssertionError as error:
            return f"check() failed: {error!r}"
        return ""

    def engine_balances(self) -> dict[str, tuple[int, int]]:
        """Return balance and held of each account of the engine."""
        accounts = self.engine.state.ledger.accounts
        return {name: (account.balance_tokens, account.held_tokens) for name, account in accounts.items()}


ArtifactState = tuple[dict[str, int], dict[int, tuple[int, int]], dict[int, int]]


def artifact_state(engine: Engine) -> ArtifactState:
    """Return purses, shares and costs of the positions, and what is left of the resting orders."""
    capital = engine.state.capital
    positions = {key: (one.microshares, one.cost_microtokens) for key, one in capital.positions.items()}
    return capital.purses, positions, {key: order.left for key, order in capital.orders.items()}


def naive_artifact_state(naive: NaiveMarket) -> ArtifactState:
    """Return the same of the naive market."""
    capital = naive.capital
    purses = {account: purse for account, purse in capital.purses.items() if purse}
    positions = {key: (one.shares, one.cost) for key, one in capital.positions.items()}
    return purses, positions, {key: order.left for key, order in capital.orders.items()}


def bids_visited(events: Events) -> int:
    """Return what the calls among the events cost."""
    return sum(event.bids_visited for event in events if isinstance(event, RoundCleared))


def assert_agreement(stream: Stream, count: int, check_every: int, context: str) -> None:
    """Run both over the next `count` commands; on a difference shrink what led to it and fail."""
    steps: list[Step] = []
    pair = Pair()
    with bounds(stream.swarm.bounds):
        for index in range(count):
            entry = stream.next_entry()
            events, what = pair.apply(entry)
            steps.append(Step(entry, *placed(entry, events)))
            stream.observe(entry, events)
            what = what or (pair.check() if index % check_every == check_every - 1 else "")
            if what:
                raise AssertionError(_report(Difference(index, entry, what), steps, stream, context))


def placed(entry: Entry, events: Events) -> tuple[int | None, int | None]:
    """Return the bid and the order that an entry placed; ids of orders stand in what it said of its own."""
    bids = [event.bid_id for event in events if isinstance(event, BidPlaced)]
    orders: list[int] = []
    if isinstance(entry.command, OpenPosition | ClosePosition):
        orders = [event.order_id for event in events if isinstance(event, SharesTraded | OrderRested)]
    return bids[0] if bids else None, orders[0] if orders else None


def first_difference(steps: Sequence[Step]) -> Difference | None:
    """Run both over given steps, checking after each. Return where they first differ.

    Bids and orders that other steps name are found again under the ids that they get this time.
    """
    pair = Pair()
    bid_ids: dict[int, int] = {}
    order_ids: dict[int, int] = {}
    for index, step in enumerate(steps):
        command = step.entry.command
        if isinstance(command, AmendBid | CancelBid):
            command = msgspec.structs.replace(command, bid_id=bid_ids.get(command.bid_id, SEQ_MAX))
        if isinstance(command, CancelOrder):
            command = msgspec.structs.replace(command, order_id=order_ids.get(command.order_id, SEQ_MAX))
        if isinstance(command, ClosePosition):
            command = msgspec.structs.replace(command, position_id=order_ids.get(command.position_id, SEQ_MAX))
        entry = msgspec.structs.replace(step.entry, seq=index + 1, command=command)
        events, what = pair.apply(entry)
        what = what or pair.check()
        if what:
            return Difference(index, entry, what)
        bid_id, order_id = placed(entry, events)
        if step.bid_id is not None and bid_id is not None:
            bid_ids[step.bid_id] = bid_id
        if step.order_id is not None and order_id is not None:
            order_ids[step.order_id] = order_id
    return None


def shrink(steps: Sequence[Step], runs_max: int = 2_000) -> list[Step]:
    """Leave out ever smaller pieces while the rest still makes a difference; for no more than `runs_max` runs."""
    kept = list(steps)
    size = len(kept) // 2
    runs = 0
    while size >= 1 and runs < runs_max:
        start = 0
        while start < len(kept) and runs < runs_max:
            shorter = kept[:start] + kept[start + size :]
            runs += 1
            difference = first_difference(shorter)
            if difference is None:
                start += size
            else:
                kept = shorter[: difference.index + 1]
        size //= 2
    return kept


def shown(entry: Entry) -> str:
    """Return an entry in one line, without the fields that have their default."""
    command = entry.command
    fields = zip(command.__struct_fields__, msgspec.structs.fields(command), strict=True)
    named = [f"{name}={getattr(command, name)!r}" for name, field in fields if getattr(command, name) != field.default]
    retry = f" id={entry.command_id}" if entry.command_id else ""
    return f"{entry.seq} at {entry.at_us} {entry.actor}{retry}: {type(command).__name__}({', '.join(named)})"


def _report(difference: Difference, steps: list[Step], stream: Stream, context: str) -> str:
    head = f"{context}, bounds {stream.swarm.bounds}\n{difference}"
    # A long prefix costs too much to run again and again.
    if len(steps) > 2_000 or first_difference(steps) is None:
        return head
    shortest = shrink(steps)
    lines = "\n".join(f"  {shown(step.entry)}" for step in shortest)
    again = first_difference(shortest)
    return f"{head}\nThe shortest commands that still differ, with their old numbers:\n{lines}\n{again}"
