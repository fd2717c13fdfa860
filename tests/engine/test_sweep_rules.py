"""The rule SET-6: what a sweep ends, how much of it, in which order, and what it says.

Goal: bounded work and the truth about what is left. Method: scripts for the order, and 20,000 bids with one deadline.
"""

import random

import pytest

from benchmarks.workload import accepted
from callmarket.engine.commands import ClearRound, Command, Entry, ExpireDue, Mint, OpenAccount, OpenMarket, PlaceBid
from callmarket.engine.core import Engine
from callmarket.engine.events import BidsExpired, SweepFinished
from callmarket.engine.limits import SWEEP_ITEMS_MAX, TOKENS_MAX
from tests.support.script import play

BIDS = 20_000


def test_losers_then_awards_then_bids() -> None:
    """SET-6: in this order, whatever was due first."""
    play("""
    bound LOSERS_PER_CALL_MAX 0
    market m lease=50
    account a agent 1000
    slot s1
    bid a t1 90 -> bid 1
    bid a t2 80 -> bid 2
    bid a t3 70 gtd ttl=10 -> bid 3
    bid a t4 60 -> bid 4
    clear -> price 80: 1@s1, later 2
    t=50 sweep -> lost 2 4, lapsed 1@s1=80, expired 3, done
    wallet a -> balance 920 held 0
    """)


@pytest.mark.parametrize(
    ("bound", "sweeps"),
    [
        (1, ["lost 2, more", "lost 4, more", "lapsed 1@s1=80, more", "expired 3, done"]),
        (2, ["lost 2 4, more", "lapsed 1@s1=80, expired 3, done"]),
        (3, ["lost 2 4, lapsed 1@s1=80, more", "expired 3, done"]),
        (4, ["lost 2 4, lapsed 1@s1=80, expired 3, done", "done"]),
    ],
)
def test_a_sweep_ends_at_most_the_bound_and_says_whether_more_is_due(bound: int, sweeps: list[str]) -> None:
    """SET-6: whatever the kind at which the bound falls."""
    play(
        f"""
    bound LOSERS_PER_CALL_MAX 0
    bound SWEEP_ITEMS_MAX {bound}
    market m lease=50
    account a agent 1000
    slot s1
    bid a t1 90 -> bid 1
    bid a t2 80 -> bid 2
    bid a t3 70 gtd ttl=10 -> bid 3
    bid a t4 60 -> bid 4
    clear -> price 80: 1@s1, later 2
    t=50
    """.rstrip()
        + " "
        + "\n".join(f"sweep -> {said}" for said in sweeps)
    )


def test_losers_go_by_round_and_then_by_book() -> None:
    """SET-6: the order of their rounds, across markets, and in a round the order of the book."""
    play("""
    bound LOSERS_PER_CALL_MAX 0
    market m
    market n
    account a agent 1000
    bid a t1 5 -> bid 1
    bid a t2 6 -> bid 2
    bid a t3 9 market=n -> bid 3
    clear n -> no sale, later 1
    clear m -> no sale, later 2
    bid a t4 7 -> bid 4
    bid a t5 7 market=n -> bid 5
    clear m -> no sale, later 1
    clear n -> no sale, later 1
    sweep -> lost 3 2 1 4 5, done
    """)


def test_the_bound_may_fall_into_any_round() -> None:
    """SET-6: the losers of several rounds share one bound."""
    play("""
    bound LOSERS_PER_CALL_MAX 0
    bound SWEEP_ITEMS_MAX 3
    market m
    account a agent 1000
    bid a t1 5 -> bid 1
    bid a t2 6 -> bid 2
    clear -> no sale, later 2
    bid a t3 5 -> bid 3
    bid a t4 6 -> bid 4
    bid a t5 7 -> bid 5
    clear -> no sale, later 3
    bid a t6 5 -> bid 6
    clear -> no sale, later 1
    sweep -> lost 2 1 5, more
    sweep -> lost 4 3 6, done
    """)


def test_awards_go_by_lease_and_bids_by_deadline_and_equal_ones_by_id() -> None:
    """SET-6: not by price, and not by when they came."""
    play("""
    market m lapse=refund
    account a agent 1000
    slot s1 lease=30
    slot s2 lease=20
    slot s3 lease=20
    bid a t1 9 -> bid 1
    bid a t2 8 -> bid 2
    bid a t3 7 -> bid 3
    bid a t4 3 gtd ttl=12 -> bid 4
    bid a t5 6 gtd ttl=11 -> bid 5
    bid a t6 2 gtd ttl=11 -> bid 6
    bid a t7 5 gtd ttl=12 -> bid 7
    amend 5 ttl=12
    clear -> price 6: 1@s1 2@s2 3@s3
    t=30 sweep -> lapsed 2@s2=0 3@s3=0 1@s1=0, expired 6 4 5 7, done
    """)


def test_an_expired_loser_of_this_sweep_is_not_counted_twice() -> None:
    """SET-6: a loser past its deadline is due as a loser and by deadline, and ends once."""
    play("""
    bound LOSERS_PER_CALL_MAX 0
    market m
    account a agent 1000
    bid a t1 5 ttl=10 -> bid 1
    bid a t2 4 ttl=20 -> bid 2
    bid a t3 3 gtd ttl=20 -> bid 3
    t=10 clear -> no sale, later 2
    t=20 sweep -> expired 1, lost 2, expired 3, done
    sweep -> done
    """)


def test_a_sweep_with_nothing_due_is_answered() -> None:
    """SET-6: a sweep always answers."""
    script = play("sweep -> done")
    assert script.all(SweepFinished) == [SweepFinished(0, 0, 0, False)]


def expiring(deadlines: list[int]) -> Engine:
    """An engine with a bid for each deadline."""
    engine = Engine()
    commands: list[Command] = [
        OpenAccount("a", "agent"),
        OpenAccount("b", "agent"),
        OpenAccount("c", "agent"),
        OpenMarket("m"),
    ]
    commands += [Mint(name, TOKENS_MAX // 4, "grant:initial") for name in "abc"]
    commands += [
        PlaceBid("m", "abc"[number % 3], f"t{number}", 1 + number % 7, ttl_at_us=ttl_at_us, time_in_force="gtd")
        for number, ttl_at_us in enumerate(deadlines)
    ]
    for seq, command in enumerate(commands, 1):
        accepted(engine, Entry(seq, 0, "admin", command))
    return engine


@pytest.mark.parametrize("spread_us", [1, 30_000])
def test_twenty_thousand_bids_that_expire_together_are_swept_in_bounded_steps(spread_us: int, seed: int) -> None:
    """SET-6: each step at most SWEEP_ITEMS_MAX, soonest first and then by id, and `more_due` is true."""
    rng = random.Random(seed)
    deadlines = [1_000_000 + rng.randrange(spread_us) for _ in range(BIDS)]
    engine = expiring(deadlines)
    expected = [bid_id for _, bid_id in sorted((ttl, number) for number, ttl in enumerate(deadlines, 1))]
    swept: list[int] = []
    while True:
        seq = engine.state.seq + 1
        *ends, finished = engine.apply(Entry(seq, 1_000_000 + spread_us, "operator", ExpireDue()))
        assert isinstance(finished, SweepFinished)
        assert all(isinstance(end, BidsExpired) for end in ends)
        step = [bid_id for end in ends if isinstance(end, BidsExpired) for bid_id in end.bid_ids]
        assert len(step) == finished.bids_expired == min(SWEEP_ITEMS_MAX, BIDS - len(swept))
        swept += step
        assert finished.more_due == (len(swept) < BIDS)
        if not finished.more_due:
            break
    assert swept == expected
    assert engine.state.bids == {}
    assert not any(account.held_tokens for account in engine.state.ledger.accounts.values())
    engine.state.check()


def test_a_call_amid_a_mass_expiry_sells_to_no_expired_bid() -> None:
    """SET-6, BID-3: the unswept ones are demand that cannot win, however slowly they are swept."""
    engine = expiring([100] * 1_000)
    engine.apply(Entry(engine.state.seq + 1, 100, "operator", ExpireDue()))
    events = engine.apply(Entry(engine.state.seq + 1, 100, "operator", ClearRound("m")))
    (cleared,) = events
    assert (cleared.bids_open, cleared.awards_granted) == (1_000 - SWEEP_ITEMS_MAX, 0)  # type: ignore[union-attr]
    engine.state.check()
