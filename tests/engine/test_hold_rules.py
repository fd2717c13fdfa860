"""The rules HLD-1 to HLD-7, told in the table language.

Goal: tokens set aside under a name are there until they are paid or given back, once, by who may. Method: one script a
sentence of a rule.
"""

import pytest

from callmarket.engine import limits
from callmarket.engine.events import HoldCaptured, HoldPlaced, HoldReleased, HoldsExpired, SweepFinished, TransferPosted
from tests.support.script import play

WORLD = """
market m
account a agent 100
account b agent 100
account p provider
"""


def told(text: str) -> None:
    play(WORLD + text)


def test_a_named_hold_is_set_aside_until_it_ends() -> None:
    """HLD-1: it counts in every check of funds (LED-5), and what bids hold counts in its own."""
    told("""
    hold h1 a 60
    wallet a              -> balance 100 held 60
    hold? h1              -> 60
    transfer a b 41       -> FUNDS_INSUFFICIENT amount_tokens=41 bound=40
    burn a 41             -> FUNDS_INSUFFICIENT
    bid a t1 41           -> FUNDS_INSUFFICIENT
    bid a t1 30           -> bid 1
    hold h2 a 11          -> FUNDS_INSUFFICIENT amount_tokens=11 bound=10
    hold h2 a 10
    release h1            -> released 60
    wallet a              -> balance 100 held 40
    """)


def test_a_hold_has_an_id_of_its_own_and_an_account_that_owns_tokens() -> None:
    """HLD-1, Precisely: one id an account; a bid's number is no hold's name; issuance holds nothing, treasury may."""
    told("""
    hold h1 a 10
    hold h1 a 10          -> HOLD_EXISTS hold_id=h1 bound=open
    hold h1 a 10 by admin -> HOLD_EXISTS
    hold 1 a 10
    bid a t1 20           -> bid 1
    cancel 1              -> released 20
    wallet a              -> balance 100 held 20
    hold h2 issuance 1 by admin  -> ACCOUNT_KIND
    hold h2 ghost 1       -> ACCOUNT_UNKNOWN account_id=ghost bound=
    mint treasury 5
    hold h2 treasury 5 by admin
    release h9            -> HOLD_UNKNOWN hold_id=h9 bound=
    capture h9 a          -> HOLD_UNKNOWN
    """)


def test_a_strangers_hold_of_the_same_id_is_another_hold() -> None:
    """HLD-1: it takes nobody's id, nobody ends by it what another has set aside, and each ends by its own deadline."""
    script = play(
        WORLD
        + """
    hold bounty-for-h1 b 1 reason=bounty
    hold bounty-for-h1 a 60 reason=bounty until=50
    hold? bounty-for-h1 a -> 60
    hold? bounty-for-h1 b -> 1
    release bounty-for-h1 of=a by b   -> NOT_PERMITTED actor=b bound=a
    capture bounty-for-h1 b of=a by b -> NOT_PERMITTED
    release bounty-for-h1 of=p by p   -> HOLD_UNKNOWN hold_id=bounty-for-h1 bound=
    release bounty-for-h1 of=b by b   -> released 1
    release bounty-for-h1 of=b by b   -> HOLD_RELEASED
    hold? bounty-for-h1 a -> 60
    wallet a -> balance 100 held 60
    capture bounty-for-h1 p of=a amount=40 by a -> paid 40 to p, released 20
    release bounty-for-h1 of=b by b   -> HOLD_RELEASED
    hold h b 2 until=60
    hold h a 1 until=60
    t=60 sweep -> freed h h, done
    """
    )
    (freed,) = script.all(HoldsExpired)
    assert (freed.account_ids, freed.released_tokens) == (("a", "b"), (1, 2))


@pytest.mark.parametrize("end", ["release h", "capture h b"])
def test_a_hold_is_ended_by_its_owner(end: str) -> None:
    """HLD-2: the account its own, and the admin all; what the admin placed, the account cannot end."""
    told(f"""
    hold h a 10 by b         -> NOT_PERMITTED actor=b bound=a
    hold h a 10 by operator  -> NOT_PERMITTED
    hold h a 10 by admin
    {end} by a               -> NOT_PERMITTED actor=a bound=admin
    {end} by b               -> NOT_PERMITTED
    {end} by operator        -> NOT_PERMITTED
    wallet a                 -> balance 100 held 10
    """)
    told(f"hold h a 10\n{end} by b -> NOT_PERMITTED actor=b bound=a\n{end} -> {_done(end)}")
    told(f"hold h a 10\n{end} by admin -> {_done(end)}")


def _done(end: str) -> str:
    return "released 10" if end == "release h" else "paid 10 to b"


def test_a_capture_pays_all_or_a_part_and_the_rest_goes_back() -> None:
    """HLD-3: one transfer with the hold's words; more than the hold is refused, and the hold stays."""
    script = play(
        WORLD
        + """
    hold h1 a 60 reason=bounty:pay type=artifact ref=x7 memo=solved by admin
    capture h1 b amount=61 -> HOLD_EXCEEDED amount_tokens=61 bound=60
    hold? h1              -> 60
    capture h1 b amount=45 -> paid 45 to b, released 15
    hold? h1              -> none
    wallet a              -> balance 55 held 0
    wallet b              -> balance 145 held 0
    hold h2 a 55
    capture h2 p          -> paid 55 to p
    wallet a              -> balance 0 held 0
    """
    )
    first = script.all(TransferPosted)[-2]
    assert (first.reason, first.reference_type, first.reference_id) == ("bounty:pay", "artifact", "x7")
    assert (first.memo, first.debit_balance_tokens, first.credit_balance_tokens) == ("solved", 55, 145)
    placed, ended = script.all(HoldPlaced)[0], script.all(HoldCaptured)[0]
    assert (placed.placed_by, placed.amount_tokens) == ("admin", 60)
    assert (ended.placed_seq, ended.captured_tokens, ended.released_tokens) == (placed.placed_seq, 45, 15)


def test_a_capture_pays_somebody_else_and_an_earning_once() -> None:
    """HLD-3, Precisely: not issuance, not the account itself; LED-4 holds of who is paid, and the hold stays open."""
    told("""
    hold h1 a 10
    capture h1 a          -> SAME_ACCOUNT to_account_id=a bound=
    capture h1 issuance   -> ACCOUNT_KIND
    capture h1 ghost      -> ACCOUNT_UNKNOWN to_account_id=ghost bound=
    hold e1 a 10 reason=earn:review by admin                -> REFERENCE_MISSING
    hold e1 a 10 reason=earn:review type=task ref=7 by admin
    hold e2 a 10 reason=earn:review type=task ref=7 by admin
    capture e1 b amount=1 -> paid 1 to b, released 9
    capture e2 b          -> EARNING_DUPLICATE reference_id=7 bound=paid before
    mint b 5 reason=earn:review type=task ref=7    -> EARNING_DUPLICATE
    hold? e2              -> 10
    capture e2 p          -> paid 10 to p
    bound EARNINGS_MAX 2
    hold e3 a 10 reason=earn:review type=task ref=8 by admin
    capture e3 p          -> EARNINGS_FULL
    release e3            -> released 10
    """)


def test_a_release_moves_nothing() -> None:
    """HLD-4: all of the hold is available again, and no transfer is made."""
    script = play(WORLD + "hold h a 60\nrelease h -> released 60\nwallet a -> balance 100 held 0")
    assert len(script.all(HoldReleased)) == 1
    assert {event.reason for event in script.all(TransferPosted)} == {"grant:initial"}


def test_a_hold_past_its_deadline_has_expired_and_is_given_back_by_the_sweep() -> None:
    """HLD-5: at the deadline and after it; a deadline that is past is refused."""
    script = play(
        WORLD
        + """
    t=10 hold h a 10 until=10   -> TTL_PAST expires_at_us=10 bound=10
    hold h a 10 until=20
    hold k a 10 until=21
    t=19 sweep                  -> done
    capture h b amount=4        -> paid 4 to b, released 6
    t=21 capture k b            -> HOLD_EXPIRED hold_id=k bound=21
    release k                   -> HOLD_EXPIRED
    sweep                       -> freed k, done
    capture k b                 -> HOLD_EXPIRED hold_id=k bound=expired
    wallet a                    -> balance 96 held 0
    """
    )
    assert [event.hold_ids for event in script.all(HoldsExpired)] == [("k",)]


def test_expired_holds_stay_held_and_counted_until_the_sweep() -> None:
    """HLD-5, Precisely: until the sweep comes by, its tokens are not available and its place is not free."""
    told("""
    bound HOLDS_PER_ACCOUNT_MAX 1
    hold h a 60 until=5
    t=9 hold k a 10    -> HOLDS_PER_ACCOUNT_FULL
    transfer a b 41    -> FUNDS_INSUFFICIENT amount_tokens=41 bound=40
    hold h a 10        -> HOLD_EXISTS
    sweep              -> freed h, done
    hold k a 100
    """)


def test_a_sweep_frees_holds_last_by_deadline_and_id_within_its_bound() -> None:
    """SET-6, HLD-5: after losers, awards and bids; equal deadlines by id; and it says whether more is due."""
    script = play(
        WORLD
        + """
    bound SWEEP_ITEMS_MAX 2
    hold h2 a 1 until=7
    hold h10 a 1 until=7
    hold h1 a 1 until=6
    bid a t1 5 gtd ttl=9 -> bid 1
    t=9 sweep            -> expired 1, freed h1, more
    sweep                -> freed h10 h2, done
    sweep                -> done
    """
    )
    assert [event.holds_expired for event in script.all(SweepFinished)] == [1, 2, 0]


@pytest.mark.parametrize(
    ("end", "reason"),
    [("capture h b", "HOLD_CAPTURED"), ("release h", "HOLD_RELEASED"), ("t=9 sweep", "HOLD_EXPIRED")],
)
def test_a_second_end_says_how_the_first_went(end: str, reason: str) -> None:
    """HLD-6, LED-6: each end has its own refusal, and the id stays taken."""
    first = {"capture h b": "paid 10 to b", "release h": "released 10", "t=9 sweep": "freed h, done"}[end]
    status = reason.removeprefix("HOLD_").lower()
    told(f"""
    hold h a 10 until=9
    {end}         -> {first}
    capture h b   -> {reason} hold_id=h bound={status}
    release h     -> {reason}
    hold h a 10   -> HOLD_EXISTS hold_id=h bound={status}
    release h by b -> NOT_PERMITTED
    """)


def test_the_hold_that_ended_longest_ago_is_forgotten_and_its_id_is_free() -> None:
    """HLD-6, Precisely: by the order of the ends; a new hold of that id is another hold, by its own placer."""
    script = play(
        WORLD
        + """
    bound HOLDS_ENDED_KEPT 2
    hold h1 a 10
    hold h2 a 10
    hold h3 a 10
    release h3    -> released 10
    release h1    -> released 10
    release h2    -> released 10
    release h3    -> HOLD_UNKNOWN
    release h1    -> HOLD_RELEASED
    hold h3 b 7
    release h3 by a -> NOT_PERMITTED
    release h3    -> released 7
    release h1    -> HOLD_UNKNOWN
    """
    )
    one, two = [event for event in script.all(HoldReleased) if event.hold_id == "h3"]
    assert one.placed_seq < two.placed_seq


def test_open_holds_are_bounded_by_account_and_by_shard() -> None:
    """HLD-7: what has ended does not count; the account's bound is named first."""
    told("""
    bound HOLDS_PER_ACCOUNT_MAX 2
    bound HOLDS_MAX 3
    hold h1 a 1
    hold h2 a 1
    hold h3 a 1   -> HOLDS_PER_ACCOUNT_FULL account_id=a bound=2
    hold h3 b 1
    hold h4 p 1   -> HOLDS_FULL hold_id=h4 bound=3
    hold h4 a 1   -> HOLDS_PER_ACCOUNT_FULL
    release h1    -> released 1
    hold h4 b 1
    """)


BOUND = """
account a agent 1000
account b agent 1000
hold h1 a 100 reason=stake type=artifact ref=x
hold h2 a 100 reason=stake type=artifact ref=x until=50
hold h3 a 100 reason=stake type=artifact ref=y
hold h4 a 100 reason=bounty type=artifact ref=x
hold h5 a 100 reason=stake type=artifact ref=x by admin
bind stake artifact x
hold h6 a 100 reason=stake type=artifact ref=x
"""


def test_spending_because_of_holds_binds_them() -> None:
    """HLD-8: those for this reason and reference that were placed before; others, and later ones, are free."""
    play(
        BOUND
        + f"""
    release h1 -> HOLD_BOUND hold_id=h1 bound={limits.HOLDS_BOUND_US}
    capture h1 b -> HOLD_BOUND
    release h3 -> released 100
    release h4 -> released 100
    release h6 -> released 100
    capture h5 b amount=40 by admin -> paid 40 to b, released 60
    t=50 release h2 -> HOLD_EXPIRED
    sweep -> freed h2, done
    t={limits.HOLDS_BOUND_US - 1} release h1 -> HOLD_BOUND
    release h1 by admin -> released 100
    wallet a -> balance 960 held 0
    """
    )


def test_bindings_end_and_begin_anew() -> None:
    """HLD-8, Precisely: a week after the last one; what was placed in between is bound by that one too."""
    play(
        BOUND
        + f"""
    t=10 bind stake artifact x
    t={limits.HOLDS_BOUND_US} release h1 -> HOLD_BOUND hold_id=h1 bound={limits.HOLDS_BOUND_US + 10}
    release h6 -> HOLD_BOUND
    t={limits.HOLDS_BOUND_US + 10} release h1 -> released 100
    capture h6 b -> paid 100 to b
    """
    )


def test_bindings_are_bounded_and_forgotten_when_they_are_past() -> None:
    """HLD-8: full is `HOLD_BINDINGS_FULL`; one that is there begins anew; a past one takes no room."""
    script = play(f"""
    bound HOLD_BINDINGS_MAX 2
    bind stake artifact x
    t=5 bind stake artifact y
    bind stake artifact z -> HOLD_BINDINGS_FULL reference_id=z bound=2
    bind stake artifact x
    t={limits.HOLDS_BOUND_US + 5} bind stake artifact z
    """)
    assert list(script.engine.state.holds.bindings) == [("stake", "artifact", "z")]


def test_binding_is_done_by_staff_alone() -> None:
    """HLD-8: an account could keep others from their tokens."""
    play(BOUND + "bind stake artifact y by a -> NOT_PERMITTED actor=a bound=operator\nbind stake artifact y by admin")
