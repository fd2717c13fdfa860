"""Demurrage of a service as it is started by a user: by settings alone.

Goal: the terms in the environment are those that accounts pay, and that metrics and log tell. Method: a process on a
history that is older than a period.
"""

import time

from callmarket import ManualClock, open_exchange
from callmarket.bridge.api.clock import system_clock
from tests.support.service_process import served
from tests.support.small_market import WAIT_S_MAX

PERIOD_S = 60


def test_a_service_collects_by_its_settings(database_url: str) -> None:
    """floor((1,500 - 500) * 10 %) = 100 tokens of one account, nothing of one with fewer than are exempt."""
    long_ago_us = system_clock() - 5 * PERIOD_S * 1_000_000
    with open_exchange(database_url, clock=ManualClock(long_ago_us)) as market:
        for account_id, tokens in (("rich", 1_500), ("poor", 500)):
            market.open_account(account_id)
            market.mint(account_id, tokens, "grant:initial")
    terms = {"PPM": "100000", "PERIOD_S": str(PERIOD_S), "EXEMPT_TOKENS": "500", "TO": "burn"}
    environment = {f"CALLMARKET_DEMURRAGE_{name}": value for name, value in terms.items()}
    with served(database_url, environment=environment) as service, service.client() as client:
        end_s = time.monotonic() + WAIT_S_MAX
        while "callmarket_demurrage_tokens_total 0.0" in (told := client.get("/metrics").text):
            assert time.monotonic() < end_s, service.log
            time.sleep(0.02)
        # A minute may have ended meanwhile, and another one is due then.
        assert "callmarket_demurrage_failures_total 0.0" in told
        movements = client.get("/api/v1/wallets/rich/statement").json()["items"]
        charged = [one["amount_tokens"] for one in reversed(movements) if one["reason"] == "demurrage"]
        assert charged[:1] == [100]
        assert len({one["reference_id"] for one in movements if one["reason"] == "demurrage"}) == len(charged)
        assert client.get("/api/v1/wallets/poor").json()["balance_tokens"] == 500
        while not (lines := service.lines(event="demurrage collected")):
            assert time.monotonic() < end_s, service.log
            time.sleep(0.02)
        assert (lines[0]["accounts"], lines[0]["tokens"], lines[0]["refused"]) == (1, 100, 0)
