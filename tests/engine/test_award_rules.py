"""The rules SET-1 to SET-5, told in the table language.

Goal: an award ends once, in the right way, for the right price. Method: one script a sentence of a rule.
"""

import pytest

from callmarket.engine.events import AwardLapsed, AwardSettled, AwardVoided, SweepFinished, TransferPosted
from callmarket.engine.limits import TOKENS_MAX
from tests.support.script import play


def awarded(market: str = "", slot: str = "provider=p") -> str:
    """A market in which a's bid of 100 won slot s1 at 92, b's bid of 92 having lost; the treasury has 5,000."""
    return f"""
    account a agent 1000
    account b agent 1000
    account p provider
    mint treasury 5000
    market m {market} by admin
    slot s1 {slot}
    bid a t1 100 -> bid 1
    bid b t2 92  -> bid 2
    clear -> price 92: 1@s1, lost 2
    """


def test_settling_captures_the_clearing_price_and_not_the_bid() -> None:
    """SET-1, AUC-11: 92, not 100, from bidder to provider, and the hold is gone."""
    script = play(
        awarded()
        + """
    settle s1 -> paid 92 to p
    wallet a -> balance 908 held 0
    wallet p -> balance 92 held 0
    hold? 1 -> none
    """
    )
    paid = script.all(TransferPosted)[-1]
    assert (paid.reason, paid.reference_type, paid.reference_id) == ("settle:slot", "award", "1")


def test_a_price_of_zero_moves_nothing() -> None:
    """SET-1, Precisely: there is no transfer."""
    script = play("""
    market m
    account a agent 10
    slot s1
    bid a t1 9 -> bid 1
    clear -> price 0: 1@s1
    settle s1 cost=5 -> moved nothing
    wallet a -> balance 10 held 0
    """)
    assert len(script.all(TransferPosted)) == 1
    assert len(script.all(AwardSettled)) == 1


def test_a_provider_that_won_its_own_slot_moves_nothing() -> None:
    """SET-1, Precisely: there is no transfer, and its hold is released; the same where the award lapses."""
    play("""
    market m reserve=4 lease=5
    account a agent 10
    slot s1 provider=a
    slot s2 provider=a
    bid a t1 5 -> bid 1
    bid a t2 5 -> bid 2
    clear -> price 4: 1@s1 2@s2
    wallet a -> balance 10 held 8
    settle s1 -> moved nothing
    wallet a -> balance 10 held 4
    t=5 sweep -> lapsed 2@s2=4, done
    wallet a -> balance 10 held 0
    """)


@pytest.mark.parametrize("cost", [0, 91, 92, 5_000_000])
def test_cost_and_impact_are_recorded_and_cost_does_not_change_the_price(cost: int) -> None:
    """SET-2: whatever the work cost, the price stands."""
    script = play(awarded() + f"settle s1 cost={cost} impact=1250000 -> paid 92 to p")
    (settled,) = script.all(AwardSettled)
    assert (settled.actual_cost_tokens, settled.actual_impact_micros, settled.price_tokens) == (cost, 1_250_000, 92)
    assert (settled.award_id, settled.slot_id, settled.bid_id, settled.bidder_id) == (1, "s1", 1, "a")


@pytest.mark.parametrize(
    ("rules", "impact", "reward"),
    [
        ("reward=10 reward_cap=1000 reward_day=1000", 2_000_000, 20),
        ("reward=10 reward_cap=1000 reward_day=1000", 2_099_999, 20),
        ("reward=10 reward_cap=1000 reward_day=1000", 2_100_000, 21),
        ("reward=3 reward_cap=1000 reward_day=1000", 333_333, 0),
        ("reward=3 reward_cap=1000 reward_day=1000", 333_334, 1),
        ("reward=10 reward_cap=19 reward_day=1000", 2_000_000, 19),
        ("reward=10 reward_cap=1000 reward_day=18", 2_000_000, 18),
        ("reward=10 reward_cap=1000 reward_day=1000", 0, 0),
        ("reward=10 reward_cap=1000", 2_000_000, 0),
        ("reward=10 reward_day=1000", 2_000_000, 0),
        ("reward_cap=1000 reward_day=1000", 2_000_000, 0),
        ("", 2_000_000, 0),
    ],
)
def test_the_reward_is_impact_times_rate_rounded_down_and_capped(rules: str, impact: int, reward: int) -> None:
    """SET-3: from the treasury to the bidder, and no token is made; off while any of the numbers is 0."""
    paid = f", reward {reward}" if reward else ""
    script = play(
        awarded(rules)
        + f"""
    settle s1 impact={impact} -> paid 92 to p{paid}
    wallet a -> balance {1000 - 92 + reward} held 0
    wallet treasury -> balance {5000 - reward} held 0
    wallet issuance -> balance -7000 held 0
    """
    )
    assert script.all(AwardSettled)[0].reward_tokens == reward
    rewards = [one for one in script.all(TransferPosted) if one.reason == "reward:impact"]
    assert [(one.debit_account_id, one.credit_account_id) for one in rewards] == [("treasury", "a")] * (reward > 0)


@pytest.mark.parametrize("available", [0, 7])
def test_a_reward_is_at_most_what_its_account_has_available(available: int) -> None:
    """SET-3: the settlement itself is never refused for want of tokens, and what is held is not paid out."""
    play(
        awarded("reward=10 reward_cap=1000 reward_day=1000")
        + f"""
    hold h1 treasury {5000 - available} by admin
    settle s1 impact=2000000 -> paid 92 to p{f", reward {available}" if available else ""}
    wallet treasury -> balance {5000 - available} held {5000 - available}
    """
    )


def test_the_price_of_a_slot_may_pay_the_reward() -> None:
    """SET-3, Precisely: the price moves first, so a market whose slots are the treasury's feeds its own rewards."""
    play(
        awarded("reward=10 reward_cap=1000 reward_day=1000", slot="")
        + """
    burn treasury 5000
    settle s1 impact=50000000 -> paid 92 to treasury, reward 92
    wallet treasury -> balance 0 held 0
    """
    )


def test_rewards_are_paid_from_the_account_that_the_market_names() -> None:
    """SET-3: and not at all where the winner is that account."""
    play("""
    account pool quest 50
    account p provider
    market m reward=10 reward_cap=1000 reward_day=1000 reward_from=pool by admin
    account a agent 1000
    slot s1 provider=p
    slot s2 provider=p
    bid a t1 100 -> bid 1
    bid pool t2 40 -> bid 2
    clear -> price 0: 1@s1 2@s2
    settle s1 impact=2000000 by p -> reward 20
    settle s2 impact=2000000 by p -> moved nothing
    wallet pool -> balance 30 held 0
    """)


def test_an_account_is_rewarded_with_so_much_a_day() -> None:
    """SET-3: by account and by the day of market time in UTC; other accounts and other markets have their own."""
    day_us = 86_400_000_000
    slots = "".join(f"slot s{number} provider=p\n" for number in range(1, 7))
    play(f"""
    account a agent 1000
    account b agent 1000
    account p provider
    mint treasury 5000
    market m reward=10 reward_cap=60 reward_day=100 lease={3 * day_us} by admin
    market n reward=10 reward_cap=60 reward_day=100 lease={3 * day_us} by admin
    {slots}
    slot n1 market=n provider=p
    bid a t1 9 -> bid 1
    bid a t2 9 -> bid 2
    bid a t3 9 -> bid 3
    bid a t4 9 -> bid 4
    bid b t5 9 -> bid 5
    bid a t6 9 -> bid 6
    bid a t7 9 market=n -> bid 7
    t=5 clear m -> price 0: 1@s1 2@s2 3@s3 4@s4 5@s5 6@s6
    clear n -> price 0: 7@n1
    settle s1 impact=9000000 by p -> reward 60
    settle s2 impact=9000000 by p -> reward 40
    t={day_us - 1} settle s3 impact=9000000 by p -> moved nothing
    settle s5 impact=9000000 by p -> reward 60
    settle n1 impact=9000000 by p -> reward 60
    t={day_us} settle s4 impact=9000000 by p -> reward 60
    settle s6 impact=9000000 by p -> reward 40
    wallet treasury -> balance {5000 - 320} held 0
    """)


def test_the_winner_does_not_report_the_impact_that_pays_it() -> None:
    """SET-3: its provider or staff does; where nothing is paid for impact, the winner may (SET-1)."""
    play(
        awarded("reward=10 reward_cap=1000 reward_day=1000")
        + """
    settle s1 impact=9000000 by a -> NOT_PERMITTED actor=a bound=p
    settle s1 impact=2000000 by p -> paid 92 to p, reward 20
    """
    )
    play(awarded("reward=10 reward_cap=1000") + "settle s1 impact=9000000 by a -> paid 92 to p")


def test_a_market_that_spends_an_accounts_tokens_is_the_admins_to_open() -> None:
    """SET-3: the operator has no right to wallets, and issuance is no wallet."""
    play("""
    market m reward=1 reward_cap=1 reward_day=1 -> NOT_PERMITTED actor=operator bound=admin
    market m reward=1 reward_cap=1 reward_day=1 reward_from=nobody -> ACCOUNT_UNKNOWN reward_account_id=nobody bound=
    market m reward=1 reward_cap=1 reward_day=1 reward_from=issuance by admin -> ACCOUNT_KIND
    market m reward=1 reward_cap=1
    """)


def test_the_largest_impact_and_rate_do_not_overflow() -> None:
    """SET-3: what the account has holds for whatever is claimed."""
    play(
        awarded(f"reward=1000000000 reward_cap={TOKENS_MAX} reward_day={TOKENS_MAX}")
        + f"settle s1 impact={2**53 - 1} -> paid 92 to p, reward 5000"
    )


@pytest.mark.parametrize("actor", ["p", "operator", "admin"])
def test_a_void_releases_the_whole_hold_and_the_task_may_bid_again(actor: str) -> None:
    """SET-4: by provider, operator or admin."""
    script = play(
        awarded()
        + f"""
    void s1 by {actor} -> released 92
    wallet a -> balance 1000 held 0
    wallet p -> balance 0 held 0
    slot? s1 -> voided award 1
    bid a t1 100 -> bid 3
    """
    )
    assert script.all(AwardVoided) == [AwardVoided(1, "s1", 1, "a", 92, "m", "p")]


def test_the_bidder_cannot_void() -> None:
    """SET-4: nor can a stranger; whoever bought must settle or let it lapse."""
    play(
        awarded()
        + """
    void s1 by a -> NOT_PERMITTED actor=a bound=p
    void s1 by b -> NOT_PERMITTED
    """
    )


@pytest.mark.parametrize("verb", ["settle", "void"])
def test_at_the_end_of_the_lease_it_is_too_late(verb: str) -> None:
    """SET-5: from `lease_until` on `LEASE_EXPIRED`; one microsecond before it is not."""
    play(
        awarded("lease=50")
        + f"""
    t=50 {verb} s1 -> LEASE_EXPIRED slot_id=s1 bound=50
    {verb} s1 award=1 by admin -> LEASE_EXPIRED
    """
    )
    play(awarded("lease=50") + f"t=49 {verb} s1 -> {'paid 92 to p' if verb == 'settle' else 'released 92'}")


@pytest.mark.parametrize(("policy", "charged"), [("charge", 92), ("refund", 0)])
def test_an_award_that_nobody_settled_lapses_by_the_markets_policy(policy: str, charged: int) -> None:
    """SET-5: `charge` captures, `refund` releases; the slot ends too and the task may bid again."""
    script = play(
        awarded(f"lease=50 lapse={policy}")
        + f"""
    t=49 sweep -> done
    t=50 sweep -> lapsed 1@s1={charged}, done
    wallet a -> balance {1000 - charged} held 0
    wallet p -> balance {charged} held 0
    slot? s1 -> lapsed award 1
    bid a t1 5 -> bid 3
    """
    )
    assert script.all(AwardLapsed) == [AwardLapsed(1, "s1", 1, "a", 92, charged, "m", "p")]


def test_an_award_is_charged_by_default() -> None:
    """SET-5: holding a slot idle is not free."""
    play(awarded("lease=50") + "t=50 sweep -> lapsed 1@s1=92, done")


def test_the_lease_is_the_slots_own() -> None:
    """SET-5, SLT-1: counted from the call that awarded it, not from the offer."""
    play("""
    market m lease=50
    account a agent 100
    slot s1
    slot s2 lease=10
    bid a t1 9 -> bid 1
    bid a t2 8 -> bid 2
    t=100 clear -> price 0: 1@s1 2@s2
    t=109 sweep -> done
    t=110 sweep -> lapsed 2@s2=0, done
    t=149 sweep -> done
    t=150 sweep -> lapsed 1@s1=0, done
    """)


def test_until_the_sweep_the_task_of_an_expired_lease_is_still_awarded() -> None:
    """BID-6, Precisely: an award past its lease holds its task; it ends with the sweep (SET-5)."""
    play(
        awarded("lease=50")
        + """
    t=50 bid b t1 5 -> TASK_AWARDED task_id=t1 bound=1
    slot s2
    clear -> no sale
    sweep -> lapsed 1@s1=92, done
    bid b t1 5 -> bid 3
    """
    )


def test_each_lapse_is_followed_by_what_it_moves() -> None:
    """SET-5, SET-6: in one sweep, award by award, so that a reader who stops in the middle has whole ones."""
    script = play(
        awarded("lease=50")
        + """
    slot s2 provider=p
    bid a t3 70 -> bid 3
    bid b t4 60 -> bid 4
    clear -> price 60: 3@s2, lost 4
    t=50 sweep -> lapsed 1@s1=92 3@s2=60, done
    """
    )
    swept = script.events[-5:]
    told = [
        event.award_id if isinstance(event, AwardLapsed) else int(event.reference_id)
        for event in swept
        if isinstance(event, AwardLapsed | TransferPosted)
    ]
    assert [type(event) for event in swept] == [
        *(AwardLapsed, TransferPosted, AwardLapsed, TransferPosted),
        SweepFinished,
    ]
    assert told[0] == told[1] < told[2] == told[3]
