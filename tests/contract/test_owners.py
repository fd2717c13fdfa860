"""Slots and holds of equal ids, over every way to the market.

Goal: a slot is what its provider and its id name together, a hold what its account and its id do. Method: names that
collide all over, and the answers by each pair.
"""

from contextlib import suppress

import pytest

from callmarket.bridge.api.contract.pages import cursor
from callmarket.bridge.api.errors import Invalid, NotFound, Refused
from callmarket.bridge.api.market import Market
from callmarket.engine.reject import Reject
from tests.contract.conftest import acting_as

PROVIDERS = ("p", "q", "treasury")


@pytest.fixture
def crowded(api: Market) -> Market:
    """A market in which three providers have slots of three ids, and two accounts holds of one."""
    api.open_market("m")
    for provider_id in PROVIDERS[:2]:
        api.open_account(provider_id, "provider")
    for account_id in ("a", "b"):
        api.open_account(account_id)
        api.mint(account_id, 1_000, "grant:initial")
    for slot_id in ("x", "y", "z"):
        for number, provider_id in enumerate(PROVIDERS):
            api.offer_slot("m", slot_id, provider_id=provider_id, reserve_price_tokens=number)
    return api


def test_slots_of_one_id_end_on_their_own(crowded: Market) -> None:
    """SLT-1: each verb means the slot of the provider it names, and the treasury's where staff names none."""
    for number in range(5):
        crowded.place_bid("m", "a", f"t{number}", 10)
    awards = crowded.clear_round("m").awards
    assert [(award.provider_id, award.slot_id) for award in awards] == [
        ("p", "x"),
        ("p", "y"),
        ("p", "z"),
        ("q", "x"),
        ("q", "y"),
    ]
    first = awards[0]
    assert crowded.settle("x", 1, 1.0, provider_id="p", award_id=first.award_id).award_id == first.award_id
    assert crowded.void("x", provider_id="q").award_id == awards[3].award_id
    crowded.withdraw_slot("x")
    crowded.withdraw_slot("z", provider_id="q")
    told = {(slot.provider_id, slot.slot_id): slot.status for slot in crowded.slots("m").items}
    assert told == {
        ("p", "x"): "settled",
        ("q", "x"): "voided",
        ("treasury", "x"): "withdrawn",
        ("p", "y"): "awarded",
        ("q", "y"): "awarded",
        ("treasury", "y"): "offered",
        ("p", "z"): "awarded",
        ("q", "z"): "withdrawn",
        ("treasury", "z"): "offered",
    }


@pytest.mark.parametrize(("actor", "own"), [("p", "p"), ("q", "q"), ("", "treasury")])
def test_who_names_no_provider_means_his_own(crowded: Market, actor: str, own: str) -> None:
    """SLT-1: offered, withdrawn, settled and voided alike, whoever else has slots of these ids."""
    mine = acting_as(crowded, actor) if actor else crowded
    mine.offer_slot("m", "w")
    mine.withdraw_slot("y")
    for number in range(10):
        crowded.place_bid("m", "a", f"t{number}", 10)
    awards = {(award.provider_id, award.slot_id): award for award in crowded.clear_round("m").awards}
    assert (own, "w") in awards
    assert mine.settle("x", 1, 1.0).award_id == awards[own, "x"].award_id
    assert mine.void("z").award_id == awards[own, "z"].award_id
    told = {(slot.provider_id, slot.slot_id): slot.status for slot in crowded.slots("m").items}
    others = {(provider, slot): "awarded" for provider in PROVIDERS for slot in "xyz" if provider != own}
    assert told == others | {
        (own, "w"): "awarded",
        (own, "x"): "settled",
        (own, "y"): "withdrawn",
        (own, "z"): "voided",
    }


@pytest.mark.parametrize("actor", ["p", ""])
def test_who_names_the_treasury_means_the_treasury(crowded: Market, actor: str) -> None:
    """SLT-1: named, it is a provider as any other, and nobody offers for another instead."""
    mine = acting_as(crowded, actor) if actor else crowded
    with suppress(Refused):
        mine.offer_slot("m", "w", provider_id="treasury")
    offered = [slot.provider_id for slot in crowded.slots("m").items if slot.slot_id == "w"]
    assert offered in ([], ["treasury"])


def test_the_winner_names_whose_slot_it_is(crowded: Market) -> None:
    """SLT-1: to who has no slot of this id there is none, whoever else has one."""
    crowded.place_bid("m", "a", "t", 10)
    (award,) = crowded.clear_round("m").awards
    winner = acting_as(crowded, "a")
    with pytest.raises(Refused) as caught:
        winner.settle(award.slot_id, 1, 1.0, award_id=award.award_id)
    assert caught.value.reason is Reject.SLOT_UNKNOWN
    settled = winner.settle(award.slot_id, 1, 1.0, provider_id=award.provider_id, award_id=award.award_id)
    assert settled.award_id == award.award_id


@pytest.mark.parametrize("status", [None, "offered"])
@pytest.mark.parametrize("limit", [1, 2, 4, 9, 100])
def test_pages_go_by_id_and_provider(crowded: Market, status: None, limit: int) -> None:
    """SLT-1: live and from the tables, none twice and none left out."""
    found: list[tuple[str, str]] = []
    after: str | None = None
    for _ in range(10):
        page = crowded.slots("m", status, limit=limit, after=after)
        found += [(slot.slot_id, slot.provider_id) for slot in page.items]
        after = page.next
        if after is None:
            break
    assert found == [(slot_id, provider_id) for slot_id in "xyz" for provider_id in PROVIDERS]


@pytest.mark.parametrize("made_up", ["x", "", " ", "x ", " p", "x p q", "x\tp"])
def test_a_cursor_that_names_no_slot_is_refused(crowded: Market, made_up: str) -> None:
    with pytest.raises(Invalid) as caught:
        crowded.slots("m", after=cursor("slots", made_up))
    assert caught.value.field == "after"


def test_the_longest_names_fit_a_cursor(crowded: Market) -> None:
    """A cursor has both names, each as long as a name may be."""
    slot_id, providers = "s" * 128, [letter * 128 for letter in "pq"]
    for provider_id in providers:
        crowded.open_account(provider_id, "provider")
        crowded.offer_slot("m", slot_id, provider_id=provider_id)
    first = crowded.slots("m", limit=1)
    second = crowded.slots("m", limit=1, after=first.next)
    assert [(slot.slot_id, slot.provider_id) for page in (first, second) for slot in page.items] == [
        (slot_id, provider_id) for provider_id in providers
    ]


def test_holds_of_one_id_end_on_their_own(crowded: Market) -> None:
    """HLD-1: each verb and each look means the hold of the account it names."""
    for account_id, tokens in (("a", 10), ("b", 20)):
        assert crowded.place_hold("h", account_id, tokens, "stake").account_id == account_id
    captured = crowded.capture_hold("h", "b", "p", 5)
    assert (captured.account_id, captured.captured_tokens, captured.released_tokens) == ("b", 5, 15)
    assert [crowded.hold("h", account_id).status for account_id in ("a", "b")] == ["open", "captured"]
    assert crowded.release_hold("h", "a").account_id == "a"
    with pytest.raises(NotFound) as caught:
        crowded.hold("h", "p")
    assert (caught.value.field, caught.value.value) == ("hold_id", "h")
