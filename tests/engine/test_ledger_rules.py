"""The rules LED-1 to LED-7, told in the table language.

Goal: tokens are neither made nor lost, holds count, and an earning is paid once. Method: one script a rule; the script
itself checks after each line that balances are the sum of the transfers, and the state checks itself.
"""

import pytest

from callmarket.engine.capital.commands import ESCROW, SUBSIDY_POOL
from callmarket.engine.commands import ISSUANCE, RESERVED_NAMES, TREASURY
from callmarket.engine.core import Engine
from callmarket.engine.events import TransferPosted
from callmarket.engine.limits import TOKENS_MAX
from tests.support.script import play


def test_each_movement_is_one_transfer_from_a_debit_to_a_credit_account() -> None:
    """LED-1: the transfers name both sides and the balances after; all balances sum to zero after every command."""
    script = play("""
    account a agent 1000
    wallet issuance -> balance -1000 held 0
    account p provider
    transfer a p 300 reason=tip
    burn p 100 reason=fee
    wallet a        -> balance 700 held 0
    wallet p        -> balance 200 held 0
    wallet issuance -> balance -900 held 0
    """)
    posted = [
        (one.transfer_id, one.debit_account_id, one.credit_account_id, one.amount_tokens, one.reason)
        for one in script.all(TransferPosted)
    ]
    assert posted == [
        (1, "issuance", "a", 1000, "grant:initial"),
        (2, "a", "p", 300, "tip"),
        (3, "p", "issuance", 100, "fee"),
    ]
    assert [(one.debit_balance_tokens, one.credit_balance_tokens) for one in script.all(TransferPosted)] == [
        (-1000, 1000),
        (700, 300),
        (200, -900),
    ]
    assert sum(account.balance_tokens for account in script.engine.state.ledger.accounts.values()) == 0


def test_balances_sum_to_zero_through_a_whole_life() -> None:
    """LED-1: also after holds, captures, rewards, lapses and releases (the script checks after every line)."""
    script = play("""
    market m lease=10 reward=2 reward_cap=50 reward_day=50 by admin
    mint treasury 10
    account a agent 1000
    account p provider
    slot s1 provider=p
    slot s2 provider=p
    bid a x 500 -> bid 1
    bid a y 400 -> bid 2
    bid a z 100 -> bid 3
    t=1 clear -> price 100: 1@s1 2@s2, lost 3
    settle s1 impact=3000000 -> paid 100 to p, reward 6
    t=11 sweep -> lapsed 2@s2=100, done
    wallet a -> balance 806 held 0
    wallet p -> balance 200 held 0
    wallet treasury -> balance 4 held 0
    wallet issuance -> balance -1010 held 0
    """)
    assert sum(account.balance_tokens for account in script.engine.state.ledger.accounts.values()) == 0


def test_available_is_balance_less_held_and_neither_is_ever_negative() -> None:
    """LED-2: `available = balance - held` and `0 <= held <= balance`; the whole balance can be held, not one more."""
    script = play("""
    market m
    account a agent 100
    bid a x 60 -> bid 1
    wallet a   -> balance 100 held 60
    bid a y 41 -> FUNDS_INSUFFICIENT max_price_tokens=41 bound=40
    bid a y 40 -> bid 2
    wallet a   -> balance 100 held 100
    bid a z 1  -> FUNDS_INSUFFICIENT max_price_tokens=1 bound=0
    """)
    assert script.engine.state.ledger.accounts["a"].available_tokens == 0


def test_every_ledger_begins_with_its_own_accounts() -> None:
    """LED-3: the four system accounts exist before the first command, at zero."""
    accounts = Engine().state.ledger.accounts
    assert {name: (one.kind, one.balance_tokens, one.held_tokens) for name, one in accounts.items()} == {
        ISSUANCE: ("system", 0, 0),
        TREASURY: ("system", 0, 0),
        ESCROW: ("system", 0, 0),
        SUBSIDY_POOL: ("system", 0, 0),
    }


def test_treasury_earns_the_slots_that_name_no_provider() -> None:
    """LED-3, SLT-1: the price of a slot without a provider goes to `treasury`, which can spend it again."""
    play("""
    market m reserve=7
    account a agent 10
    slot s1
    bid a x 10 -> bid 1
    clear -> price 7: 1@s1
    settle s1 -> paid 7 to treasury
    wallet treasury -> balance 7 held 0
    transfer treasury a 7 by admin
    wallet a -> balance 10 held 0
    """)


@pytest.mark.parametrize(("kind", "result"), [("agent", "bid 1"), ("quest", "bid 1"), ("provider", "ACCOUNT_KIND")])
def test_only_agents_and_quests_bid(kind: str, result: str) -> None:
    """LED-3, Precisely: only agents and quests bid."""
    play(f"""
    market m
    account a {kind} 10
    bid a x 10 -> {result}
    """)


def test_system_accounts_do_not_bid() -> None:
    """LED-3, Precisely: `treasury` and `issuance` are neither agents nor quests."""
    play("""
    market m
    mint treasury 10
    bid treasury x 10 by admin -> ACCOUNT_KIND bidder_id=treasury bound=agent or quest
    bid issuance x 10 by admin -> ACCOUNT_KIND bidder_id=issuance bound=agent or quest
    """)


def test_issuance_is_no_party_to_what_callers_ask() -> None:
    """LED-3, Precisely: `issuance` is no party to Mint, Burn, Transfer or OfferSlot (`ACCOUNT_KIND`)."""
    play("""
    market m
    account a agent 10
    mint issuance 5                 -> ACCOUNT_KIND account_id=issuance bound=agent, quest, provider or treasury
    burn issuance 5                 -> ACCOUNT_KIND account_id=issuance bound=agent, quest, provider or treasury
    transfer a issuance 5           -> ACCOUNT_KIND account_id=issuance bound=agent, quest, provider or treasury
    transfer issuance a 5 by admin  -> ACCOUNT_KIND account_id=issuance bound=agent, quest, provider or treasury
    slot s1 provider=issuance       -> ACCOUNT_KIND provider_id=issuance bound=agent, quest, provider or treasury
    """)


@pytest.mark.parametrize("name", RESERVED_NAMES)
def test_the_markets_own_names_cannot_be_opened(name: str) -> None:
    """LED-3, Precisely: `admin`, `operator` and the four system accounts cannot be opened (`NAME_RESERVED`)."""
    assert len(RESERVED_NAMES) == 6
    play(f"account {name} agent -> NAME_RESERVED account_id={name} bound=")


def test_an_account_is_opened_once() -> None:
    """LED-3: a name is one account, whatever kind is asked for."""
    play("""
    account a agent 10
    account a agent -> ACCOUNT_EXISTS account_id=a bound=
    account a quest -> ACCOUNT_EXISTS
    wallet a -> balance 10 held 0
    """)


def test_reason_reference_and_memo_are_carried() -> None:
    """LED-4: mint, burn and transfer say why, for what, and a word for the reader."""
    script = play("""
    account a agent
    account b agent
    mint a 9 reason=grant:initial type=quest ref=q1 memo=hello
    transfer a b 3 reason=tip type=task ref=t1 memo=thanks
    burn b 1 reason=fee type=rule ref=r1 memo=sorry
    """)
    carried = [(one.reason, one.reference_type, one.reference_id, one.memo) for one in script.all(TransferPosted)]
    assert carried == [
        ("grant:initial", "quest", "q1", "hello"),
        ("tip", "task", "t1", "thanks"),
        ("fee", "rule", "r1", "sorry"),
    ]


def test_an_earning_is_paid_once() -> None:
    """LED-4: once per (credited account, reason, reference type, reference id); again is `EARNING_DUPLICATE`."""
    play("""
    account a agent
    account b agent 100
    mint a 5 reason=earn:debate type=debate ref=7 -> ok
    mint a 5 reason=earn:debate type=debate ref=7 -> EARNING_DUPLICATE reference_id=7 bound=paid before
    mint a 9 reason=earn:debate type=debate ref=7 -> EARNING_DUPLICATE
    transfer b a 5 reason=earn:debate type=debate ref=7 by admin -> EARNING_DUPLICATE
    wallet a -> balance 5 held 0
    """)


def test_only_the_admin_gives_an_earning() -> None:
    """LED-4, Precisely: one token from anybody would use up what the work of another is to be paid for."""
    play("""
    account a agent
    account b agent 100
    transfer b a 1 reason=earn:debate type=debate ref=7 -> NOT_PERMITTED actor=b bound=admin
    hold h b 1 reason=earn:debate type=debate ref=7 -> NOT_PERMITTED actor=b bound=admin
    transfer b a 1 reason=tip:earn:debate type=debate ref=7 -> ok
    mint a 5 reason=earn:debate type=debate ref=7 -> ok
    wallet a -> balance 6 held 0
    wallet b -> balance 99 held 0
    """)


@pytest.mark.parametrize(
    "other",
    [
        "mint b 5 reason=earn:debate type=debate ref=7",
        "mint a 5 reason=earn:review type=debate ref=7",
        "mint a 5 reason=earn:debate type=review ref=7",
        "mint a 5 reason=earn:debate ref=7",
        "mint a 5 reason=earn:debate type=debate ref=8",
        "transfer b a 5 reason=earn:review type=debate ref=7 by admin",
    ],
)
def test_an_earning_that_differs_in_any_part_is_another_one(other: str) -> None:
    """LED-4: each of the four parts counts."""
    play(f"""
    account a agent
    account b agent 100
    mint a 5 reason=earn:debate type=debate ref=7 -> ok
    {other} -> ok
    {other} -> EARNING_DUPLICATE
    """)


def test_a_transfer_that_earns_is_remembered_like_a_mint() -> None:
    """LED-4: an earning is a mint or a transfer."""
    play("""
    account a agent
    account b agent 100
    transfer b a 5 reason=earn:debate type=debate ref=7 by admin -> ok
    mint a 5 reason=earn:debate type=debate ref=7 -> EARNING_DUPLICATE
    """)


def test_an_earning_needs_a_reference() -> None:
    """LED-4: a reason that begins with `earn:` needs a `reference_id`; the type may be empty."""
    play("""
    account a agent 50
    account b agent
    mint a 5 reason=earn:debate type=debate -> REFERENCE_MISSING
    transfer a b 5 reason=earn:debate by admin -> REFERENCE_MISSING reference_id= bound=a reference for earn:debate
    mint a 5 reason=earn:debate ref=7 -> ok
    """)


def test_a_payment_that_is_no_earning_is_paid_each_time() -> None:
    """LED-4: `earn` without the colon, grants and burns are not earnings."""
    play("""
    account a agent
    mint a 5 reason=grant:initial ref=1
    mint a 5 reason=grant:initial ref=1
    mint a 5 reason=earn
    mint a 5 reason=earned:debate
    burn a 1 reason=earn:debate
    burn a 1 reason=earn:debate ref=1
    burn a 1 reason=earn:debate ref=1
    mint a 5 reason=earn:debate ref=1 -> ok
    wallet a -> balance 22 held 0
    """)


def test_the_earnings_that_are_remembered_are_bounded() -> None:
    """LED-4: full means refuse (`EARNINGS_FULL`), for what is not an earning goes on."""
    play("""
    bound EARNINGS_MAX 2
    account a agent
    mint a 1 reason=earn:x ref=1
    mint a 1 reason=earn:x ref=2
    mint a 1 reason=earn:x ref=3 -> EARNINGS_FULL reference_id=3 bound=2
    mint a 1 reason=earn:x ref=2 -> EARNING_DUPLICATE
    mint a 1
    """)


def test_the_supply_is_bounded() -> None:
    """LED-4, Precisely: minting beyond a supply of 2^53 - 1 is `SUPPLY_EXCEEDED`; the bound names what is left."""
    assert TOKENS_MAX == 2**53 - 1
    play(f"""
    account a agent
    account b agent
    mint a {TOKENS_MAX - 10}
    mint b 11 -> SUPPLY_EXCEEDED amount_tokens=11 bound=10
    mint b 10
    mint a 1  -> SUPPLY_EXCEEDED amount_tokens=1 bound=0
    burn a 4
    mint b 5  -> SUPPLY_EXCEEDED amount_tokens=5 bound=4
    mint b 4
    wallet issuance -> balance -{TOKENS_MAX} held 0
    """)


def test_holds_count_in_every_check_of_funds() -> None:
    """LED-5: bid, amendment, transfer and burn are all measured against what is available."""
    play("""
    market m
    account a agent 100
    account b agent
    bid a x 70       -> bid 1
    bid a y 31       -> FUNDS_INSUFFICIENT max_price_tokens=31 bound=30
    amend 1 price=101 -> FUNDS_INSUFFICIENT max_price_tokens=101 bound=100
    transfer a b 31  -> FUNDS_INSUFFICIENT amount_tokens=31 bound=30
    burn a 31        -> FUNDS_INSUFFICIENT amount_tokens=31 bound=30
    transfer a b 20
    burn a 10
    wallet a -> balance 70 held 70
    """)


def test_a_hold_of_an_award_counts_too() -> None:
    """LED-5: from the call until its end the price is not available."""
    play("""
    market m rule=pay_as_bid
    account a agent 100
    account b agent
    slot s1
    bid a x 70 -> bid 1
    clear -> prices: 1@s1=70
    transfer a b 31 -> FUNDS_INSUFFICIENT amount_tokens=31 bound=30
    settle s1 -> paid 70 to treasury
    transfer a b 30
    """)


@pytest.mark.parametrize(
    ("end", "bid_again", "slot_again"),
    [
        ("settle s1 -> paid 40 to treasury", "BID_CLOSED", "SLOT_SETTLED"),
        ("void s1 -> released 40", "BID_CLOSED", "SLOT_VOIDED"),
        ("t=9 sweep -> lapsed 1@s1=40, done", "BID_CLOSED", "SLOT_LAPSED"),
    ],
)
def test_the_hold_of_an_award_ends_once(end: str, bid_again: str, slot_again: str) -> None:
    """LED-6: captured or released, and a second end is refused by what ended it."""
    play(f"""
    market m lease=5 reserve=40
    account a agent 100
    slot s1
    bid a x 70 -> bid 1
    clear -> price 40: 1@s1
    hold? 1 -> 40
    {end}
    hold? 1 -> none
    settle s1 -> {slot_again}
    void s1   -> {slot_again}
    cancel 1  -> {bid_again}
    sweep     -> done
    """)


@pytest.mark.parametrize("end", ["cancel 1 -> released 70", "clear -> no sale, lost 1", "t=9 sweep -> expired 1, done"])
def test_the_hold_of_a_bid_ends_once(end: str) -> None:
    """LED-6: cancelled, lost or expired, and nothing is left to end."""
    play(f"""
    market m
    account a agent 100
    bid a x 70 ttl=9 -> bid 1
    {end}
    wallet a -> balance 100 held 0
    cancel 1 -> BID_CLOSED bid_id=1 bound=1
    amend 1 price=5 -> BID_CLOSED
    t=10 sweep -> done
    """)


def test_an_account_with_too_little_is_priced_out_until_it_earns() -> None:
    """LED-7: `FUNDS_INSUFFICIENT`, and back as soon as there is enough."""
    play("""
    market m
    account a agent 5
    account b agent 100
    bid a x 6 -> FUNDS_INSUFFICIENT max_price_tokens=6 bound=5
    mint a 1 reason=earn:debate ref=7
    bid a x 6 -> bid 1
    """)


def test_a_refused_command_changes_nothing() -> None:
    """LED-1, LED-6: after a refusal the state is what it was, but for its place in the order."""
    script = play("""
    market m
    account a agent 5
    bid a x 3 -> bid 1
    """)
    before = script.engine.state.encode()
    seq = script.engine.state.seq
    script.run("""
    bid a y 3 -> FUNDS_INSUFFICIENT
    cancel 1 by b -> NOT_PERMITTED
    burn a 3 -> FUNDS_INSUFFICIENT
    """)
    assert script.engine.state.seq == seq + 3
    script.engine.state.seq = seq
    assert script.engine.state.encode() == before
