"""Earning over every way to a market: rewards, first tokens, and that each is paid once.

Goal: whoever asks how often, by which way, and after which failure: an account has the tokens of a piece of work once.
Method: the same calls over every way; retries far beyond the window in which command ids are remembered.
"""

import random
from functools import partial
from pathlib import Path

import pytest

from callmarket import Exchange, Invalid, ManualClock, Refused, open_exchange
from callmarket.bridge.api.market import Market
from callmarket.bridge.fleet.earning import Context, create_account, grant_initial, load_rates, reward_action
from callmarket.engine import limits as engine_limits
from callmarket.engine.commands import ISSUANCE
from callmarket.engine.reject import Reject
from tests.bridge.conftest import START_US
from tests.support.small_market import in_threads

DAY_US = 24 * 3600 * 1_000_000
REVIEW = Context("review", "r-1", quality=0.85, memo="careful")


def supply(market: Market) -> int:
    return -market.wallet(ISSUANCE).balance_tokens


def test_good_work_is_paid_once(api: Market) -> None:
    """LED-4: floor(10 * (0 + 2 * 0.85)) = 17 tokens, with its reference in the ledger; again it is "already paid"."""
    create_account(api, "a", initial_balance=0)
    paid = reward_action(api, "a", "review", REVIEW)
    assert (paid.outcome, paid.tokens, paid.capped) == ("paid", 17, False)
    (movement,) = api.statement("a").items
    assert (movement.reason, movement.reference_type, movement.reference_id) == ("earn:review", "review", "r-1")
    assert (movement.from_account_id, movement.amount_tokens, movement.memo) == (ISSUANCE, 17, "careful")
    for again in (REVIEW, Context("review", "r-1", quality=1)):
        repeat = reward_action(api, "a", "review", again)
        assert (repeat.outcome, repeat.tokens) == ("already_paid", 0)
        assert repeat.seq
        assert paid.seq
        assert repeat.seq > paid.seq
    assert api.wallet("a").balance_tokens == supply(api) == 17


def test_other_work_is_other_work(api: Market) -> None:
    """LED-4: another account, action, reference type or id is another earning."""
    for account_id in ("a", "b"):
        create_account(api, account_id, initial_balance=0)
    asked = [("a", "review", Context("r", "1")), ("b", "review", Context("r", "1")), ("a", "debate", Context("r", "1"))]
    asked += [("a", "review", Context("s", "1")), ("a", "review", Context("r", "2"))]
    assert [reward_action(api, *one).outcome for one in asked] == ["paid"] * 5
    assert (api.wallet("a").balance_tokens, api.wallet("b").balance_tokens) == (35, 10)


def test_a_judgement_that_leaves_nothing_pays_nothing_and_may_be_repeated(api: Market, owner: Exchange) -> None:
    create_account(api, "a", initial_balance=0)
    seq = owner.read(lambda state: state.seq)
    nothing = reward_action(api, "a", "review", Context("review", "r-1", quality=0.0499))
    assert (nothing.outcome, nothing.tokens, nothing.seq) == ("nothing", 0, None)
    assert owner.read(lambda state: state.seq) == seq, "nothing was asked of the market"
    assert reward_action(api, "a", "review", REVIEW).outcome == "paid"


def test_what_makes_no_sense_changes_nothing(api: Market, owner: Exchange) -> None:
    create_account(api, "a", initial_balance=0)
    seq = owner.read(lambda state: state.seq)
    wrong = [
        ("action_type", "a", "dance", REVIEW),
        ("reference_id", "a", "review", Context("review", "")),
        ("reference_id", "a", "review", Context("review", "no name")),
        ("quality", "a", "review", Context("review", "r", quality=1.1)),
        ("novelty", "a", "review", Context("review", "r", novelty=1)),
        ("account_id", "no name", "review", REVIEW),
    ]
    for field, *asked in wrong:
        with pytest.raises(Invalid) as caught:
            reward_action(api, *asked)  # type: ignore[arg-type]
        assert caught.value.field == field
    for tokens in (-1, 2**53, True, 1.0):
        with pytest.raises(Invalid, match="initial_balance"):
            create_account(api, "b", tokens)  # type: ignore[arg-type]
    assert owner.read(lambda state: state.seq) == seq
    with pytest.raises(Refused) as refused:
        reward_action(api, "nobody", "review", REVIEW)
    assert refused.value.reason is Reject.ACCOUNT_UNKNOWN


def test_an_account_begins_with_its_tokens_once(api: Market) -> None:
    """LED-4, AUC-19: `create_account(agent_id, initial_balance=1000)`, whole or in halves, any number of times."""
    assert create_account(api, "a").balance_tokens == 1_000
    assert create_account(api, "a", 5_000).balance_tokens == 1_000
    assert grant_initial(api, "a").outcome == "already_paid"
    api.open_account("q", "quest")  # as if the caller had died after that
    assert create_account(api, "q", 70, kind="quest").balance_tokens == 70
    with pytest.raises(Invalid, match="kind: expected 'quest', as which q is open, got 'agent'"):
        create_account(api, "q")
    with pytest.raises(Refused) as refused:
        create_account(api, "treasury")
    assert refused.value.reason is Reject.NAME_RESERVED
    assert supply(api) == 1_070


def test_a_day_has_a_bound(api: Market, clock: ManualClock, tmp_path: Path) -> None:
    """What is left of a day is paid, then nothing until 24 hours are over; first tokens and a bridge's do not count."""
    path = tmp_path / "own.toml"
    path.write_text("daily_cap_tokens = 25\n[actions.review]\nbase_tokens = 10\ncap_tokens = 10\n")
    review = partial(reward_action, api, "a", "review", rates=load_rates(path))
    create_account(api, "a", 1_000)
    api.mint("a", 100, "earn:bridge", "chain:base", "0x1:0")
    rewards = [review(Context("review", str(number))) for number in range(4)]
    assert [(one.outcome, one.tokens, one.capped) for one in rewards] == [
        ("paid", 10, False),
        ("paid", 10, False),
        ("paid", 5, True),
        ("day_full", 0, False),
    ]
    clock.set_us(START_US + DAY_US)
    assert review(Context("review", "3")).outcome == "day_full"
    clock.set_us(START_US + DAY_US + 1)
    assert review(Context("review", "3")).tokens == 10
    assert api.wallet("a").balance_tokens == 1_135


def test_of_many_at_the_same_moment_one_pays(owner: Exchange, seed: int) -> None:
    """LED-4: threads that ask for the same works in other orders leave each work paid once."""
    create_account(owner, "a", initial_balance=0)

    def ask(order: list[int]) -> None:
        for number in order:
            reward_action(owner, "a", "review", Context("review", str(number)))

    rng = random.Random(seed)
    orders = [rng.sample(range(20), 20) for _ in range(6)]
    assert in_threads([partial(ask, order) for order in orders]) == []
    assert owner.wallet("a").balance_tokens == supply(owner) == 200


def test_paid_once_beyond_every_retry_window_and_restart(
    database_url: str, monkeypatch: pytest.MonkeyPatch, clock: ManualClock
) -> None:
    """LED-4, IDM-1: when the ids of commands are long forgotten, and by the next process, it is still paid once."""
    monkeypatch.setattr(engine_limits, "RECEIPTS_MAX", 4)
    with open_exchange(database_url, clock=clock) as market:
        create_account(market, "a", 50)
        assert reward_action(market, "a", "review", REVIEW).outcome == "paid"
        for number in range(10):
            market.mint("a", 1, "other", command_id=f"other-{number}")
        assert reward_action(market, "a", "review", REVIEW).outcome == "already_paid"
    with open_exchange(database_url, clock=clock) as market:
        assert reward_action(market, "a", "review", REVIEW).outcome == "already_paid"
        assert create_account(market, "a", 50).balance_tokens == 77
        assert market.verify().ok
