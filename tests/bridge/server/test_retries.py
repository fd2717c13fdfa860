"""Retries over HTTP where a route asks about the present first: a retry is no question about it.

Goal: what was done is told again, whatever its name means by now. Method: the name is given to something else, which
would be refused; then the request comes again with its key. IDM-1.
"""

from datetime import UTC, datetime

import pytest

from callmarket.bridge.fleet.research import post_bounty, stake
from callmarket.engine import limits as engine_limits
from tests.bridge.server.conftest import Served

FAR = datetime(2100, 1, 1, tzinfo=UTC)
AGAIN = {"Idempotency-Key": "k"}


@pytest.fixture
def forgetful(served: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """A market that forgets all but the last hold that ended, so that names of holds come again."""
    monkeypatch.setattr(engine_limits, "HOLDS_ENDED_KEPT", 1)
    served.exchange.put_artifact("h1", "hypothesis")
    return served


def forget(served: Served) -> None:
    """Let another hold end."""
    served.exchange.place_hold("another", "a", 1, "stake")
    served.exchange.acting_as("a").release_hold("another", "a")


@pytest.mark.parametrize("receipts_max", [65_536, 1])
def test_a_retry_of_withdrawing_a_bounty_repeats_the_reply_though_its_name_is_in_use_again(
    forgetful: Served, monkeypatch: pytest.MonkeyPatch, receipts_max: int
) -> None:
    """IDM-1: not `conflict`, which would say that it was not withdrawn; and nothing happens to the new one."""
    monkeypatch.setattr(engine_limits, "RECEIPTS_MAX", receipts_max)
    market, key = forgetful.exchange, forgetful.key(bid=("a",))
    post_bounty(market, "b1", "a", "h1", 50, expires_at=FAR)
    first = forgetful.ask("DELETE", "/api/v1/bounties/a/b1", key=key, headers=AGAIN)
    assert first.status_code == 200
    forget(forgetful)
    post_bounty(market, "b1", "a", "h1", 70, expires_at=FAR, command_id="stranger")
    market.claim_bounty("b1", "a", "b")
    again = forgetful.ask("DELETE", "/api/v1/bounties/a/b1", key=key, headers=AGAIN)
    assert again.status_code == 200
    assert again.json()["stamp"]["repeated"]
    assert again.json()["stamp"]["seq"] == first.json()["stamp"]["seq"]
    assert market.bounty("b1", "a").status == "claimed"
    # What is new is asked as ever, also by another under that id.
    for headers, other in (({}, key), ({"Idempotency-Key": "k2"}, key), (AGAIN, forgetful.key(admin=True))):
        assert forgetful.ask("DELETE", "/api/v1/bounties/a/b1", key=other, headers=headers).status_code == 409
    assert forgetful.ask("DELETE", "/api/v1/bounties/a/b1", key=forgetful.key(), headers=AGAIN).status_code == 403
    assert market.bounty("b1", "a").status == "claimed"


def test_a_retry_of_releasing_a_stake_repeats_the_reply_though_its_name_is_in_use_again(forgetful: Served) -> None:
    """IDM-1: by now the name is that of a bounty."""
    market, key = forgetful.exchange, forgetful.key(bid=("a",))
    stake(market, "s1", "a", "h1", 50)
    first = forgetful.ask("DELETE", "/api/v1/stakes/a/s1", key=key, headers=AGAIN)
    assert first.status_code == 200
    forget(forgetful)
    post_bounty(market, "s1", "a", "h1", 70, expires_at=FAR)
    again = forgetful.ask("DELETE", "/api/v1/stakes/a/s1", key=key, headers=AGAIN)
    assert (again.status_code, again.json()["stamp"]["repeated"]) == (200, True)
    assert forgetful.ask("DELETE", "/api/v1/stakes/a/s1", key=key).status_code == 404
    assert market.bounty("s1", "a").status == "open"
