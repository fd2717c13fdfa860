"""The demo from end to end, on the real thing: PostgreSQL, an engine process, a SIGKILL, the audit, the report.

Goal: what a newcomer runs first works, proves what it says, and fails loudly where it cannot. Method: two virtual
minutes on a database of its own; the pages and tables are read like a user reads them.
"""

import io
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psycopg
import pytest
from rich.console import Console

from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.messages import Request
from callmarket.bridge.studies.demo.options import DemoOptions
from callmarket.bridge.studies.demo.process.database import DemoRunning, fresh_database
from callmarket.bridge.studies.demo.process.engine_client import EngineClient, EngineFailed
from callmarket.bridge.studies.demo.result import DemoResult
from callmarket.bridge.studies.demo.run import run_demo
from callmarket.bridge.studies.demo.terminal import print_result
from callmarket.engine.commands import Mint, OpenAccount
from tests.support.databases import TestServer
from tests.support.pages import check_self_contained


@pytest.fixture(scope="module")
def options(postgres_server: TestServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoOptions]:
    """Options of a small demo on a database of its own."""
    database = f"callmarket_demo_test_{os.getpid()}"
    yield DemoOptions(
        minutes=5,
        other_seeds=1,
        report=tmp_path_factory.mktemp("demo") / "report.html",
        url=postgres_server.url("postgres"),
        database=database,
    )
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')


@pytest.fixture(scope="module")
def shown() -> io.StringIO:
    """What the demo printed."""
    return io.StringIO()


@pytest.fixture(scope="module")
def result(options: DemoOptions, shown: io.StringIO) -> DemoResult:
    """The result of the one run that the tests of this file read."""
    return run_demo(options, Console(file=shown, width=80))


def test_every_proof_holds(result: DemoResult):
    assert [proof for proof in result.proofs if not proof.ok] == []
    assert len(result.proofs) == 7
    assert result.ok


def test_the_engine_was_killed_with_half_of_a_batch_durable(result: DemoResult):
    kill = result.kill
    assert kill is not None
    assert kill.in_flight >= 20
    # The first half for certain; of the second half whatever was quick enough.
    assert kill.in_flight // 2 <= kill.found_journaled <= kill.in_flight
    assert kill.rows_recovered == kill.acknowledged + kill.found_journaled


def test_the_result_is_the_same_without_the_kill(result: DemoResult, options: DemoOptions):
    calm = run_demo(msgspec.structs.replace(options, kill=False, report=None), Console(file=io.StringIO()))
    assert calm.ok
    assert calm.kill is None
    assert (calm.policies, calm.economy) == (result.policies, result.economy)


def test_the_result_is_json(result: DemoResult):
    decoded = msgspec.json.decode(msgspec.json.encode(result))
    assert decoded["ok"] is True
    assert [row["policy"] for row in decoded["policies"]] == ["auction", "first come", "proportional", "shortest job"]


def test_the_output_fits_eighty_columns_and_needs_no_colour(result: DemoResult, shown: io.StringIO):
    lines = shown.getvalue().splitlines()
    report_line = next(line for line in lines if line.startswith("Report:"))
    assert max(len(line) for line in lines if line != report_line) <= 80
    assert "\x1b" not in shown.getvalue()
    assert shown.getvalue().isascii()
    for proof in result.proofs:
        assert proof.claim in shown.getvalue()


def test_a_failed_proof_is_loud(result: DemoResult):
    first = msgspec.structs.replace(result.proofs[0], ok=False)
    stream = io.StringIO()
    print_result(Console(file=stream, width=80), msgspec.structs.replace(result, proofs=(first,)))
    assert f"FAILED  {first.claim}" in stream.getvalue()


def test_the_report_needs_nothing_from_outside(result: DemoResult):
    assert result.report is not None
    check_self_contained(Path(result.report).read_text(encoding="utf-8"))


def test_the_report_says_what_is_drawn_and_what_is_proven(result: DemoResult):
    assert result.report is not None
    text = Path(result.report).read_text(encoding="utf-8")
    assert text.count("<svg") == 5
    assert f"seed {result.scene.seed}" in text
    for words in ("What is real and what is drawn", "Where it does not", "Killed in the middle"):
        assert words in text
    for proof in result.proofs:
        assert proof.claim in text
    assert "$" + "{" not in text


def test_two_demos_do_not_take_the_database_from_each_other(options: DemoOptions):
    with fresh_database(options), pytest.raises(DemoRunning, match="another demo"), fresh_database(options):
        pass


def test_wrong_options_are_refused_before_anything_is_done(options: DemoOptions):
    for wrong in ({"minutes": 0}, {"minutes": 16}, {"slots": 0}, {"report": Path("/no-such-folder/report.html")}):
        with pytest.raises(Invalid):
            run_demo(msgspec.structs.replace(options, **wrong), Console(file=io.StringIO()))


def test_an_engine_process_that_dies_by_itself_is_an_error_and_not_a_hang(options: DemoOptions):
    with fresh_database(options) as url, EngineClient(url) as client:
        request = Request("admin", OpenAccount("alice", "agent"), "1")
        assert not client.submit(1, [request])[0].repeated
        assert client.submit(2, [request])[0].repeated
        os.kill(client._process.pid, signal.SIGKILL)
        with pytest.raises(EngineFailed):
            client.submit(3, [Request("admin", Mint("alice", 5, "grant:initial"), "2")])


def test_an_engine_process_without_a_database_says_why():
    with pytest.raises(EngineFailed, match="no-such-folder"):
        EngineClient("postgresql:///nothing?host=/no-such-folder")
