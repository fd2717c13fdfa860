"""The id of a request: the caller's or ours, in the reply, in every problem, and in every line of the log.

Goal: whoever has a problem can name it, and whoever reads the log finds it. Also: nothing secret is in that log.
"""

import re
from pathlib import Path
from subprocess import run
from urllib.parse import quote

import httpx2
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tests.bridge.server.conftest import Served
from tests.support import service_process as support
from tests.support.service_process import served as served_process

OURS = re.compile(r"[0-9a-f]{12}-[0-9a-f]+")
PASSWORD = "no-0ne-may-see-this"


@pytest.mark.parametrize("given", ["a", "x" * 128, "01J-aZ.9_:/+=", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0b"])
def test_a_request_id_of_the_caller_is_kept(served: Served, given: str) -> None:
    told = served.ask("GET", "/api/v1/markets", key=served.key(), headers={"Request-Id": given})
    assert told.headers["request-id"] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", 'a"b', "a{b", "ä", "a\tb"])
def test_a_request_id_that_is_not_fit_for_the_log_is_replaced(served: Served, given: str) -> None:
    headers = {"Request-Id": given.encode("latin-1")}
    told = served.ask("GET", "/api/v1/markets", key=served.key(), headers=headers)
    assert told.status_code == 200
    assert OURS.fullmatch(told.headers["request-id"])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/markets/none"),
        ("POST", "/api/v1/markets/m/bids"),
        ("POST", "/api/v1/markets/m/bids?ack=durable"),
        ("GET", "/problems/none"),
        ("GET", "/nowhere"),
        ("DELETE", "/api/v1/markets"),
    ],
)
def test_every_problem_has_the_request_id(served: Served, method: str, path: str) -> None:
    told = served.ask(method, path, key=served.key(), headers={"Request-Id": "mine"})
    assert told.status_code >= 400
    assert (told.headers["request-id"], told.json()["request_id"]) == ("mine", "mine")


def test_a_problem_without_a_key_has_the_request_id_too(served: Served) -> None:
    told = served.ask("GET", "/api/v1/markets", headers={"Request-Id": "mine"})
    assert (told.status_code, told.json()["request_id"]) == (401, "mine")


def test_the_log_has_every_request_and_no_secret(database_url: str, tmp_path: Path) -> None:
    with served_process(with_password(database_url), tmp_path, {"CALLMARKET_LOG_LEVEL": "debug"}) as service:
        service.until(lambda told: told.status_code == 200)
        wrong = service.key[:-4] + "aaaa"
        with service.client(Request_Id="one") as client:
            assert client.post("/api/v1/markets", json={"market_id": "m"}).status_code == 201
            assert client.get("/api/v1/markets", headers={"Request-Id": "two"}).status_code == 200
            made = client.post("/api/v1/keys", json={"name": "n", "bid": ["a"]})
            assert made.status_code == 201, made.text
            client.post("/api/v1/markets/m/bids", content=b"{", headers={"Request-Id": "three"})
        httpx2.get(
            service.url + "/api/v1/me", headers={"Authorization": f"Bearer {wrong}", "Request-Id": "four"}, timeout=60
        )
        httpx2.get(service.url + "/api/v1/me", headers={"Authorization": f"Basic {PASSWORD}"}, timeout=60)
        log = service.log
        (opened,) = service.lines(request_id="one", route="/api/v1/markets", event="request")
        assert {name: opened[name] for name in ("level", "method", "status", "seq")} == {
            "level": "info",
            "method": "POST",
            "status": 201,
            "seq": 1,
        }
        assert opened["key_id"] in service.key
        assert [one["level"] for one in service.lines(request_id="two", event="request")] == ["debug"]
        assert [one["status"] for one in service.lines(request_id="three", event="request")] == [400]
        # What others log on the way of a request has its id.
        assert len(service.lines(request_id="four")) == 2
    secrets = [service.key, made.json()["key"], wrong, PASSWORD]
    assert [one for one in secrets if one in log or one.rpartition("_")[2] in log] == []
    assert quote(PASSWORD) not in log


def test_an_error_of_the_database_does_not_show_its_password(database_url: str, tmp_path: Path) -> None:
    """The loudest line is the one about a URL that does not work."""
    url = with_password(database_url).replace("dbname=", "dbname=none_of_ours_")
    told = run(
        support.command("--url", url),
        cwd=support.ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=support.clean(),
    )
    assert told.returncode == 3
    assert "none_of_ours_" in told.stderr
    assert PASSWORD not in told.stdout + told.stderr


def with_password(url: str) -> str:
    """The same database, by a connection string that has a password, which the server does not ask for."""
    return psycopg.conninfo.make_conninfo(**{**conninfo_to_dict(url), "password": PASSWORD})
