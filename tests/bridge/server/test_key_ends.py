"""A key that is revoked, has expired or may do less: whoever is inside with it goes, and nothing more is done by it.

Goal: "a revoked key works nowhere after a second" holds for what lives longer than a request too. Method: a real
process; keys are taken away by it and by others (rows of the table), while streams are open, long polls wait, and
bodies are on their way.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import psycopg
import pytest

from callmarket import AsyncClient, Client
from callmarket.bridge.api.errors import Unauthorized
from tests.bridge.feed.test_feed import awaited
from tests.bridge.server.test_messages import BIDS, Line, bid, split
from tests.support.feed_client import ClientStream
from tests.support.service_process import ServiceProcess, served
from tests.support.small_market import WAIT_S_MAX, furnish, until

End = Callable[[ServiceProcess, str, str], None]
"""Ends a key: of which service, on which database, by its id."""


@pytest.fixture(scope="module")
def service(module_database_url: str) -> Iterator[ServiceProcess]:
    with served(module_database_url) as running:
        running.until(lambda told: told.status_code == 200)
        with Client(running.url, running.key) as admin:
            furnish(admin, "a", tokens=10**6)  # type: ignore[arg-type]  # the same verbs
        yield running


def key_of(service: ServiceProcess, **scopes: Any) -> tuple[str, str]:
    """A new key, and its id."""
    with service.client() as admin:
        made = admin.post("/api/v1/keys", json={"name": "k", **scopes}).json()
    return made["key"], made["view"]["key_id"]


def revoke_here(service: ServiceProcess, url: str, key_id: str) -> None:
    with service.client() as admin:
        assert admin.delete(f"/api/v1/keys/{key_id}").status_code == 200


def change(url: str, key_id: str, words: str) -> None:
    with psycopg.connect(url) as connection:
        done = connection.execute(f"UPDATE api_keys SET {words} WHERE key_id = %s", (key_id,))  # type: ignore[arg-type]
        assert done.rowcount == 1


def revoke_elsewhere(service: ServiceProcess, url: str, key_id: str) -> None:
    change(url, key_id, "revoked_at = now()")


def expire(service: ServiceProcess, url: str, key_id: str) -> None:
    change(url, key_id, "expires_at = now() + interval '800 ms'")


ENDS = [
    pytest.param(revoke_here, "was taken away", id="revoked here"),
    pytest.param(revoke_elsewhere, "was taken away", id="revoked elsewhere"),
    # A busy machine may read of it only when it is past: then it is not read at all.
    pytest.param(expire, "(has expired|was taken away)", id="expired"),
]


def figure(service: ServiceProcess, name: str) -> float:
    with service.client() as client:
        lines = client.get("/metrics").text.splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(f"callmarket_{name} ")))


@pytest.mark.parametrize(("end", "why"), ENDS)
def test_a_stream_ends_with_its_key(service: ServiceProcess, module_database_url: str, end: End, why: str) -> None:
    """With an event that says why; the stream of another key goes on."""
    key, key_id = key_of(service)
    other, _ = key_of(service)
    said, others = ClientStream(), ClientStream()
    with (
        httpx2.Client(base_url=service.url, timeout=WAIT_S_MAX) as client,
        client.stream("GET", "/api/v1/events", headers={"Authorization": f"Bearer {other}"}) as goes_on,
        client.stream("GET", "/api/v1/events", headers={"Authorization": f"Bearer {key}"}) as stream,
        Client(service.url, service.key) as admin,
    ):
        pieces, other_pieces = stream.iter_raw(), goes_on.iter_raw()
        said.hear(next(pieces))
        end(service, module_database_url, key_id)
        for piece in pieces:
            said.hear(piece)
        assert said.end is not None
        assert said.end["key_ended"]
        assert re.fullmatch(f"key {key_id} {why}", said.end["reason"])
        seq = admin.open_account(f"after-{key_id}").seq
        admin.open_market(f"m-{key_id}")
        while (others.last_id or 0) <= seq:
            others.hear(next(other_pieces))
        assert others.said("market.opened"), "another's stream goes on"
        assert client.get("/api/v1/me", headers={"Authorization": f"Bearer {key}"}).status_code == 401


@pytest.mark.parametrize(("end", "why"), ENDS)
def test_a_wait_for_an_award_ends_with_its_key(
    service: ServiceProcess, module_database_url: str, end: End, why: str
) -> None:
    key, key_id = key_of(service, bid=["a"])
    told: list[httpx2.Response] = []

    def wait() -> None:
        headers = {"Authorization": f"Bearer {key}"}
        asked = {"bidder_id": "a", "wait_s": 60}
        told.append(httpx2.get(f"{service.url}/api/v1/awards", params=asked, headers=headers, timeout=WAIT_S_MAX + 30))

    waiting = threading.Thread(target=wait)
    waiting.start()
    until(lambda: figure(service, "award_waits") == 1)
    end(service, module_database_url, key_id)
    waiting.join(WAIT_S_MAX)
    assert told[0].status_code == 401
    assert re.fullmatch(f"key {key_id} {why}", told[0].json()["detail"])
    assert figure(service, "award_waits") == 0


def test_a_client_is_told_that_its_key_has_ended(service: ServiceProcess, module_database_url: str) -> None:
    """It raises, and does not come again with a key that is dead."""
    key, key_id = key_of(service, bid=["a"])
    with Client(service.url, key) as client, Client(service.url, service.key) as admin:
        heard = client.events()
        admin.open_market(f"heard-{key_id}")
        assert next(heard)
        revoke_elsewhere(service, module_database_url, key_id)
        with pytest.raises(Unauthorized, match=f"key {key_id} was taken away"):
            for _ in heard:
                pass


@awaited
async def test_an_awaited_client_is_told_that_its_key_has_ended(service: ServiceProcess) -> None:
    key, key_id = key_of(service, bid=["a"])
    async with AsyncClient(service.url, key) as client:
        heard = client.events()
        with Client(service.url, service.key) as admin:
            admin.open_market(f"heard-{key_id}")
        assert await anext(heard)
        revoke_here(service, "", key_id)
        with pytest.raises(Unauthorized, match=f"key {key_id} was taken away"):
            async for _ in heard:
                pass


# --- a body that is long on its way ----------------------------------------------------------------------------------


class Half:
    """A request whose head was let in, and whose body is not whole yet."""

    def __init__(self, service: ServiceProcess, key: str, method: str, path: str, body: bytes) -> None:
        self._line, self._rest = Line(service), body[1:]
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n"
        # It asks whether to send the body: the answer says that the head was let in.
        self._line.send(f"{head}Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        assert self._line.socket.recv(100).startswith(b"HTTP/1.1 100 ")
        self._line.send(body[:1])

    def end(self) -> tuple[int, dict[str, Any]]:
        """Send the rest: the status, and what was answered."""
        with self._line:
            self._line.send(self._rest)
            (answer,) = split(self._line.rest())
        return answer.status, json.loads(answer.body)


def works_no_longer(service: ServiceProcess, key: str) -> bool:
    return (
        httpx2.get(f"{service.url}/api/v1/me", headers={"Authorization": f"Bearer {key}"}, timeout=60).status_code
        == 401
    )


@pytest.mark.parametrize("path", [BIDS, f"{BIDS}?ack=durable"], ids=["placed at once", "by the framework"])
def test_a_bid_whose_body_outlives_its_key_is_not_placed(
    service: ServiceProcess, module_database_url: str, path: str
) -> None:
    key, key_id = key_of(service, bid=["a"])
    half = Half(service, key, "POST", path, bid(f"late-{key_id}"))
    revoke_elsewhere(service, module_database_url, key_id)
    until(lambda: works_no_longer(service, key))
    status, told = half.end()
    assert (status, told["detail"]) == (401, f"key {key_id} was taken away")
    with service.client() as admin:
        rows = admin.get("/api/v1/bids", params={"bidder_id": "a", "limit": 1000}).json()["items"]
    assert f"late-{key_id}" not in [row["task_id"] for row in rows]


def test_a_revoked_key_creates_no_other(service: ServiceProcess, module_database_url: str) -> None:
    """Else who has an admin's key keeps what it may do: a body sent slowly outlives the revocation by ten seconds."""
    key, key_id = key_of(service, admin=True)
    half = Half(service, key, "POST", "/api/v1/keys", json.dumps({"name": "heir", "admin": True}).encode())
    revoke_elsewhere(service, module_database_url, key_id)
    until(lambda: works_no_longer(service, key))
    assert half.end()[0] == 401
    with service.client() as admin:
        assert "heir" not in [one["name"] for one in admin.get("/api/v1/keys").json()["items"]]


def test_a_body_that_outlives_a_scope_is_carried_out_with_the_remaining_scopes(
    service: ServiceProcess, module_database_url: str
) -> None:
    """Scopes may be taken away by hand; what counts is what the key may do when the request is whole."""
    key, key_id = key_of(service, bid=["a"])
    half = Half(service, key, "POST", BIDS, bid(f"narrow-{key_id}"))
    change(module_database_url, key_id, "scopes = '{read}', accounts = '{}'")

    def is_narrow() -> bool:
        told = httpx2.get(f"{service.url}/api/v1/me", headers={"Authorization": f"Bearer {key}"}, timeout=60)
        return told.json()["accounts"] == []

    until(is_narrow)
    assert half.end()[0] == 403
