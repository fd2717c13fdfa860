"""A stranger who takes a name first takes nothing: ids of slots and of holds are their owners' own.

Goal: whoever offers `gpu-1` or holds `bounty-for-h1` before the owner does neither stands in its way nor is mistaken
for it, by no verb and in no answer. Method: over HTTP, each with a key of its own, the stranger always first.
"""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.bridge.server.conftest import Served

DONE = {"actual_cost_tokens": 1, "actual_impact": 1.0}
LATE = datetime(2100, 1, 1, tzinfo=UTC).isoformat()


class Told:
    """One key's way to the market."""

    def __init__(self, served: Served, *, account: str = "", **scopes: Any) -> None:
        self.served = served
        self.account = account
        self.key = served.key(**scopes)

    def ok(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of what succeeds."""
        told = self._ask(method, path, body)
        assert told.status_code in (200, 201), (path, told.text)
        return told.json()

    def refused(self, status: int, method: str, path: str, body: Any = None) -> str:
        """The reason of what does not; empty where the market was not asked."""
        told = self._ask(method, path, body)
        assert told.status_code == status, (path, told.text)
        reason: str = told.json().get("reason", "")
        return reason

    def _ask(self, method: str, path: str, body: Any) -> Any:
        more = {} if body is None else {"json": body}
        return self.served.ask(method, f"/api/v1{path}", key=self.key, account=self.account, **more)


@pytest.fixture
def town(served: Served) -> Served:
    """Another provider, and an artifact."""
    served.exchange.open_account("q", "provider")
    served.exchange.put_artifact("h1", "hypothesis")
    return served


def test_a_slot_with_the_same_id_of_another_owner_is_separate(town: Served) -> None:
    """SLT-1: offered, sold, listed, settled, voided and withdrawn, each on its own."""
    stranger, owner, bidder = Told(town, offer=("q",)), Told(town, offer=("p",)), Told(town, bid=("a",))
    staff = Told(town, operate=True)
    stranger.ok("POST", "/markets/m/slots", {"slot_id": "gpu-1", "reserve_price_tokens": 9_000})
    owner.ok("POST", "/markets/m/slots", {"slot_id": "gpu-1"})
    assert owner.refused(409, "POST", "/markets/m/slots", {"slot_id": "gpu-1"}) == "SLOT_EXISTS"
    asks = owner.ok("GET", "/markets/m/order-book")["asks"]
    assert [(ask["provider_id"], ask["slot_id"]) for ask in asks] == [("p", "gpu-1"), ("q", "gpu-1")]
    bidder.ok("POST", "/markets/m/bids", {"task_id": "t", "max_price_tokens": 50})
    (award,) = staff.ok("POST", "/markets/m/clear")["awards"]
    assert (award["provider_id"], award["slot_id"]) == ("p", "gpu-1")
    for path, body in (("/settle", DONE), ("/void", {}), ("", None)):
        method = "POST" if path else "DELETE"
        # As the owner's, and as its own: there is nothing to end, and the award's id does not help.
        assert stranger.refused(403, method, f"/slots/p/gpu-1{path}", body) == "NOT_PERMITTED"
    named = DONE | {"award_id": award["award_id"]}
    assert stranger.refused(409, "POST", "/slots/q/gpu-1/settle", named) == "AWARD_STALE"
    assert stranger.refused(409, "POST", "/slots/q/gpu-1/settle", DONE) == "SLOT_NOT_AWARDED"
    assert bidder.refused(403, "POST", "/slots/q/gpu-1/settle", named) == "NOT_PERMITTED"
    stranger.ok("DELETE", "/slots/q/gpu-1")
    page = owner.ok("GET", "/markets/m/slots")["items"]
    assert [(row["provider_id"], row["status"]) for row in page] == [("p", "awarded"), ("q", "withdrawn")]
    # The winner names whose slot it is, as its award does.
    assert bidder.ok("POST", "/slots/p/gpu-1/settle", named)["award_id"] == award["award_id"]
    assert stranger.refused(409, "DELETE", "/slots/q/gpu-1") == "SLOT_WITHDRAWN"
    assert owner.refused(409, "POST", "/slots/p/gpu-1/settle", named) == "SLOT_SETTLED"
    assert staff.refused(404, "POST", "/slots/treasury/gpu-1/settle", named) == "SLOT_UNKNOWN"
    assert town.exchange.verify().ok


@pytest.mark.parametrize(
    ("scopes", "account", "own"),
    [
        ({"offer": ("p",)}, "", "p"),
        ({"offer": ("p", "q")}, "p", "p"),
        ({"bid": ("a",), "offer": ("p",)}, "", "p"),
        ({"offer": ("*",)}, "p", "p"),
        ({"operate": True}, "", "treasury"),
        ({"operate": True}, "p", "p"),
        ({"operate": True, "offer": ("p",)}, "", "p"),
        ({"admin": True}, "", "treasury"),
        ({"offer": ("treasury",)}, "", "treasury"),
    ],
)
def test_a_key_that_names_no_provider_means_its_own(town: Served, scopes: Any, account: str, own: str) -> None:
    """SLT-1: what it offers, it withdraws, settles and voids without saying whose it is; others keep theirs."""
    staff = Told(town, operate=True)
    rival = Told(town, offer=("q",))
    mine = Told(town, account=account, **scopes)
    for name in ("settled", "voided", "withdrawn"):
        rival.ok("POST", "/markets/m/slots", {"slot_id": name, "reserve_price_tokens": 9_000})
        mine.ok("POST", "/markets/m/slots", {"slot_id": name})
    mine.ok("DELETE", "/slots/~/withdrawn")
    bidder = Told(town, bid=("a",))
    for number in range(2):
        bidder.ok("POST", "/markets/m/bids", {"task_id": f"t{number}", "max_price_tokens": 50})
    assert len(staff.ok("POST", "/markets/m/clear")["awards"]) == 2
    mine.ok("POST", "/slots/~/settled/settle", DONE)
    mine.ok("POST", "/slots/~/voided/void", {})
    page = staff.ok("GET", "/markets/m/slots")["items"]
    told = [(row["slot_id"], row["provider_id"], row["status"]) for row in page]
    names = ("settled", "voided", "withdrawn")
    assert sorted(told) == sorted([(name, own, name) for name in names] + [(name, "q", "offered") for name in names])
    assert town.exchange.verify().ok


def test_a_key_with_no_single_provider_account_is_refused(town: Served) -> None:
    """SLT-1: by what is missing, before anything happens."""
    many = Told(town, offer=("p", "q"))
    assert many.refused(400, "DELETE", "/slots/~/s") == ""
    bidder = Told(town, bid=("a",))
    assert bidder.refused(403, "DELETE", "/slots/~/s") == ""
    assert bidder.refused(403, "POST", "/slots/~/s/void", {}) == ""
    assert bidder.refused(404, "POST", "/slots/~/s/settle", DONE) == "SLOT_UNKNOWN"


def test_a_hold_with_the_same_id_of_another_owner_is_separate(town: Served) -> None:
    """HLD-1: placed, looked at, captured and released, each on its own."""
    stranger, owner = Told(town, bid=("b",)), Told(town, bid=("a",))
    name, words = "bounty-for-h1", {"hold_id": "bounty-for-h1", "reason": "bounty"}
    stranger.ok("POST", "/holds", words | {"amount_tokens": 1})
    placed = owner.ok("POST", "/holds", words | {"amount_tokens": 70, "memo": "mine"})
    assert (placed["account_id"], placed["hold_id"], placed["held_tokens"]) == ("a", name, 70)
    assert owner.refused(409, "POST", "/holds", words | {"amount_tokens": 70}) == "HOLD_EXISTS"
    seen = {account: owner.ok("GET", f"/holds/{account}/{name}") for account in ("a", "b")}
    assert [(seen[one]["account_id"], seen[one]["amount_tokens"], seen[one]["memo"]) for one in seen] == [
        ("a", 70, "mine"),
        ("b", 1, ""),
    ]
    owner.refused(404, "GET", f"/holds/p/{name}")
    assert stranger.refused(403, "POST", f"/holds/a/{name}/release") == "NOT_PERMITTED"
    assert stranger.refused(403, "POST", f"/holds/a/{name}/capture", {"to_account_id": "b"}) == "NOT_PERMITTED"
    assert stranger.ok("POST", f"/holds/b/{name}/release")["released_tokens"] == 1
    assert town.exchange.hold(name, "a").status == "open"
    paid = owner.ok("POST", f"/holds/a/{name}/capture", {"to_account_id": "p", "amount_tokens": 60})
    assert (paid["account_id"], paid["captured_tokens"], paid["released_tokens"]) == ("a", 60, 10)
    assert [town.exchange.hold(name, one).status for one in ("a", "b")] == ["captured", "released"]
    assert [town.exchange.wallet(one).balance_tokens for one in ("a", "b", "p")] == [9_940, 10_000, 60]
    assert town.exchange.verify().ok


def test_stakes_and_bounties_of_one_name_live_side_by_side(town: Served) -> None:
    """HLD-1, RES-9: the bounty `bounty-for-h1` of two posters, a stake of the same name, and each one's end."""
    stranger, owner, worker = Told(town, bid=("b",)), Told(town, bid=("a",)), Told(town, bid=("w",))
    town.exchange.open_account("w")
    name = "bounty-for-h1"
    for teller, tokens in ((stranger, 1), (owner, 80)):
        bounty = {"bounty_id": name, "tokens": tokens, "expires_at": LATE}
        teller.ok("POST", "/artifacts/h1/bounties", bounty)
        teller.ok("POST", "/artifacts/h1/stakes", {"stake_id": "belief", "tokens": 10 * tokens})
    assert owner.ok("GET", "/artifacts/h1/budget")["bounty_tokens"] == 81
    rows = owner.ok("GET", "/bounties")["items"]
    assert [(row["bounty_source"], row["bounty_id"], row["tokens_offered"]) for row in rows] == [
        ("a", name, 80),
        ("b", name, 1),
    ]
    assert worker.ok("POST", f"/bounties/a/{name}/claim")["tokens_offered"] == 80
    assert [owner.ok("GET", f"/bounties/{one}/{name}")["status"] for one in ("a", "b")] == ["claimed", "open"]
    for method, path, body in (
        ("POST", f"/bounties/a/{name}/pay", {}),
        ("DELETE", "/stakes/a/belief", None),
    ):
        assert stranger.refused(403, method, path, body) == "NOT_PERMITTED"
    # It is the owner's claim that stands in the way of the owner's.
    stranger.ok("DELETE", f"/bounties/b/{name}")
    owner.refused(409, "DELETE", f"/bounties/a/{name}")
    stranger.ok("DELETE", "/stakes/b/belief")
    assert town.exchange.hold("belief", "a").status == "open"
    assert owner.ok("POST", f"/bounties/a/{name}/pay", {})["captured_tokens"] == 80
    assert town.exchange.wallet("w").balance_tokens == 80
    assert owner.ok("DELETE", "/stakes/a/belief")["released_tokens"] == 800


def test_retries_are_distinguished_by_owner_too(town: Served) -> None:
    """IDM-1: one Idempotency-Key for the ends of two slots of one name are two commands under one id."""
    staff = Told(town, operate=True)
    for provider_id in ("p", "q"):
        town.exchange.offer_slot("m", "s", provider_id=provider_id)
    headers = {"Idempotency-Key": "once"}

    def withdraw(provider_id: str) -> Any:
        return town.ask("DELETE", f"/api/v1/slots/{provider_id}/s", key=staff.key, headers=headers)

    assert withdraw("p").status_code == 200
    assert withdraw("p").json()["repeated"]
    assert withdraw("q").json()["reason"] == "COMMAND_ID_REUSED"
    assert [slot.status for slot in town.exchange.slots("m").items] == ["withdrawn", "offered"]
