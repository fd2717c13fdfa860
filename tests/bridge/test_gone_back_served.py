"""A served market whose journal goes back: readiness, streams that resume, clients, and the same process leading again.

Method: `callmarket serve` as a process, on a real database whose earlier state takes its place.
"""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from callmarket import Client, Gone, Invalid
from callmarket.bridge.client.answers import Answer, error_of
from callmarket.bridge.server.problems import problem_of
from callmarket.engine.limits import HISTORY_ROWS
from tests.bridge.test_gone_back import callmarket, told
from tests.support.gone_back import Backups
from tests.support.service_process import ServiceProcess, served
from tests.support.small_market import until


def until_told(service: ServiceProcess, met: Callable[[httpx2.Response], bool]) -> httpx2.Response:
    """What `/readyz` says, once it is so; while it stands by again, nobody listens for a moment."""
    answers: list[httpx2.Response] = []

    def asked() -> bool:
        with contextlib.suppress(httpx2.TransportError):
            answers[:] = [service.ready()]
            return met(answers[0])
        return False

    until(asked)
    return answers[0]


def lose(service: ServiceProcess, backups: Backups) -> tuple[int, int]:
    """Take a backup, acknowledge ten bids more, and go back; the last row that is left, and the last that was."""
    with Client(service.url, service.key) as market:
        market.open_market("m")
        market.open_account("a")
        left = market.mint("a", 1_000, "grant:initial").stamp.seq
        older = backups.take()
        last = [market.place_bid("m", "a", f"t{number}", 1).stamp.seq for number in range(10)][-1]
        assert service.ready().status_code == 200
        backups.go_back(older)
    return left, last


def test_the_service_is_not_ready_says_why_and_leads_again_once_the_loss_is_accepted(
    database_url: str, backups: Backups
) -> None:
    """It stands by for as long as it takes, and shows what it has; nobody has to start it again."""
    with served(database_url) as service:
        left, last = lose(service, backups)
        lost = f"rows {left + 1} to {last}, which had been acknowledged, are lost"
        told_why = until_told(service, lambda answer: answer.status_code == 503 and lost in answer.text)
        assert told_why.json()["ready"] is False
        until_told(service, lambda answer: answer.json()["role"] == "standby" and lost in answer.text)
        with httpx2.Client(
            base_url=service.url, headers={"Authorization": f"Bearer {service.key}"}, timeout=60
        ) as http:
            assert lost in http.get("/api/v1/wallets/a").json()["detail"]
        marks = service.home / "marks"
        status = told(callmarket(database_url, marks, "status", "--json"), 1)
        assert lost in status["standbys"][0]["loss"]
        looked = told(callmarket(database_url, marks, "accept-loss", "--json"), 1)
        assert len(looked["files"]) == 1
        told(callmarket(database_url, marks, "accept-loss", "--from", str(left + 1), "--json"))
        until_told(service, lambda answer: answer.status_code == 200)
        assert service.process.poll() is None
        done = told(callmarket(database_url, marks, "replay-lost", looked["files"][0], "--json"))
        assert done["endings"]["done"] == last - left
        until_told(service, lambda answer: answer.status_code == 200)
        with Client(service.url, service.key) as market:
            assert len(market.bids(bidder_id="a", status="open").items) == 10
            assert market.bid(HISTORY_ROWS + 1).bid_id == HISTORY_ROWS + 1


def test_a_stream_that_resumes_after_a_lost_row_is_told_so(database_url: str, backups: Backups) -> None:
    """By the standard header, by the parameter, and through the client; after a row that is left it goes on."""
    with served(database_url) as service:
        left, last = lose(service, backups)
        until_told(service, lambda answer: "are lost" in answer.text)
        marks = service.home / "marks"
        told(callmarket(database_url, marks, "accept-loss", "--from", str(left + 1), "--json"))
        until_told(service, lambda answer: answer.status_code == 200)
        with Client(service.url, service.key) as market:
            new = market.place_bid("m", "a", "t0", 1)
            assert new.bid_id == new.stamp.seq == HISTORY_ROWS + 1
            why = f"rows after {left} were lost, and history goes on at row {HISTORY_ROWS}"
            for cursor in (left + 1, last, last + 1, HISTORY_ROWS - 1):
                with pytest.raises(Gone, match=why):
                    next(market.events(cursor))
            with pytest.raises(Invalid, match="the last durable row"):
                next(market.events(HISTORY_ROWS + 2))
            for cursor in (0, left, HISTORY_ROWS):
                heard = (one for one in market.events(cursor, kinds=["bid"]) if hasattr(one, "bid_id"))
                assert next(heard).bid_id == new.bid_id
        with httpx2.Client(
            base_url=service.url, headers={"Authorization": f"Bearer {service.key}"}, timeout=60
        ) as http:
            gone = http.get("/api/v1/events", headers={"Last-Event-ID": str(last)})
            assert (gone.status_code, gone.json()["type"]) == (410, "/problems/gone")
            assert (gone.json()["field"], gone.json()["value"]) == ("Last-Event-ID", last)


def test_a_client_whose_stream_breaks_by_the_loss_hears_of_it(
    database_url: str, backups: Backups, tmp_path: Path
) -> None:
    """It has heard what is lost: it is told, and gets no row of another history for the next one of its own."""
    with served(database_url) as service, Client(service.url, service.key, timeout_s=120) as market:
        stream = market.events(0, kinds=["bid"])
        left, last = lose(service, backups)
        heard = [next(stream) for _ in range(last - left)]
        assert [getattr(one, "seq", 0) for one in heard] == list(range(left + 1, last + 1))
        until_told(service, lambda answer: "are lost" in answer.text)
        told(callmarket(database_url, service.home / "marks", "accept-loss", "--from", str(left + 1), "--json"))
        with pytest.raises(Gone):
            next(stream)


def test_rows_that_are_lost_are_a_problem_of_their_own() -> None:
    """So that a program can tell it from a mistyped cursor."""
    problem = problem_of(Gone("after_seq", 66, "a row that is left"))
    assert (problem.status, problem.type) == (410, "/problems/gone")
    back = error_of(Answer(410, json.dumps({"type": problem.type, "title": "", "status": 410, "detail": "x"}).encode()))
    assert isinstance(back, Gone)
