"""Requests that are applied together are acknowledged together, when the last of their rows is on the disk.

Method: 9,001 rows wait before a batch of a thousand, so the writer puts it into two transactions; a trigger holds the
first row of all, and the last one, until the test lets each go. So the database stands between the two transactions.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
import pytest

from callmarket import AsyncExchange, Exchange, open_exchange
from callmarket.bridge.api.messages import Reply, Request
from callmarket.bridge.api.operations.accounts import open_account
from callmarket.persistence.writer.limits import Limits
from tests.support.small_market import WAIT_S_MAX, last_seq, until

BATCH: Final = 1_000
BEFORE: Final = Limits().batch_rows_max - BATCH + 1
# On a machine that is not busy who is told too early is told at once.
A_WHILE_S: Final = 0.3

Submit = Callable[[Exchange, list[Request]], list[Reply]]


def in_a_thread(market: Exchange, requests: list[Request]) -> list[Reply]:
    return market.submit(requests)


def in_a_loop(market: Exchange, requests: list[Request]) -> list[Reply]:
    return asyncio.run(AsyncExchange(market).submit(requests))


@contextmanager
def held_rows(url: str, *seqs: int) -> Iterator[Callable[[int], None]]:
    """These rows are not committed before they are let go, one after the other."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE FUNCTION hold_row() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_advisory_xact_lock(NEW.seq); RETURN NEW; END $$"
        )
        connection.execute(
            "CREATE TRIGGER hold_row AFTER INSERT ON journal FOR EACH ROW "  # type: ignore[arg-type]
            f"WHEN (NEW.seq IN ({', '.join(map(str, seqs))})) EXECUTE FUNCTION hold_row()"
        )
        for seq in seqs:
            connection.execute("SELECT pg_advisory_lock(%s)", (seq,))
        yield lambda seq: void(connection.execute("SELECT pg_advisory_unlock(%s)", (seq,)))


def void(_: object) -> None:
    """Nobody looks at it."""


def accounts(name: str, count: int) -> list[Request]:
    return [open_account.request(f"{name}-{number}") for number in range(count)]


@pytest.mark.parametrize("submit", [in_a_thread, in_a_loop])
def test_waiting_for_a_batch_is_waiting_for_its_last_row(database_url: str, submit: Submit) -> None:
    with open_exchange(database_url) as market:
        first = last_seq(market) + 1
        last = first + BEFORE + BATCH
        with held_rows(database_url, first, last) as let_go:
            market.submit(accounts("first", 1), ack="applied")
            # The writer is at it, so what comes now waits in the queue.
            until(lambda: market.node.status().queue_rows == 1 and waits_for_a_row(database_url))
            for number in range(0, BEFORE, BATCH):
                market.submit(accounts(f"before-{number}", min(BATCH, BEFORE - number)), ack="applied")
            told: list[list[Reply]] = []
            caller = threading.Thread(target=lambda: told.append(submit(market, accounts("mine", BATCH))))
            caller.start()
            until(lambda: last_seq(market) == last)
            let_go(first)
            until(lambda: market.durable_seq == last - 1)
            caller.join(A_WHILE_S)
            assert told == [], "the last row is not on the disk yet"
            let_go(last)
            caller.join(WAIT_S_MAX)
        (replies,) = told
        assert [reply.seq for reply in replies] == list(range(last - BATCH + 1, last + 1))
        assert {reply.durable_seq for reply in replies} == {last}


def waits_for_a_row(url: str) -> bool:
    with psycopg.connect(url) as connection:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        return connection.execute(query).fetchone() == (1,)
