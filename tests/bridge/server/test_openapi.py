"""The OpenAPI document: complete, true, and to be tried on a page that needs no other host."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import jsonschema
import msgspec
import pytest

from callmarket import ManualClock
from callmarket.bridge import server
from callmarket.bridge.api.http.problem import MEDIA_TYPE
from callmarket.bridge.server.http_app import document, endpoints, router
from callmarket.bridge.server.openapi.document import operations
from callmarket.bridge.server.pages.docs import DOCUMENT_PATH, PAGE_PATH
from callmarket.bridge.server.pages.resources import RESOURCES_PATH
from tests.bridge.conftest import START_US
from tests.bridge.server.conftest import Served
from tests.support.cases import BY_ID, CASES, Case, each
from tests.support.markup import Page
from tests.support.small_market import at

TREE = document().tree
# Answers that are about the process or a list of words, and the stream, whose events have an id each.
WITHOUT_SEQ = {"healthz", "readyz", "problem_types", "problem_type", "events", "metrics"}
ASSETS = Path(server.__file__).parent / "pages" / "swagger_ui"


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """What a reference is about."""
    while "$ref" in node:
        _, *steps = node["$ref"].split("/")
        node = TREE
        for step in steps:
            node = node[step]
    return node


def success(case: Case) -> dict[str, Any]:
    (told,) = [told for status, told in case.said["responses"].items() if status.startswith("2")]
    return cast(dict[str, Any], told)


def result(case: Case) -> dict[str, Any]:
    """The shape of what a route returns."""
    return resolved(success(case)["content"]["application/json"]["schema"])


def shapes(node: Any) -> Iterator[dict[str, Any]]:
    """Every object in a document."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    for item in node if isinstance(node, list) else ():
        yield from shapes(item)


# --- complete ------------------------------------------------------------------------------------------------------


def test_the_document_needs_no_key(served: Served) -> None:
    told = served.ask("GET", DOCUMENT_PATH)
    assert (told.status_code, told.headers["content-type"]) == (200, "application/json")
    assert told.json() == TREE
    assert TREE["openapi"].startswith("3.1")


def test_the_document_has_every_route(served: Served) -> None:
    routes = {
        (endpoint.method, endpoint.template)
        for endpoint in router().endpoints
        if not endpoint.template.startswith((PAGE_PATH, RESOURCES_PATH, DOCUMENT_PATH))
    }
    assert routes == {(case.method, case.template) for case in CASES}


@each(*CASES)
def test_every_operation_says_what_it_does_and_how_it_can_end(case: Case) -> None:
    said = case.said
    assert said["summary"]
    assert said["description"]
    assert [tag for tag in TREE["tags"] if [tag["name"]] == said["tags"]]
    assert case.public == (said["tags"] == ["Service"])
    assert case.public or {"400", "401", "403", "429", "500", "503"} <= set(said["responses"])
    for status, response in said["responses"].items():
        told = resolved(response)
        assert told["description"]
        assert told["headers"]["Request-Id"]["required"]
        if status >= "400" and (case.operation_id, status) != ("readyz", "503"):
            assert list(told["content"]) == [MEDIA_TYPE]
    if case.changes and "504" in said["responses"]:
        assert "Idempotency-Key" in [parameter["name"] for parameter in said["parameters"]]


def test_descriptions_speak_of_statuses_and_not_of_errors_of_python() -> None:
    for _, path, said in operations(TREE):
        assert not re.search(r"\b[Rr]aises\b|`(NotFound|Conflict|Refused|Invalid|Forbidden)`", said["description"]), (
            path
        )


@each(*(case for case in CASES if case.body))
def test_every_field_of_a_body_is_described_or_named_for_what_it_is(case: Case) -> None:
    shape = resolved(case.said["requestBody"]["content"]["application/json"]["schema"])
    assert shape["description"]
    assert shape["additionalProperties"] is False
    for name, field in shape["properties"].items():
        bounded = field.keys() & {"$ref", "anyOf", "enum", "maxLength", "maximum", "maxItems", "format", "type"}
        assert bounded, name


def test_every_parameter_has_bounds_or_choices() -> None:
    for case in CASES:
        for parameter in case.said.get("parameters", ()):
            text = json.dumps(parameter["schema"])
            assert re.search('"(maxLength|maximum|enum|maxItems)"', text), (case.operation_id, parameter)


def test_names_and_patterns_are_valid_for_other_tools() -> None:
    for name in TREE["components"]["schemas"]:
        assert re.fullmatch("[A-Za-z0-9]+", name), name
    assert {"BidRowPage", "MarketRowPage"} <= set(TREE["components"]["schemas"])
    for shape in shapes(TREE):
        assert r"\Z" not in str(shape.get("pattern", ""))
        if "$ref" in shape:
            assert resolved(shape)


# --- true ----------------------------------------------------------------------------------------------------------

HOUR_US = 3_600_000_000
LATE = datetime(2200, 1, 1, tzinfo=UTC)

# What happens in one life of a market, each operation by its example. "slot" and "bid" are things made before it.
STORY: list[tuple[str, str]] = [
    ("open_market", ""),
    ("markets", ""),
    ("market", ""),
    ("open_account", ""),
    ("mint", ""),
    ("mint", ""),
    ("burn", ""),
    ("transfer", ""),
    ("wallets", ""),
    ("wallet", ""),
    ("statement", ""),
    ("earnings", ""),
    ("offer_slot", ""),
    ("slots", ""),
    ("quote", ""),
    ("place_bid", ""),
    ("place_bids", ""),
    ("bids", ""),
    ("bid", ""),
    ("amend_bid", ""),
    ("get_order_book", ""),
    ("clear_round", ""),
    ("why", ""),
    ("awards", ""),
    ("settle", ""),
    ("get_rounds", ""),
    ("get_recent_stats", ""),
    ("get_candles", ""),
    ("get_quest_budgets", ""),
    ("void", "award"),
    ("withdraw_slot", "slot"),
    ("cancel_bid", "bid"),
    ("place_hold", ""),
    ("holds", ""),
    ("capture_hold", ""),
    ("hold", ""),
    ("release_hold", "hold"),
    ("refund_unfilled", ""),
    ("put_artifact", ""),
    ("set_market_price", ""),
    ("artifacts", ""),
    ("artifact", ""),
    ("stake", ""),
    ("post_bounty", ""),
    ("bounties", ""),
    ("bounty", ""),
    ("compute_resource_budget", ""),
    ("get_resource_budget_rankings", ""),
    ("platform_resource_budgets", ""),
    ("record_resource_spending", ""),
    ("resource_allocations", ""),
    ("claim_bounty", ""),
    ("pay_bounty", ""),
    ("withdraw_bounty", "bounty"),
    ("unstake", ""),
    ("open_artifact_market", "pool"),
    ("freeze_artifact", ""),
    ("unfreeze_artifact", ""),
    ("artifact_markets", ""),
    ("artifact_market", ""),
    ("quote_open", ""),
    ("open_position", ""),
    ("platform_order", ""),
    ("platform_bid", ""),
    ("platform_book", ""),
    ("positions", ""),
    ("artifact_trades", ""),
    ("quote_close", ""),
    ("close_position", ""),
    ("platform_cancel", ""),
    ("orders", ""),
    ("cancel_order", "order"),
    ("artifact_trades", ""),
    ("preview_settlement", ""),
    ("decay_subsidy", "calm"),
    ("settle_artifact", "fresh"),
    ("get_portfolio", ""),
    ("compute_pnl", ""),
    ("compute_exposure", ""),
    ("compute_sharpe", ""),
    ("get_portfolio_days", ""),
    ("get_track_record", ""),
    ("get_top_performers", ""),
    ("platform_portfolio", ""),
    ("platform_leaderboard", ""),
    ("agent_id_to_address", ""),
    ("register_address", ""),
    ("export_ledger_for_chain", ""),
    ("ledger_months", ""),
    ("export_ledger_month", ""),
    ("import_chain_state", ""),
    ("whoami", ""),
    ("create_key", ""),
    ("list_keys", ""),
    ("revoke_key", ""),
    ("auction_order_book", ""),
    ("auction_stats", ""),
    ("platform_wallets", ""),
    ("token_earnings", ""),
    ("healthz", ""),
    ("readyz", ""),
    ("problem_types", ""),
    ("problem_type", ""),
]


def _make(served: Served, thing: str) -> dict[str, Any]:
    """What the next operation is about."""
    market = served.exchange
    if thing == "hold":
        market.place_hold("stake-2", "alpha", 5, "stake")
        return {"hold_id": "stake-2"}
    if thing in ("pool", "order", "calm", "fresh"):
        return _make_artifact_market(served, thing)
    if thing in ("slot", "award"):
        market.offer_slot("agents", "slot-1")
    if thing == "slot" or not thing:
        return {}
    if thing == "bounty":
        market.place_hold("bounty-2", "alpha", 5, "bounty", reference_type="artifact", reference_id="hypothesis-1")
        return {"bounty_id": "bounty-2"}
    bid_id = market.place_bid("agents", "alpha", f"for {thing}".replace(" ", "-"), 200).bid_id
    if thing == "award":
        market.clear_round("agents")
    return {"bid_id": bid_id}


def _make_artifact_market(served: Served, thing: str) -> dict[str, Any]:
    """What the next operation on an artifact market is about."""
    market = served.exchange
    match thing:
        case "pool":
            market.mint("lmsr_subsidy_pool", 1_000, "fund:markets")
            market.mint("alpha", 10_000, "grant:weekly")
            return {}
        case "order":
            made = market.open_position(
                "hypothesis-1", "alpha", "long", 5, limit_price=0.3, time_in_force="gtd", expires_at=LATE
            )
            return {"order_id": made.order_id}
        case "calm":
            market.open_artifact_market("calm", 10, closes_at=LATE, decay=2, exposure_limit=1)
            for _ in range(50):
                market.open_position("calm", "alpha", "long", 1)
            clock = served.exchange.node.time.stamp_us
            assert isinstance(clock, ManualClock)
            clock.set_us(START_US + HOUR_US)
            return {"artifact_id": "calm"}
        case _:
            # Whoever holds a part of one may not settle it.
            market.open_artifact_market("fresh", 10, closes_at=LATE)
            return {"artifact_id": "fresh"}


def test_every_example_works_and_is_answered_as_promised(served: Served) -> None:
    # The stream, the metrics, and what takes a process that calls markets, are tried against that (test_schemathesis).
    assert sorted({name for name, _ in STORY} | {"events", "metrics", "cycle", "set_cycle"}) == sorted(BY_ID)
    key = served.key(bid=("alpha",), operate=True, admin=True)
    served.exchange.open_account("beta")
    values: dict[str, Any] = {}
    for name, thing in STORY:
        case = BY_ID[name]
        values |= _make(served, thing)
        more = {"params": {"market_id": "agents"}} if name.startswith("auction_") else {}
        # Nobody claims a bounty of his own.
        account = "beta" if name == "claim_bounty" else ""
        # Within a month of the time of this market.
        body = {"json": {"until": at(START_US + HOUR_US).isoformat()}} if name == "freeze_artifact" else case.body
        told = served.ask(case.method, case.at(**values), key=key, account=account, **body, **more)
        assert told.status_code < 300, (name, told.status_code, told.text)
        promised = case.said["responses"][str(told.status_code)]
        assert told.headers["content-type"] in promised["content"], name
        assert told.headers["request-id"], name
        answer = told.json()
        shape = promised["content"]["application/json"]["schema"] | {"components": TREE["components"]}
        jsonschema.validate(answer, shape, jsonschema.Draft202012Validator)
        if name not in WITHOUT_SEQ:
            check_places(answer)
        check_times(answer)
        values |= {"bid_id": answer["bid_id"]} if name == "place_bid" else {}
        values |= {"key_id": answer["view"]["key_id"]} if name == "create_key" else {}
    assert served.exchange.markets().items[0].rounds_called == 2


def check_places(answer: Any) -> None:
    """An answer says its place in history, and up to where that is durable."""
    for one in answer if isinstance(answer, list) else [answer]:
        place = one.get("stamp", one)
        assert 0 < place["seq"] <= place["durable_seq"], one


def check_times(answer: Any) -> None:
    """Every time has a zone."""
    for shape in shapes(answer):
        for name, value in shape.items():
            if value is not None and re.search("(^|_)(at|until)$", name):
                assert datetime.fromisoformat(value).tzinfo is not None, (name, value)


@each(*(case for case in CASES if case.operation_id not in WITHOUT_SEQ))
def test_every_success_carries_seq_and_durable_seq(case: Case) -> None:
    shape = result(case)
    parts = [resolved(part) for part in shape["items"]["anyOf"]] if shape["type"] == "array" else [shape]
    for part in parts:
        place = resolved(part["properties"]["stamp"]) if "stamp" in part["properties"] else part
        assert {"seq", "durable_seq"} <= set(place["properties"]), part["title"]


@each(*(case for case in CASES if case.operation_id not in WITHOUT_SEQ))
def test_lists_are_pages(case: Case) -> None:
    shape = result(case)
    assert shape["type"] == "object" or case.operation_id == "place_bids"
    if "items" in shape.get("properties", {}):
        assert set(shape["properties"]) == {"items", "next", "seq", "durable_seq"}


def test_times_have_the_format_date_time() -> None:
    for inner in TREE["components"]["schemas"].values():
        for name, field in inner.get("properties", {}).items():
            if re.search("(^|_)(at|until)$", name):
                assert "date-time" in json.dumps(field), (inner["title"], name)


def test_examples_match_the_bodies(served: Served) -> None:
    for one in (endpoint.declaration for endpoint in endpoints()):
        assert (one.example is None) == (one.body is None), one.name
        if one.body is not None:
            assert msgspec.json.decode(msgspec.json.encode(one.example), type=one.body), one.name


# --- strict --------------------------------------------------------------------------------------------------------


def test_an_unknown_parameter_is_refused(served: Served) -> None:
    key = served.key(admin=True)
    for case in CASES:
        path = case.path + ("&" if "?" in case.path else "?")
        told = served.ask(case.method, path + "limt=3", key=key, **case.body)
        assert (told.status_code, told.json()["field"]) == (400, "limt"), (case, told.text)


def test_a_parameter_given_twice_is_refused_unless_it_is_a_list(served: Served) -> None:
    key = served.key()
    told = served.ask("GET", "/api/v1/bids?limit=3&limit=4", key=key)
    assert (told.status_code, told.json()["field"]) == (400, "limit")
    assert {name: option.several for name, option in document().options["events"].items()} == {
        "after_seq": False,
        "market_id": True,
        "kind": True,
        "bidder_id": False,
        "artifact_id": True,
    }


def test_a_405_response_lists_the_allowed_methods(served: Served) -> None:
    key = served.key()
    for method in ("PUT", "OPTIONS", "TRACE", "PROPFIND"):
        told = served.ask(method, "/api/v1/bids/7", key=key)
        assert (told.status_code, told.headers["content-type"]) == (405, MEDIA_TYPE), method
        assert set(told.headers["allow"].split(", ")) == {"GET", "HEAD", "PATCH", "DELETE"}, method


def test_an_empty_idempotency_key_is_refused(served: Served) -> None:
    bid = {"json": {"task_id": "t", "max_price_tokens": 10}, "headers": {"Idempotency-Key": ""}}
    for path in ("/api/v1/markets/m/bids", "/api/v1/markets/m/bids?ack=durable"):
        told = served.ask("POST", path, key=served.key(bid=("a",)), **bid)
        assert (told.status_code, told.json()["field"]) == (400, "Idempotency-Key")


# --- other paths ---------------------------------------------------------------------------------------------------


def test_the_platforms_paths_give_the_same_answers(served: Served) -> None:
    """AUC-10, RES-7, PRT-8: under the names that a platform calls, and a market may be left out where it is alone."""
    key = served.key()
    for one, other in (
        ("/api/compute-auction/order-book", "/api/v1/markets/m/order-book"),
        ("/api/compute-auction/stats", "/api/v1/markets/m/stats"),
        ("/api/wallets", "/api/v1/wallets"),
        ("/api/market/resource-budgets", "/api/v1/resource-budgets"),
        ("/api/portfolio/leaderboard", "/api/v1/leaderboard"),
    ):
        assert served.ask("GET", one, key=key).json() == served.ask("GET", other, key=key).json()
    served.exchange.open_market("n")
    told = served.ask("GET", "/api/compute-auction/order-book", key=key)
    assert (told.status_code, told.json()["field"]) == (400, "market_id")
    told = served.ask("GET", "/api/compute-auction/order-book?market_id=n", key=key)
    assert told.json()["market_id"] == "n"


# --- the page ------------------------------------------------------------------------------------------------------


def test_the_page_loads_nothing_from_elsewhere(served: Served) -> None:
    told = served.ask("GET", PAGE_PATH)
    assert (told.status_code, told.headers["content-type"]) == (200, "text/html; charset=utf-8")
    page = Page()
    page.feed(told.text)
    assert page.inline == ""
    local = [source for source in page.sources if source != "data:,"]
    assert len(local) == 3
    for source in local:
        assert source.startswith(PAGE_PATH + "/"), source
        part = served.ask("GET", source)
        assert part.status_code == 200, source
    assert "//" not in served.ask("GET", f"{PAGE_PATH}/page.js").text


def test_the_page_is_not_allowed_to_load_anything_from_elsewhere(served: Served) -> None:
    told = served.ask("GET", PAGE_PATH)
    rules = dict(rule.split(" ", 1) for rule in told.headers["content-security-policy"].split("; "))
    assert rules["default-src"] == "'none'"
    sources = {source for rule in rules.values() for source in rule.split()}
    assert sources <= {"'none'", "'self'", "data:", "'unsafe-inline'"}
    assert rules["script-src"] == rules["connect-src"] == "'self'"
    assert told.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["swagger-ui-bundle.js", "swagger-ui.css"])
def test_bundled_files_match_their_readme(served: Served, name: str) -> None:
    for encoding in ("gzip", "identity"):
        told = served.ask("GET", f"{PAGE_PATH}/{name}", headers={"Accept-Encoding": encoding})
        assert told.headers.get("content-encoding", "identity") == encoding
        assert sha256(told.content).hexdigest() in (ASSETS / "README.md").read_text(encoding="utf-8")
    assert (ASSETS / "LICENSE").stat().st_size > 10_000
