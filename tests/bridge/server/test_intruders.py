"""Getting in where one does not belong: every route, by everybody who should not, and nothing has changed after it.

The table of routes is the OpenAPI document's, which is the application's: a new route is tried without being named
here, and it fails `test_every_route_has_a_rule_of_access` until somebody has said who may use it.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import msgspec
import pytest

from callmarket import ManualClock
from callmarket.bridge.api.units import datetime_of
from callmarket.bridge.fleet.research import post_bounty, stake
from callmarket.bridge.server.http import intake
from callmarket.bridge.server.http.intake import BODY_BYTES_MAX
from tests.bridge.server.conftest import Served
from tests.support.cases import BY_ID, CASES, Case

STAFF = {"operate", "admin"}
# Which scopes let one through to the market's own rules; whatever is not here, a key with `read` may.
MAY: dict[str, set[str]] = {
    "open_market": STAFF,
    "clear_round": STAFF,
    "refund_unfilled": STAFF,
    "set_cycle": STAFF,
    "offer_slot": STAFF | {"offer"},
    "withdraw_slot": STAFF | {"offer"},
    "void": STAFF | {"offer"},
    "settle": STAFF | {"offer", "bid"},
    "place_bid": {"bid", "admin"},
    "place_bids": {"bid", "admin"},
    "amend_bid": {"bid", "admin"},
    "cancel_bid": {"bid", "admin"},
    "transfer": {"bid", "admin"},
    "stake": {"bid", "admin"},
    "unstake": {"bid", "admin"},
    "post_bounty": {"bid", "admin"},
    "claim_bounty": {"bid", "admin"},
    "pay_bounty": {"bid", "admin"},
    "withdraw_bounty": {"bid", "admin"},
    "put_artifact": STAFF,
    "set_market_price": STAFF,
    "record_resource_spending": STAFF,
    "place_hold": {"bid", "admin"},
    "capture_hold": {"bid", "admin"},
    "release_hold": {"bid", "admin"},
    "open_artifact_market": STAFF,
    "decay_subsidy": STAFF,
    # The arbiter is an account, so the engine is asked whether it is this one.
    "freeze_artifact": STAFF | {"bid"},
    "unfreeze_artifact": STAFF | {"bid"},
    "settle_artifact": STAFF | {"bid"},
    "open_position": {"bid", "admin"},
    "close_position": {"bid", "admin"},
    "cancel_order": {"bid", "admin"},
    "platform_order": {"bid", "admin"},
    "platform_bid": {"bid", "admin"},
    "platform_cancel": {"bid", "admin"},
    "open_account": {"admin"},
    "mint": {"admin"},
    "register_address": {"admin"},
    "import_chain_state": {"admin"},
    "burn": {"admin"},
    "create_key": {"admin"},
    "list_keys": {"admin"},
    "revoke_key": {"admin"},
}
RESERVED = ("admin", "operator", "issuance", "treasury", "capital_escrow", "lmsr_subsidy_pool")
OF_A = {"artifact_id": "h1", "stake_id": "stake-a", "bounty_id": "bounty-a"}
BEHIND = [case for case in CASES if not case.public]


class Town:
    """A market with something to take: `a` has a bid, an award and a hold, `p` sold it; `b` and `q` are strangers.

    Of `b` the admin has set something aside.
    """

    def __init__(self, served: Served) -> None:
        market = self.market = served.exchange
        self.served = served
        market.open_account("q", "provider")
        rewards = {"reward_tokens_per_impact": 10, "reward_cap_tokens": 1_000, "reward_day_cap_tokens": 1_000}
        market.open_market("paying", **rewards)
        market.mint("treasury", 10_000, "fund:rewards")
        for market_id, slot_id in (("m", "slot-1"), ("paying", "slot-2")):
            market.offer_slot(market_id, slot_id, provider_id="p")
            market.place_bid(market_id, "a", "won", 100)
            market.clear_round(market_id)
        market.offer_slot("m", "slot-3", provider_id="p")
        self.bid_id = market.place_bid("m", "a", "open", 90).bid_id
        market.put_artifact("h1", "hypothesis")
        stake(market, "stake-a", "a", "h1", 200)
        for bounty_id in ("bounty-a", "claimed-a"):
            post_bounty(market, bounty_id, "a", "h1", 50, expires_at=datetime(2100, 1, 1, tzinfo=UTC))
        market.claim_bounty("claimed-a", "a", "b")
        market.place_hold("stake-1", "a", 10, "stake")
        market.acting_as("admin").place_hold("kept", "b", 10, "stake")
        later = datetime(2100, 1, 1, tzinfo=UTC)
        market.mint("lmsr_subsidy_pool", 1_000, "fund:markets")
        market.open_artifact_market("h1", 70, closes_at=later, arbiter_id="q")
        market.open_position("h1", "a", "long", 100)
        market.open_position("h1", "a", "long", 50, limit_price=0.2, time_in_force="gtd", expires_at=later)
        self.keys = {
            "read": served.key(),
            "bid": served.key(bid=("b",)),
            "offer": served.key(offer=("q",)),
            "operate": served.key(operate=True),
            "admin": served.key(admin=True),
        }
        self.owner = served.key(bid=("a",))
        self.anybody = served.key(bid=("*",), offer=("*",))
        self.before = self.now()

    def now(self) -> Any:
        """All that somebody could want to change; refusals may be recorded, so `seq` is not in it."""
        market = self.market
        bids = [(bid.bid_id, bid.status, bid.max_price_tokens) for bid in market.bids().items]
        slots = [(slot.slot_id, slot.status) for name in ("m", "paying") for slot in market.slots(name).items]
        accounts = market.read(
            lambda state: [(name, one.balance_tokens, one.held_tokens) for name, one in state.ledger.accounts.items()]
        )
        keys = {(view.key_id, view.works) for view in self.served.keyring.views()}
        bounties = [(one.bounty_id, one.status, one.claimant_id) for one in market.bounties().items]
        budgets = market.artifacts().items, market.get_resource_budget_rankings().items, bounties
        holds = [(hold.hold_id, hold.status) for hold in market.holds().items]
        artifacts = market.artifact_market("h1"), market.positions("a").items, market.orders("a").items
        traded = msgspec.structs.replace(artifacts[0], seq=0, durable_seq=0), *artifacts[1:]
        names = [row.market_id for row in market.markets().items]
        return budgets, bids, slots, accounts, holds, names, keys, traded

    def refused(self, told: httpx2.Response, *statuses: int) -> None:
        """It was refused as it should be, in the words of RFC 9457, and nothing has changed."""
        assert told.status_code in statuses, (told.request, told.status_code, told.text)
        assert told.headers["content-type"] == "application/problem+json"
        assert told.json()["status"] == told.status_code

    def untouched(self) -> None:
        """Nothing that anybody owns is other than it was."""
        assert self.now() == self.before


@pytest.fixture
def town(served: Served) -> Iterator[Town]:
    """The town; whatever a test did, it is as it was."""
    place = Town(served)
    yield place
    place.untouched()


def at(town: Town, case: Case) -> str:
    """A route, about the things of the town."""
    return case.at(
        market_id="m",
        account_id="a",
        from_account_id="a",
        bid_id=town.bid_id,
        slot_id="slot-1",
        key_id="0" * 12,
        **OF_A,
    )


def test_every_route_has_a_rule_of_access() -> None:
    """A new route that changes something has to be put into the table."""
    assert {case.operation_id for case in CASES if case.changes} <= set(MAY)
    assert set(MAY) <= set(BY_ID)
    assert {case.operation_id for case in CASES if case.public} == {
        "healthz",
        "readyz",
        "problem_types",
        "problem_type",
    }


def test_no_route_answers_without_a_key_that_works(town: Town, clock: ManualClock) -> None:
    served = town.served
    revoked = served.key(admin=True)
    served.keyring.revoke(revoked[4:16])
    expired = served.key(admin=True, expires_at=datetime_of(clock()) + timedelta(seconds=1))
    # The town's time stands still; the key's is over all the same.
    served.keyring._clock = lambda: clock() + 2_000_000  # type: ignore[misc]
    good = town.keys["admin"]
    bad = {
        "none": None,
        "empty": b"",
        "no scheme": good.encode(),
        "another scheme": b"Basic " + good.encode(),
        "no key": b"Bearer",
        "nobody's": b"Bearer cmk_" + b"A" * 12 + b"_" + b"B" * 43,
        "another's secret": f"Bearer {good[:17]}{town.owner[17:]}".encode(),
        "too short": f"Bearer {good[:-1]}".encode(),
        "too long": f"Bearer {good}0".encode(),
        "very long": b"Bearer " + b"x" * 60_000,
        "not ASCII": f"Bearer {good[:-1]}é".encode(),
        "line break": f"Bearer {good}\r\nX: y".encode(),
        "two in one": f"Bearer {town.owner}, Bearer {good}".encode(),
        "NUL": f"Bearer {good}\0".encode(),
        "revoked": f"Bearer {revoked}".encode(),
        "expired": f"Bearer {expired}".encode(),
    }
    town.before = town.now()
    for number, case in enumerate(BEHIND):
        for name, value in bad.items():
            headers = [] if value is None else [(b"authorization", value)]
            # Each from an address of its own, so that it is the key that is refused and not the number of tries.
            told = served.ask(case.method, at(town, case), more_headers=headers, peer=f"10.1.{number}.1", **case.body)
            assert told.status_code in (401, 429), (case.operation_id, name, told.status_code, told.text)
            assert "cmk_A" not in told.text
            assert told.status_code == 429 or told.headers["www-authenticate"].startswith("Bearer")
    town.untouched()


def test_no_scope_does_what_another_is_for(town: Town) -> None:
    for case in BEHIND:
        for scope in town.keys.keys() - MAY.get(case.operation_id, set(town.keys)):
            told = town.served.ask(case.method, at(town, case), key=town.keys[scope], **case.body)
            town.refused(told, 403)
    town.untouched()


def test_no_key_changes_what_belongs_to_another(town: Town) -> None:
    """AUC-21: bids, awards, slots and wallets of others, by their id, by header, by field and by parameter."""
    bid = {"task_id": "t", "max_price_tokens": 5}
    done = {"actual_cost_tokens": 1, "actual_impact": 1.0}
    hold = {"hold_id": "h", "amount_tokens": 1, "reason": "stake"}
    bids, slots = "/api/v1/markets/m/bids", "/api/v1/markets/m/slots"
    order, settled = {"side": "no", "amount_tokens": 1}, {"settled_as": "void"}
    attacks: list[tuple[str, str, str, Any, str, int]] = [
        *(
            (scope, method, path, body, account, 403)
            for scope, account in (("bid", ""), ("bid", "a"), ("operate", ""))
            for method, path, body in (
                ("POST", "/api/v1/positions/1/close", {}),
                ("DELETE", "/api/positions/1", None),
                ("DELETE", "/api/v1/orders/2", None),
            )
        ),
        ("bid", "POST", "/api/v1/artifacts/h1/positions", order, "a", 403),
        ("bid", "POST", "/api/v1/artifacts/h1/positions", order | {"account_id": "a"}, "", 400),
        ("bid", "POST", "/api/market/order", order | {"artifact_id": "h1", "account_id": "a"}, "", 400),
        ("bid", "POST", "/api/market/bid", order | {"artifact_id": "h1"}, "a", 403),
        ("bid", "POST", "/api/v1/artifacts/h1/settle", settled, "", 403),
        ("bid", "POST", "/api/v1/artifacts/h1/settle", settled, "q", 403),
        ("bid", "POST", "/api/v1/artifacts/h1/unfreeze", None, "", 403),
        # To offer slots for the arbiter is no right to judge for it.
        ("offer", "POST", "/api/v1/artifacts/h1/settle", settled, "q", 403),
        ("bid", "POST", "/api/v1/wallets/lmsr_subsidy_pool/transfers", _pay("b"), "", 403),
        ("bid", "DELETE", f"/api/v1/bids/{town.bid_id}", None, "", 403),
        ("bid", "PATCH", f"/api/v1/bids/{town.bid_id}", {"max_price_tokens": 1}, "", 403),
        ("bid", "DELETE", f"/api/v1/bids/{town.bid_id}", None, "a", 403),
        ("bid", "POST", "/api/v1/slots/p/slot-1/settle", done, "", 403),
        ("bid", "POST", "/api/v1/slots/p/slot-1/settle", done, "a", 403),
        ("bid", "POST", "/api/v1/slots/p/slot-1/void", {}, "a", 403),
        ("bid", "POST", bids, bid, "a", 403),
        ("bid", "POST", bids, bid | {"bidder_id": "a"}, "", 400),
        ("bid", "POST", f"{bids}/batch", {"bids": [bid | {"bidder_id": "a"}]}, "", 400),
        ("bid", "POST", f"{bids}?bidder_id=a", bid, "", 400),
        ("bid", "POST", "/api/v1/wallets/a/transfers", _pay("b"), "", 403),
        ("bid", "POST", "/api/v1/wallets/a/transfers", _pay("b"), "a", 403),
        ("bid", "POST", "/api/v1/wallets/b/transfers", _pay("a") | {"from_account_id": "a"}, "", 400),
        ("bid", "DELETE", "/api/v1/stakes/a/stake-a", None, "", 403),
        ("bid", "DELETE", "/api/v1/stakes/a/stake-a", None, "a", 403),
        ("bid", "DELETE", "/api/v1/bounties/a/bounty-a", None, "", 403),
        ("bid", "POST", "/api/v1/bounties/a/claimed-a/pay", {}, "", 403),
        ("bid", "POST", "/api/v1/bounties/a/bounty-a/claim", None, "a", 403),
        ("bid", "POST", "/api/v1/bounties/a/bounty-a/claim?account_id=a", None, "", 400),
        ("bid", "POST", "/api/v1/artifacts/h1/stakes", {"stake_id": "s", "tokens": 1}, "a", 403),
        ("bid", "POST", "/api/v1/artifacts/h1/stakes", {"stake_id": "s", "tokens": 1, "account_id": "a"}, "", 400),
        ("operate", "DELETE", "/api/v1/bounties/a/bounty-a", None, "", 403),
        ("bid", "POST", "/api/v1/holds", hold, "a", 403),
        ("bid", "POST", "/api/v1/holds", hold | {"account_id": "a"}, "", 400),
        ("bid", "POST", "/api/v1/holds/a/stake-1/capture", {"to_account_id": "b"}, "", 403),
        ("bid", "POST", "/api/v1/holds/a/stake-1/capture", {"to_account_id": "b"}, "a", 403),
        ("bid", "POST", "/api/v1/holds/a/stake-1/release", None, "", 403),
        ("bid", "POST", "/api/v1/holds/b/kept/capture", {"to_account_id": "a"}, "", 403),
        ("bid", "POST", "/api/v1/holds/b/kept/release", None, "b", 403),
        ("operate", "POST", "/api/v1/holds/a/stake-1/capture", {"to_account_id": "b"}, "", 403),
        ("offer", "DELETE", "/api/v1/slots/p/slot-3", None, "", 403),
        ("offer", "DELETE", "/api/v1/slots/p/slot-3", None, "p", 403),
        ("offer", "POST", "/api/v1/slots/p/slot-1/settle", done, "", 403),
        ("offer", "POST", "/api/v1/slots/p/slot-1/void", {}, "", 403),
        ("offer", "POST", "/api/v1/slots/p/slot-1/void", {}, "p", 403),
        ("offer", "POST", slots, {"slot_id": "s"}, "p", 403),
        ("offer", "POST", slots, {"slot_id": "s", "provider_id": "p"}, "", 400),
        ("offer", "POST", "/api/v1/wallets/q/transfers", _pay("b"), "", 403),
        ("operate", "POST", "/api/v1/wallets/a/transfers", _pay("b"), "", 403),
        ("operate", "POST", bids, bid, "a", 403),
        ("operate", "POST", "/api/v1/keys", {"name": "mine", "admin": True}, "", 403),
    ]
    for scope, method, path, body, account, status in attacks:
        more = {} if body is None else {"json": body}
        told = town.served.ask(method, path, key=town.keys[scope], account=account, **more)
        town.refused(told, status)
        town.untouched()


def _pay(account_id: str) -> dict[str, Any]:
    return {"to_account_id": account_id, "amount_tokens": 1, "reason": "gift:forced"}


def test_the_winner_does_not_make_up_the_impact_it_is_paid_for(town: Town) -> None:
    body = {"actual_cost_tokens": 1, "actual_impact": 9_000_000.0}
    for account in ("", "a"):
        told = town.served.ask("POST", "/api/v1/slots/p/slot-2/settle", key=town.owner, account=account, json=body)
        town.refused(told, 403)


@pytest.mark.parametrize("name", RESERVED)
def test_nobody_acts_as_the_market_itself(town: Town, name: str) -> None:
    """Not even who may bid and offer for every account."""
    keys = [town.anybody, *(town.keys[scope] for scope in ("read", "bid", "offer"))]
    for case in (case for case in BEHIND if case.changes):
        for key in keys:
            if case.operation_id == "offer_slot" and name == "treasury":
                continue  # it sells slots like anybody who provides them
            path = case.at(
                market_id="m",
                account_id=name,
                from_account_id=name,
                bid_id=town.bid_id,
                slot_id="slot-1",
                key_id="0" * 12,
                **OF_A,
            )
            told = town.served.ask(case.method, path, key=key, account=name, **case.body)
            town.refused(told, 403)
    town.untouched()


def test_a_duplicate_header_is_refused(town: Town) -> None:
    good, other = f"Bearer {town.owner}".encode(), f"Bearer {town.keys['read']}".encode()
    bid = {"json": {"task_id": "t", "max_price_tokens": 5}}
    pairs = {
        b"authorization": [(good, other), (other, good), (good, good), (b"", good)],
        b"callmarket-account": [(b"a", b"b"), (b"b", b"a"), (b"", b"a")],
        b"idempotency-key": [(b"1", b"2"), (b"", b"2")],
    }
    for path in ("/api/v1/markets/m/bids", "/api/v1/markets/m/bids?ack=durable"):
        for name, values in pairs.items():
            for pair in values:
                headers = [(name, value) for value in pair]
                key = None if name == b"authorization" else town.owner
                told = town.served.ask("POST", path, key=key, more_headers=headers, **bid)
                town.refused(told, 400)


def test_odd_accounts_and_idempotency_keys_are_refused(town: Town) -> None:
    bid = {"json": {"task_id": "t", "max_price_tokens": 5}}
    odd = [b"", b" ", b"a b", b"a\0", b"a\r\nX: y", "é".encode(), b"x" * 129, b"x" * 60_000, b"*/*\n"]
    for name in (b"callmarket-account", b"idempotency-key"):
        for value in odd:
            told = town.served.ask(
                "POST", "/api/v1/markets/m/bids", key=town.owner, more_headers=[(name, value)], **bid
            )
            town.refused(told, 400)


BOMBS: dict[str, bytes] = {
    "one byte too many": b" " * (BODY_BYTES_MAX + 1),
    "brackets": b"[" * 100_000,
    "objects": b'{"task_id":' * 90_000,
    "in a field": b'{"task_id": ' + b"[" * 100_000 + b"]" * 100_000 + b', "max_price_tokens": 1}',
    "unknown and deep": b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "a million digits": b'{"task_id": "t", "max_price_tokens": ' + b"9" * 1_000_000 + b"}",
    "a million digits of impact": b'{"actual_cost_tokens": 1, "actual_impact": 1' + b"0" * 1_000_000 + b"}",
    "an exponent": b'{"actual_cost_tokens": 1, "actual_impact": 1e999999999}',
    "NaN": b'{"actual_cost_tokens": 1, "actual_impact": NaN}',
    "Infinity": b'{"actual_cost_tokens": 1, "actual_impact": -Infinity}',
    "a long name": b'{"task_id": "' + b"t" * 500_000 + b'", "max_price_tokens": 1}',
    "half a sign": b'{"task_id": "\\ud800", "max_price_tokens": 1}',
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "two documents": b'{"task_id": "t", "max_price_tokens": 1}{"task_id": "u", "max_price_tokens": 1}',
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_body_that_is_a_bomb_is_refused(town: Town, name: str) -> None:
    paths = ["/markets/m/bids", "/markets/m/bids?ack=durable", "/markets/m/bids/batch", "/slots/p/slot-1/settle"]
    for path in paths:
        headers = {"Content-Encoding": "gzip"} if name == "gzip" else {}
        told = town.served.ask("POST", f"/api/v1{path}", key=town.owner, content=BOMBS[name], headers=headers)
        town.refused(told, 413 if len(BOMBS[name]) > BODY_BYTES_MAX else 400)
        assert len(told.content) < 2_000, "what was sent is shown back in short"


TWICE: dict[str, tuple[str, bytes]] = {
    "the same": ("max_price_tokens", b'{"task_id": "t", "max_price_tokens": 5, "max_price_tokens": 5}'),
    "another": ("max_price_tokens", b'{"max_price_tokens": 7, "task_id": "t", "max_price_tokens": 5}'),
    "escaped": ("task_id", b'{"task_id": "t", "max_price_tokens": 5, "task\\u005fid": "u"}'),
    "beside escaped marks": ("task_id", b'{"task_id": "\\u0022\\u0022", "task_id": "\\"", "max_price_tokens": 5}'),
    "null": ("ttl_at", b'{"task_id": "t", "max_price_tokens": 5, "ttl_at": null, "ttl_at": null}'),
}


@pytest.mark.parametrize("name", TWICE)
def test_a_duplicate_field_is_refused(town: Town, name: str) -> None:
    """At any depth, and however it is written: JSON parsers take the first, the last or both."""
    field, body = TWICE[name]
    for path in ("/markets/m/bids", "/markets/m/bids?ack=durable"):
        told = town.served.ask("POST", f"/api/v1{path}", key=town.owner, content=body)
        town.refused(told, 400)
        assert (told.json()["field"], told.json()["value"]) == (field, "twice")
    batch = b'{"bids": [{"task_id": "first", "max_price_tokens": 5}, %b]}' % body
    told = town.served.ask("POST", "/api/v1/markets/m/bids/batch", key=town.owner, content=batch)
    town.refused(told, 400)
    told = town.served.ask("POST", "/api/v1/markets/m/bids/batch", key=town.owner, content=b'{"bids": [], "bids": []}')
    town.refused(told, 400)


def test_quotes_in_a_name_are_no_second_field(served: Served) -> None:
    for number, task_id in enumerate(('a"b', '":"', "\\", '\\"', '"max_price_tokens":5')):
        body = {"task_id": task_id, "max_price_tokens": 5 + number}
        told = served.ask("POST", "/api/v1/markets/m/bids", key=served.key(bid=("a",)), json=body)
        assert (told.status_code, told.json()["held_tokens"]) == (201, 5 + number)


def test_a_body_that_never_comes_is_not_waited_for(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "BODY_S_MAX", 0.05)

    async def dripping() -> AsyncIterator[bytes]:
        for _ in range(1_000):
            yield b" "
            await asyncio.sleep(0.01)

    for path in ("/api/v1/markets/m/bids", "/api/v1/markets/m/bids?ack=durable"):
        told = town.served.ask("POST", path, key=town.owner, content=dripping())
        town.refused(told, 408)
