"""Each fault once, on a real PostgreSQL, with a market under load: service comes back by itself, and nothing is lost.

Goal: the promise of README.md when something breaks. Method: `tests.faults.campaign` draws moment and length from the
seed; `python3 dev.py faults` does it many times and prints the table of docs/faults.md.
"""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.faults.campaign import FAULTS, HASTY, messages, one_round, open_campaign_server, open_place, table
from tests.faults.disk import NoSmallDisk
from tests.faults.fault import Fault, Strike
from tests.faults.processes import freeze_server, kill_engine
from tests.faults.stage import Stage, open_stage
from tests.support.own_server import OwnServer
from tests.support.small_market import until

# How much shorter they are than in the campaign.
SHORTER = 0.3
# Each audit reads all that a market has done: one that has done more makes room for a new one.
MARKET_ROWS_MAX = 10_000


class Stages:
    """One market for some faults of a kind of place, one after the other, so that only one keeps the machine busy."""

    def __init__(self, server: OwnServer, folder: Path, seed: int) -> None:
        self.server = server
        self.folder = folder
        self.rng = random.Random(seed)
        self._place = ""
        self._open: tuple[Stage, ExitStack] | None = None

    def at(self, fault: Fault) -> Stage:
        """The market that this fault is tried on; the one before is audited to the end. Raises `NoSmallDisk`."""
        if self._open is None or self._place != fault.place or self._open[0].last_seq > MARKET_ROWS_MAX:
            self.close()
            with ExitStack() as stack:
                server = stack.enter_context(open_place(fault, self.server))
                opened = open_stage(server, self.folder, self.rng.getrandbits(32), HASTY, fault.place)
                self._place, self._open = fault.place, (stack.enter_context(opened), stack.pop_all())
        return self._open[0]

    def forget(self, error: BaseException) -> None:
        """This market has failed: the next fault gets a new one."""
        if self._open is not None:
            (_, stack), self._open = self._open, None
            stack.__exit__(type(error), error, error.__traceback__)

    def close(self) -> None:
        """Audit it to the end."""
        if self._open is not None:
            (_, stack), self._open = self._open, None
            stack.close()


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stages]:
    with open_campaign_server() as server:
        opened = Stages(server, tmp_path_factory.mktemp("faults"), request.config.option.seed)
        yield opened
        opened.close()


@pytest.mark.parametrize(
    "fault",
    [pytest.param(fault, id=fault.name, marks=[pytest.mark.slow] * fault.long) for fault in FAULTS],
)
@pytest.mark.timeout(300)
def test_a_market_outlives(stages: Stages, fault: Fault, seed: int) -> None:
    """IDM-1, LED-1: what was acknowledged is there once, and the market serves again without a person."""
    rng = random.Random(f"{seed}/{fault.name}")
    try:
        stage = stages.at(fault)
    except NoSmallDisk as error:
        pytest.skip(f"no small file system can be mounted here: {error}")
    try:
        seen = one_round(stage, fault, rng, shorter=1.0 if fault.long else SHORTER)
    except BaseException as error:
        stages.forget(error)
        raise
    print(f"{table([seen])}\n{messages([seen])}")  # noqa: T201  (pytest shows it where it is asked for)


# --- the driver, tried -----------------------------------------------------------------------------------------------


def sending(statement: str) -> Strike:
    """A strike that changes what is stored, which no true fault may."""

    @contextmanager
    def strike(stage: Stage, rng: random.Random) -> Iterator[None]:
        with stage.connect() as connection:
            # What is changed has to be there: a market that has just begun to answer may be slow.
            until(lambda: connection.execute("SELECT count(*) > 30 FROM journal").fetchone() == (True,))
            connection.execute("SET session_replication_role = replica")
            assert connection.execute(statement).rowcount > 0
        yield

    return strike


@contextmanager
def never_heal(stage: Stage, rng: random.Random) -> Iterator[None]:
    """The engine's database is told to let nobody in, and nobody takes that back."""
    stage.alter_database("default_transaction_read_only", "on")
    stage.signal_writer("pg_terminate_backend")
    while stage.silence_s() < 0.3:
        time.sleep(0.01)
    yield


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        (Fault("a row is lost", "", sending("DELETE FROM journal WHERE seq = 20")), "row 20 is missing"),
        (Fault("a payment is forgotten", "", sending("DELETE FROM token_ledger WHERE seq < 30")), "token_ledger"),
        (Fault("an engine ends", "", kill_engine), "an engine has ended by itself"),
        (Fault("no end", "", never_heal), "no service within"),
        (Fault("unexpected errors", "", freeze_server, (0.9, 0.9), errors=frozenset()), "UnknownOutcome"),
    ],
    ids=lambda value: value.name.replace(" ", "-") if isinstance(value, Fault) else "",
)
def test_driver_finds(
    stages: Stages, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, fault: Fault, complaint: str
) -> None:
    """What must not be is reported, whichever of its eyes has to see it."""
    stages.close()
    with ExitStack() as stack:
        stage = stack.enter_context(open_stage(stages.server, tmp_path, seed % 2**32, HASTY))
        if complaint == "no service within":
            # Only now that the engine serves: its start may take longer.
            monkeypatch.setattr("tests.faults.stage.SERVICE_S_MAX", 4.0)
        with pytest.raises(AssertionError, match=complaint):
            one_round(stage, fault, random.Random(seed))
        # Its last audit would rightly fail.
        monkeypatch.setattr(stage, "close", stage.kill_engines)
