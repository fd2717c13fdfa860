"""`/metrics`: what Prometheus is told of a market whose history is known.

Goal: every figure is that of the market, in a format that Prometheus reads, with labels that cannot grow for ever.
Method: the service behind its front; the text is read by the client library's own parser.
"""

from prometheus_client.parser import text_string_to_metric_families

from callmarket.engine import limits
from tests.bridge.server.conftest import Served

Series = dict[tuple[str, ...], float]


def scraped(served: Served) -> dict[str, Series]:
    """Every series by its name and the values of its labels in the order of their names."""
    told = served.ask("GET", "/metrics", key=served.key())
    assert told.status_code == 200
    assert told.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found: dict[str, Series] = {}
    for family in text_string_to_metric_families(told.text):
        assert family.documentation, family.name
        for sample in family.samples:
            key = tuple(sample.labels[name] for name in sorted(sample.labels))
            found.setdefault(sample.name.removeprefix("callmarket_"), {})[key] = sample.value
    return found


def test_metrics_need_a_key(served: Served) -> None:
    assert served.ask("GET", "/metrics").status_code == 401


def test_metrics_match_the_market(served: Served) -> None:
    market = served.exchange
    market.offer_slot("m", "s1")
    market.offer_slot("m", "s2")
    market.place_bid("m", "a", "t1", 50)
    market.place_bid("m", "b", "t2", 70)
    market.place_bid("m", "b", "t3", 40)
    before = scraped(served)
    assert before["bids_open"][("m",)] == 3
    assert before["slots_offered"][("m",)] == 2
    assert before["awards_live"][("m",)] == 0
    assert before["tokens_in_circulation"][()] == 20_000
    assert "clearing_price_tokens" not in before, "there was no call"

    cleared = market.clear_round("m")
    market.offer_slot("m", "s3")
    market.clear_round("m")
    after = scraped(served)
    assert after["bids_open"][("m",)] == 0
    assert after["slots_offered"][("m",)] == 1
    assert after["awards_live"][("m",)] == 2
    assert after["clearing_price_tokens"][("m",)] == cleared.clearing_price_tokens == 40
    assert after["awards_total"][("m",)] == 2
    assert after["rounds_total"][("m",)] == 2
    assert after["fill_rate"][("m",)] == 2 / 3
    assert after["commands_total"]["clear_round", "done"] == 2
    assert after["ack_seconds_count"][()] == after["apply_seconds_bucket"]["+Inf",] > 0
    assert after["role"] == {("leader",): 1, ("standby",): 0, ("ended",): 0}
    assert after["durable_seq"][()] == after["applied_seq"][()] == market.node.applied_seq
    assert after["epoch"][()] == 1
    assert after["keys"][()] >= 2
    assert after["process_open_fds"][()] > 0


def test_metrics_have_demurrage(served: Served) -> None:
    told = served.demurrage
    told.charges, told.tokens, told.refused, told.failures = 3, 40, 2, 1
    found = scraped(served)
    names = ("charges", "tokens", "refused", "failures")
    assert [found[f"demurrage_{name}_total"][()] for name in names] == [3, 40, 2, 1]


def test_the_age_of_the_last_proven_restore_is_known_once_there_is_one(served: Served) -> None:
    from callmarket.persistence.leadership.register import publish_proof

    assert "proven_restore_age_seconds" not in scraped(served)
    with served.exchange.node.connect() as connection:
        publish_proof(connection, 0, 5, 0.1)
    served.proofs.look()
    told = scraped(served)
    assert told["proven_restore_seq"][()] == 5
    assert 0 <= told["proven_restore_age_seconds"][()] < 60


def test_requests_cannot_create_time_series(served: Served) -> None:
    key = served.key(bid=("a",))
    for number in range(20):
        served.ask("GET", f"/api/v1/markets/m{number}", key=key)
        served.ask("GET", f"/nowhere/{number}", key=key)
        served.ask("GET", f"/api/v1/bids/{number + 1}", key=key)
        served.ask(f"METHOD{number}", "/api/v1/markets", key=key)
        served.ask("POST", f"/api/v1/markets/m{number}/bids", key=key, json={"task_id": "t", "max_price_tokens": 1})
    told = scraped(served)["http_requests_total"]
    assert told["GET", "/api/v1/markets/{market_id}", "404"] == 20
    assert told["GET", "none", "404"] == 20
    assert told["GET", "/api/v1/bids/{bid_id}", "404"] == 20
    assert told["other", "none", "405"] == 20
    assert told["POST", "/api/v1/markets/{market_id}/bids", "404"] == 20
    assert len(told) == 5
    assert scraped(served)["commands_total"]["place_bid", "MARKET_UNKNOWN"] == 20


def test_a_route_with_and_without_a_query_has_one_label(served: Served) -> None:
    key = served.key(bid=("a",))
    for number, query in enumerate(("", "?ack=durable", "?ack=applied")):
        bid = {"task_id": f"t{number}", "max_price_tokens": 1}
        assert served.ask("POST", "/api/v1/markets/m/bids" + query, key=key, json=bid).status_code == 201
    assert scraped(served)["http_requests_total"] == {("POST", "/api/v1/markets/{market_id}/bids", "201"): 3}


def test_metrics_show_how_full_the_permanent_records_are(served: Served) -> None:
    """LED-4, IDM-1: full means refuse, so whoever runs the market sees it come, each beside its bound."""
    market = served.exchange
    market.mint("a", 1, "earn:review", "paper", "p1")
    market.mint("a", 1, "earn:review", "paper", "p2", command_id="k1")
    market.transfer("a", "b", 1, "tip", command_id="k1")
    market.transfer("b", "a", 1, "tip", command_id="k1")
    market.transfer("b", "a", 1, "tip")
    market.clear_round("m", command_id="k1")
    market.clear_round("m", command_id="k2")
    market.clear_round("m", command_id="k3")
    found = scraped(served)
    assert found["remembered"] == {
        ("earnings",): 2,
        ("retries of the admin",): 1,
        ("retries of accounts",): 2,
        ("retries of the operator",): 3,
    }
    assert found["remembered_max"] == {
        ("earnings",): limits.EARNINGS_MAX,
        ("retries of the admin",): limits.RETRIES_PER_STAFF_MAX,
        ("retries of accounts",): limits.RETRIES_OF_ACCOUNTS_MAX,
        ("retries of the operator",): limits.RETRIES_PER_STAFF_MAX,
    }
