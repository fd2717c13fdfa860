"""A process under load is killed with SIGKILL, again and again; what was acknowledged is there afterwards, once.

Goal: the promise of README.md, for real. Method: `tests.support.load_process` is started, killed at a moment drawn from
the seed (while it starts and recovers, under load, right before or after a call of a market), and started again; its
clients note what they send and what they are told, and at the end the journal is audited against these notes. The
auditor is itself tried on journals with planted damage.
"""

import random
from pathlib import Path

import pytest
from msgspec import Raw

from callmarket import Request
from callmarket.bridge.api.messages import Reply
from callmarket.engine.codec import GENESIS_DIGEST, decode_command, encode, seal
from callmarket.engine.commands import Entry, Mint, OpenAccount, Transfer
from callmarket.engine.core import Engine
from callmarket.engine.events import Repeated
from callmarket.engine.limits import RULES
from tests.support.client_log import ClientLog, Heard, Intent, Row, Told, audit, read_log
from tests.support.own_server import OwnServer
from tests.support.victim import assert_nothing_lost, victim

KILLS = 8
KILLS_SLOW = 200


def live_and_die(rng: random.Random, url: str, log: Path, number: int) -> None:
    """One life: started, and killed at a random moment."""
    moment = ("ready", "ready", "opening", "calling", "called")[number % 5]
    mode = rng.choice(("threads", "threads", "tasks"))
    with victim(url, log, number, mode) as process:
        process.wait_for(moment)
        if moment == "ready":
            process.live(rng.uniform(0.05, 0.9))
        elif moment == "opening":
            process.live(rng.uniform(0, 0.2))
    assert not process.complaints, process.complaints


def test_kills_lose_nothing_that_was_acknowledged(database_url: str, tmp_path: Path, seed: int) -> None:
    """IDM-1, LED-1: every acknowledged reply is in the journal as it was told, every command took effect once."""
    rng, log = random.Random(seed), tmp_path / "clients.log"
    for number in range(KILLS):
        live_and_die(rng, database_url, log, number)
    heard = assert_nothing_lost(database_url, log)
    # Else the test has shown nothing.
    assert len(heard.told) > 20 * KILLS, len(heard.told)
    assert any(one.repeated for one in heard.told)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_kills_of_engine_and_database_lose_nothing(own_server: OwnServer, tmp_path: Path, seed: int) -> None:
    """As above, 200 times, and the database is killed or reset too: beside the engine, before it, or without it."""
    rng, log = random.Random(seed), tmp_path / "clients.log"
    with own_server.market_database() as url:
        for number in range(KILLS_SLOW):
            match rng.randrange(5):
                case 0 | 1:
                    live_and_die(rng, url, log, number)
                case 2:
                    with victim(url, log, number, "threads") as process:
                        process.wait_for("ready")
                        process.live(rng.uniform(0.02, 0.5))
                        own_server.kill()
                    own_server.start()
                case 3:
                    with victim(url, log, number, "tasks") as process:
                        process.wait_for("opening")
                        process.live(rng.uniform(0, 0.2))
                        own_server.stop()
                        own_server.start()
                case _:
                    with victim(url, log, number, "threads") as process:
                        process.wait_for("called")
                        own_server.kill() if rng.random() < 0.5 else own_server.stop()
                        process.live(rng.uniform(0.01, 0.3))
                        own_server.start()
                        # The engine has lived on and finds its way.
                        process.wait_for("called")
                        process.live(rng.uniform(0.01, 0.3))
        assert_nothing_lost(url, log)


# --- the auditor, tried ----------------------------------------------------------------------------------------------


def history() -> tuple[Heard, list[Row]]:
    """A short history as it should be: six commands, one of them retried, all answered."""
    commands = [
        ("admin", "open-a", OpenAccount("a", "agent")),
        ("admin", "open-b", OpenAccount("b", "agent")),
        ("admin", "mint", Mint("a", 100, "grant:initial")),
        ("a", "pay", Transfer("a", "b", 30, "gift:any")),
        ("a", "pay", Transfer("a", "b", 30, "gift:any")),
        ("a", "pay-too-much", Transfer("a", "b", 300, "gift:any")),
    ]
    engine, digest = Engine(), GENESIS_DIGEST
    heard, rows = Heard({}, [], 0, []), []
    for seq, (actor, command_id, command) in enumerate(commands, 1):
        entry = Entry(seq, 1_000 + seq, actor, command, command_id)
        events = engine.apply(entry)
        sealed = seal(digest, entry, events)
        digest = sealed.digest
        rows.append(Row(seq, 1, entry.at_us, actor, command_id, RULES, sealed.command_json, sealed.events_json, digest))
        heard.intents[actor, command_id] = Intent(actor, command_id, Raw(encode(command)))
        first = events[0].first_seq if isinstance(events[0], Repeated) else seq
        heard.told.append(Told(actor, command_id, first, first != seq, Raw(rows[first - 1].events)))
    return heard, rows


def sealed_again(rows: list[Row]) -> list[Row]:
    """The rows with seqs and digests made right, as somebody would who hides what was done to them."""
    digest, again = GENESIS_DIGEST, []
    engine = Engine()
    for seq, row in enumerate(rows, 1):
        entry = Entry(seq, row.at_us, row.actor, decode_command(row.command), row.command_id)
        events = engine.apply(entry)
        digest = seal(digest, entry, events).digest
        again.append(row._replace(seq=seq, events=encode(events), digest=digest))
    return again


def test_auditor_passes_a_whole_history() -> None:
    heard, rows = history()
    assert audit(heard, rows) == []


def test_auditor_finds_a_lost_row() -> None:
    heard, rows = history()
    assert any("row 4 is missing" in one for one in audit(heard, rows[:3] + rows[4:]))
    assert any("row 6 of a pay-too-much is lost" in one for one in audit(heard, rows[:5]))


def test_auditor_finds_a_lost_row_that_was_covered_up() -> None:
    """The rows after it move up and have right digests; what the clients were told gives it away."""
    heard, rows = history()
    assert any("pay" in one for one in audit(heard, sealed_again(rows[:2] + rows[3:])))


def test_auditor_finds_a_doubled_row() -> None:
    heard, rows = history()
    assert audit(heard, [*rows[:4], rows[3], *rows[4:]])
    # The same command applied a second time as if it had no id, and all digests right.
    doubled = [*sealed_again(rows[:4]), rows[3]._replace(seq=5)]
    assert any("applied 2 times, at [4, 5]" in one for one in audit(heard, doubled))


def test_auditor_finds_a_changed_event() -> None:
    heard, rows = history()
    changed = rows[3]._replace(events=rows[3].events.replace(b'"amount_tokens":30', b'"amount_tokens":31'))
    assert changed != rows[3]
    problems = audit(heard, [*rows[:3], changed, *rows[4:]])
    assert any("row 4 does not continue the digest" in one for one in problems)
    assert any("row 4 says" in one for one in problems)


def test_auditor_finds_a_reply_that_nobody_journaled() -> None:
    heard, rows = history()
    heard.told.append(Told("a", "ghost", 7, False, Raw(b"[]")))
    assert any("ghost was acknowledged at 7 and never applied" in one for one in audit(heard, rows))


def test_auditor_finds_a_watermark_that_promises_too_much() -> None:
    heard, rows = history()
    heard.told[-1] = Told("a", "pay-too-much", 6, False, Raw(rows[5].events), durable_seq=7)
    assert any("told that 7 is durable, and 6 is the last" in one for one in audit(heard, rows))


def test_auditor_finds_a_command_that_nobody_sent() -> None:
    heard, rows = history()
    del heard.intents["a", "pay-too-much"]
    assert any("nobody sent" in one for one in audit(heard, rows))


def test_auditor_finds_a_command_that_was_sent_otherwise() -> None:
    heard, rows = history()
    heard.intents["a", "pay"] = Intent("a", "pay", Raw(encode(Transfer("a", "b", 29, "gift:any"))))
    assert any("was sent as" in one for one in audit(heard, rows))


def test_torn_line_counts_as_never_delivered(tmp_path: Path) -> None:
    path = tmp_path / "clients.log"
    log = ClientLog(path)
    requests = [Request("admin", OpenAccount(name, "agent"), f"open-{name}") for name in "ab"]
    log.intend(requests)
    log.told(requests, [Reply(1, 1, (), 2), Reply(2, 1, (), 2)])
    log.close()
    path.write_bytes(path.read_bytes()[:-5])
    ClientLog(path).close()
    heard = read_log(path)
    assert heard.torn == 1
    assert [intent.command_id for intent in heard.unanswered()] == ["open-b"]
