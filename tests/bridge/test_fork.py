"""After `os.fork` the child has its parent's sockets and none of its threads: it is refused, and the parent goes on.

Goal: nothing is applied in a memory that nobody writes down, and no answer is read by the wrong process. Method: real
forks of a process with a market, clients of a served one, and pools; the child tells by a pipe what it was told, and
leaves as a program does, closing what it has; then the parent uses the very same connections.
"""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from callmarket import AsyncClient, AsyncExchange, Client, Exchange
from callmarket.bridge.fleet.quest_budgets.daily import DailyBudgets
from callmarket.bridge.fleet.tasks.tables import WorkTables
from tests.support.forked import in_a_child
from tests.support.service_process import ServiceProcess, served
from tests.support.small_market import furnish


def check_refused(told: str, what: str) -> None:
    assert told.startswith(f"Invalid: process: expected {os.getpid()}, which has opened this {what}"), told
    assert "after a fork, open another" in told


pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def test_an_exchange(market: Exchange) -> None:
    furnish(market, "a")
    seq = market.read(lambda state: state.seq)
    for work in (
        lambda: market.mint("a", 1, "grant:any"),
        lambda: market.wallet("a"),
        lambda: market.statement("a"),
        lambda: market.read(lambda state: state.seq),
        lambda: market.durable_seq,
        lambda: market.put_artifact("art", "paper"),
        lambda: market.wait_until_leading(0),
        lambda: asyncio.run(AsyncExchange(market).mint("a", 1, "grant:any")),
        lambda: asyncio.run(AsyncExchange(market).bids()),
    ):
        check_refused(in_a_child(work), "exchange")
    assert market.read(lambda state: state.seq) == seq
    assert market.mint("a", 5, "grant:any").stamp.durable
    assert [one.amount_tokens for one in market.statement("a").items] == [5, 1_000]


def test_a_child_that_closes_takes_nothing_from_its_parent(market: Exchange) -> None:
    """As a block that ends does, and the end of a program."""

    def leave() -> None:
        with market:
            assert market.role == "ended"

    furnish(market, "a")
    assert in_a_child(leave) == ""
    assert market.role == "leader"
    assert market.mint("a", 5, "grant:any").stamp.durable
    assert market.verify().ok


@pytest.fixture(scope="module")
def service(module_database_url: str) -> Iterator[ServiceProcess]:
    with served(module_database_url) as one:
        one.until(lambda told: told.status_code == 200)
        yield one


def test_a_client(service: ServiceProcess) -> None:
    """Its connections are kept, so the child would hear what the parent asks."""
    with Client(service.url, service.key) as client:
        client.open_account("blocking")

        def leave() -> None:
            with client:
                pass

        for work in (
            lambda: client.wallet("blocking"),
            lambda: client.mint("blocking", 1, "grant:any"),
            lambda: next(client.events(1)),
        ):
            check_refused(in_a_child(work), "client")
        assert in_a_child(leave) == ""
        assert client.mint("blocking", 5, "grant:any").stamp.durable
        assert client.wallet("blocking").balance_tokens == 5


def test_an_asyncio_client(service: ServiceProcess) -> None:
    async def ask() -> None:
        async with AsyncClient(service.url, service.key) as client:
            await client.open_account("awaited")
            # A loop does not go over a fork either, so the child's own one asks.
            check_refused(await asyncio.to_thread(in_a_child, lambda: asyncio.run(wallet(client))), "client")
            assert (await client.mint("awaited", 5, "grant:any")).stamp.durable

    async def wallet(client: AsyncClient) -> None:
        await client.wallet("awaited")

    asyncio.run(ask())


@contextmanager
def closed_by_the_child(pool: WorkTables | DailyBudgets) -> Iterator[None]:
    """A child closes it, and its parent uses it on."""
    yield
    assert in_a_child(pool.close) == ""


def test_work_and_budgets(database_url: str) -> None:
    with WorkTables(database_url) as work:
        with closed_by_the_child(work):
            assert work.block(["t"]) == 0
        check_refused(in_a_child(lambda: work.block(["t"])), "source of tasks")
        assert work.block(["t"]) == 0
    with DailyBudgets(database_url) as budgets:
        with closed_by_the_child(budgets):
            assert budgets.allocations() == []
        check_refused(in_a_child(budgets.allocations), "daily budget")
        assert budgets.allocations() == []
