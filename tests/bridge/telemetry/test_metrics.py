"""Each figure of the metrics under its name: what is watched has numbers of which no two are alike.

What they are of a market whose history is known is in `tests/bridge/server/test_metrics.py`.
"""

from types import SimpleNamespace
from typing import Any, cast

from callmarket.bridge.api.errors import NotLeader
from callmarket.bridge.api.status import NodeStatus
from callmarket.bridge.market.counters import DONE, REPEATED, CommandCounters, RoundCounters
from callmarket.bridge.scheduler.clearing import CycleStatus
from callmarket.bridge.telemetry.metrics import PREFIX, Watched, _Families
from callmarket.bridge.telemetry.requests import Requests
from callmarket.engine.commands import OpenAccount, PlaceBid


def counters() -> CommandCounters:
    made = CommandCounters()
    made.commands[PlaceBid, DONE], made.commands[PlaceBid, REPEATED], made.commands[OpenAccount, "ACCOUNT_EXISTS"] = (
        1,
        2,
        3,
    )
    made.not_taken, made.unknown_outcomes = 4, 5
    made.rounds["m"] = RoundCounters(6, 8, 9, 2, 11)
    made.rounds["n"] = RoundCounters(12, 0, 13, 0, None)
    made.bids_lost, made.bids_expired, made.awards_lapsed, made.holds_expired = 14, 15, 16, 17
    made.apply.add(0.25)
    made.ack.add(0.5)
    made.ack.add(0.75)
    return made


def told(**changes: Any) -> dict[str, dict[tuple[str, ...], float]]:
    """All series by name and labels, but for the buckets of histograms."""
    requests = Requests()
    requests.counts["GET", "/x", 200] = 31
    status = NodeStatus("leader", 18, 29, 20, 21, 22, 23.5, 24.5, 25, 26, 27.5, tables_stopped=True)

    def away(_: object) -> None:
        raise NotLeader("another leads", "", 0.2)

    node = SimpleNamespace(
        counters=counters(),
        status=lambda: status,
        readiness=lambda: SimpleNamespace(ready=True),
        time=SimpleNamespace(fault=""),
        read=away,
        feed=SimpleNamespace(subscribers=32, watchers=33),
    )
    cycle = CycleStatus("m", "every", None, None, None, 34, 35, 36, 37, 38.5, "")
    given = {
        "node": node,
        "keyring": type("Keyring", (), {"__len__": lambda _: 39, "seconds_behind": 40.5})(),
        "calls": SimpleNamespace(statuses=lambda: [cycle], sweeps=41),
        "demurrage": SimpleNamespace(charges=42, tokens=43, refused=44, failures=45),
        "requests": requests,
        "proofs": SimpleNamespace(age_s=lambda: 46.5, seq=47),
        "connections": lambda: 48,
        "turned_away": lambda: 49,
    } | changes
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in _Families(cast(Watched, SimpleNamespace(**given))).collect():
        assert family.documentation
        for sample in family.samples:
            if not sample.name.endswith("_bucket"):
                name = sample.name.removeprefix(PREFIX)
                assert tuple(sample.labels.values()) not in found.setdefault(name, {})
                found[name][tuple(sample.labels.values())] = sample.value
    return found


def test_each_number_is_told_under_its_name() -> None:
    market, other = ("m",), ("n",)
    assert told() == {
        "commands_total": {
            ("place_bid", "done"): 1,
            ("place_bid", "repeated"): 2,
            ("open_account", "ACCOUNT_EXISTS"): 3,
        },
        "commands_not_taken_total": {(): 4},
        "commands_unknown_total": {(): 5},
        "apply_seconds_count": {(): 1},
        "apply_seconds_sum": {(): 0.25},
        "ack_seconds_count": {(): 2},
        "ack_seconds_sum": {(): 1.25},
        "role": {("leader",): 1, ("standby",): 0, ("ended",): 0},
        "epoch": {(): 18},
        "ready": {(): 1},
        "applied_seq": {(): 29},
        "durable_seq": {(): 20},
        "queue_rows": {(): 21},
        "queue_bytes": {(): 22},
        "durable_lag_rows": {(): 9},
        "durable_lag_seconds": {(): 23.5},
        "outage_seconds": {(): 24.5},
        "projected_seq": {(): 25},
        "tables_lag_rows": {(): 26},
        "tables_lag_seconds": {(): 27.5},
        "tables_stopped": {(): 1},
        "clock_right": {(): 1},
        "rounds_total": {market: 6, other: 12},
        "round_slots_total": {market: 8, other: 0},
        "round_bids_total": {market: 9, other: 13},
        "awards_total": {market: 2, other: 0},
        "fill_rate": {market: 0.25},
        "clearing_price_tokens": {market: 11},
        "bids_swept_total": {("lost",): 14, ("expired",): 15},
        "awards_lapsed_total": {(): 16},
        "holds_expired_total": {(): 17},
        "http_requests_total": {("GET", "/x", "200"): 31},
        "http_turned_away_total": {(): 49},
        "http_connections": {(): 48},
        "cycle_calls_total": {market: 34},
        "cycle_skipped_total": {market: 35},
        "cycle_missed_total": {market: 36},
        "cycle_failures_total": {market: 37},
        "cycle_late_seconds_max": {market: 38.5},
        "sweeps_total": {(): 41},
        "demurrage_charges_total": {(): 42},
        "demurrage_tokens_total": {(): 43},
        "demurrage_refused_total": {(): 44},
        "demurrage_failures_total": {(): 45},
        "keys": {(): 39},
        "keys_behind_seconds": {(): 40.5},
        "proven_restore_age_seconds": {(): 46.5},
        "proven_restore_seq": {(): 47},
        "streams": {(): 32},
        "award_waits": {(): 33},
    }


def test_what_was_never_proved_has_no_age() -> None:
    missing = told().keys() - told(proofs=SimpleNamespace(age_s=lambda: None, seq=None)).keys()
    assert missing == {"proven_restore_age_seconds", "proven_restore_seq"}
