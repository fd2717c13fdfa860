"""A worker is killed in the middle of its work, and a service in the middle of a settlement.

Goal: no award is worked twice, none that was worked and is still live is left unpaid, and nobody pays twice. Method:
`callmarket serve`, the worker and PostgreSQL as processes of their own, SIGKILL and SIGTERM, and a proxy that holds the
settlement where the test wants it. Each work begun is on a log, so what was worked twice is seen there.
"""

import signal
from collections.abc import Iterator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from callmarket import Client
from callmarket.bridge.api.operations.awards import AwardRow
from callmarket.bridge.fleet.tasks.model import Quest, Task
from callmarket.bridge.fleet.tasks.tables import WorkTables
from tests.support.proxy import Proxy
from tests.support.service_process import ServiceProcess, served
from tests.support.small_market import until
from tests.support.worker_process import WorkerProcess, working

TOKENS, PRICE = 1_000, 40
_names = count(1)


@pytest.fixture(scope="module")
def service(module_database_url: str) -> Iterator[ServiceProcess]:
    """A service that these tests share, each with a market of its own."""
    with served(module_database_url) as process:
        yield process


class Platform:
    """One market, one quest, one worker's slot, under names of their own."""

    def __init__(self, database_url: str, market: Client, source: WorkTables, folder: Path) -> None:
        self.database_url, self.market, self.source, self.folder = database_url, market, source, folder
        self.name = str(next(_names))
        market.open_market(f"m{self.name}", reserve_price_tokens=PRICE, lease=timedelta(hours=1))
        for account_id in (f"q{self.name}", f"p{self.name}"):
            market.open_account(account_id)
        market.mint(f"q{self.name}", TOKENS, "grant:initial")
        source.put_quests([Quest("q", f"q{self.name}")])

    def worker(self, url: str, key: str, worker_id: str = "w") -> Any:
        """The worker as a process; one with the same id has the same folder."""
        return working(
            self.database_url,
            url,
            key,
            self.folder / worker_id,
            worker_id=f"{worker_id}{self.name}",
            market_id=f"m{self.name}",
            slot_ids=[f"s{self.name}"],
            provider_id=f"p{self.name}",
        )

    def win(self, task_id: str) -> AwardRow:
        """Bid for a task, and call the market until it wins."""
        self.source.put_tasks([Task(task_id, "q", 0.5, 0.5)])
        until(lambda: bool(self.market.slots(f"m{self.name}", "offered").items))
        bid = self.market.place_bid(f"m{self.name}", f"q{self.name}", task_id, 100)
        (award,) = self.market.clear_round(f"m{self.name}").awards
        assert award.bid_id == bid.bid_id
        return self.award(award.award_id)

    def award(self, award_id: int) -> AwardRow:
        """As it stands."""
        (row,) = [row for row in self.market.awards(f"m{self.name}").items if row.award_id == award_id]
        return row

    def until_award(self, award_id: int, status: str) -> None:
        until(lambda: self.award(award_id).status == status)

    def status_of(self, task_id: str) -> str:
        return self.source.tasks([task_id])[task_id].status

    @property
    def paid(self) -> list[int]:
        """Each payment that the provider got."""
        return [row.amount_tokens for row in self.market.statement(f"p{self.name}").items]


@pytest.fixture
def platform(service: ServiceProcess, module_database_url: str, tmp_path: Path) -> Iterator[Platform]:
    """A platform on the shared service."""
    with Client(service.url, service.key) as market, WorkTables(module_database_url, 0) as source:
        yield Platform(module_database_url, market, source, tmp_path)


def begun(process: WorkerProcess, awards: int) -> None:
    until(lambda: len(process.begun) >= awards)


def test_a_worker_killed_in_the_middle_of_its_work(service: ServiceProcess, platform: Platform) -> None:
    """After its restart the award is voided, the whole hold is back, and the task is worked under its next award."""
    task_id = f"t{platform.name}"
    with platform.worker(service.url, service.key) as process:
        first = platform.win(task_id)
        begun(process, 1)
        process.kill()
    assert platform.award(first.award_id).status == "awarded"
    assert platform.status_of(task_id) == "awarded"
    with platform.worker(service.url, service.key) as process:
        platform.until_award(first.award_id, "voided")
        assert platform.status_of(task_id) == "open"
        assert platform.market.wallet(f"q{platform.name}").available_tokens == TOKENS
        second = platform.win(task_id)
        process.open_gate()
        platform.until_award(second.award_id, "settled")
        assert process.begun == [(task_id, first.award_id), (task_id, second.award_id)]
        process.tell()
        assert process.wait() == 0
    assert platform.paid == [PRICE]


def test_a_worker_killed_between_completion_and_settlement(service: ServiceProcess, platform: Platform) -> None:
    """After its restart the award is settled with what was recorded, and nothing is worked."""
    task_id = f"t{platform.name}"
    with Proxy(f"host=127.0.0.1 port={service.port}") as line:
        for _ in range(50):
            line.cut(b"/settle", "before")
        url = f"http://127.0.0.1:{line.listener.getsockname()[1]}"
        with platform.worker(url, service.key) as process:
            process.open_gate()
            award = platform.win(task_id)
            until(lambda: line.cuts_made > 0)
            process.kill()
    assert platform.status_of(task_id) == "done"
    assert platform.award(award.award_id).status == "awarded"
    with platform.worker(service.url, service.key) as process:
        platform.until_award(award.award_id, "settled")
        assert process.begun == [(task_id, award.award_id)]
    assert platform.paid == [PRICE]


def test_a_worker_ends_at_one_signal_in_order_and_at_two_at_once(service: ServiceProcess, platform: Platform) -> None:
    """A signal ends a worker after the work in hand, a second one at once: then the award is void."""
    with platform.worker(service.url, service.key, "patient") as process:
        award = platform.win(f"t{platform.name}-1")
        begun(process, 1)
        process.tell()
        process.open_gate()
        assert process.wait() == 0
        assert platform.award(award.award_id).status == "settled"
    with platform.worker(service.url, service.key, "hurried") as process:
        award = platform.win(f"t{platform.name}-2")
        begun(process, 1)
        process.tell()
        # Another one, for two of the same that come together are one.
        process.tell(signal.SIGINT)
        assert process.wait() == 0
        assert platform.award(award.award_id).status == "voided"
    assert platform.status_of(f"t{platform.name}-2") == "open"


@pytest.mark.parametrize("moment", ["before", "answered"])
def test_a_service_killed_in_the_middle_of_a_settlement(database_url: str, tmp_path: Path, moment: Any) -> None:
    """The settlement did not arrive, or it did and its reply is lost: when the market is back it is settled, once."""
    with served(database_url, tmp_path / "home") as service, Proxy(f"host=127.0.0.1 port={service.port}") as line:
        line.cut(b"/settle", moment)
        url = f"http://127.0.0.1:{line.listener.getsockname()[1]}"
        with Client(service.url, service.key) as market, WorkTables(database_url) as source:
            platform = Platform(database_url, market, source, tmp_path)
            task_id = f"t{platform.name}"
            with platform.worker(url, service.key) as process:
                award = platform.win(task_id)
                begun(process, 1)
                line.refusing = True
                process.open_gate()
                until(lambda: line.cuts_made == 1)
                service.kill()
                line.refusing = False
                with served(database_url, tmp_path / "home", port=service.port) as again:
                    platform.until_award(award.award_id, "settled")
                    next_award = platform.win(f"{task_id}-next")
                    platform.until_award(next_award.award_id, "settled")
                    assert process.begun == [(task_id, award.award_id), (f"{task_id}-next", next_award.award_id)]
                    assert platform.paid == [PRICE, PRICE]
                    process.tell()
                    assert process.wait() == 0
                    assert again.end() == 0


def test_a_stale_process_loses_by_its_award(service: ServiceProcess, platform: Platform) -> None:
    """SLT-3: two processes, one slot; the first still works when its award is void and the slot is the other's."""
    first_task, second_task = f"t{platform.name}-1", f"t{platform.name}-2"
    with platform.worker(service.url, service.key, "stale") as stale:
        first = platform.win(first_task)
        begun(stale, 1)
        platform.market.void(f"s{platform.name}", provider_id=f"p{platform.name}", award_id=first.award_id)
        with platform.worker(service.url, service.key, "fresh") as fresh:
            fresh.open_gate()
            second = platform.win(second_task)
            platform.until_award(second.award_id, "settled")
            stale.open_gate()
            until(lambda: platform.status_of(first_task) == "done")
            third = platform.win(f"t{platform.name}-3")
            platform.until_award(third.award_id, "settled")
            assert stale.begun[:1] == [(first_task, first.award_id)]
            assert (second_task, second.award_id) in fresh.begun
            assert len(stale.begun) + len(fresh.begun) == 3
    assert platform.award(first.award_id).status == "voided"
    assert platform.paid == [PRICE, PRICE]
