"""What an export is made of: the journal, and nothing else.

Goal: no table can make an export say what did not happen, and rows that have left the journal are missed, and found.
Method: tables and rows changed behind the market's back; a pruned journal with and without its archive.
"""

import json
import random
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from callmarket import Conflict, Exchange, open_exchange
from callmarket.bridge.ledger_export.keccak import keccak256
from callmarket.persistence.errors import Corrupt
from callmarket.persistence.postings import movements_of_row
from tests.bridge.cli.test_commands import as_json, complaint, run
from tests.support.busy_ledger import make_busy
from tests.support.following import projected


@pytest.fixture
def busy(market: Exchange, seed: int) -> Exchange:
    make_busy(market, random.Random(seed), 40)
    return market


@pytest.fixture
def behind(database_url: str) -> Iterator[psycopg.Connection]:
    """A connection that the market does not know of, and that no trigger stops."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection


def logs_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_log_is_proved_by_its_row(busy: Exchange, behind: psycopg.Connection) -> None:
    """EXP-4: blockHash = SHA-256 of parentHash and the row's bytes; transactionHash = keccak256 of these bytes."""
    for log in busy.export_ledger_for_chain(limit=1_000).items:
        row = behind.execute(
            """SELECT format('%%s|%%s|%%s|%%s|%%s|', seq, at_us, rules, actor, command_id)
                || command::text || events::text
            FROM journal WHERE seq = %s""",
            (int(log.block_number, 16),),
        ).fetchone()
        assert row is not None
        content = row[0].encode()
        assert log.block_hash == "0x" + sha256(bytes.fromhex(log.parent_hash[2:]) + content).hexdigest()
        assert log.transaction_hash == "0x" + keccak256(content).hex()


def test_a_table_that_was_changed_changes_no_log(busy: Exchange, behind: psycopg.Connection) -> None:
    before = busy.export_ledger_for_chain(limit=1_000).items
    behind.execute("UPDATE token_ledger SET amount = amount + 1, from_account = 'mallory' WHERE id = 3")
    assert busy.export_ledger_for_chain(limit=1_000).items == before
    behind.execute("UPDATE token_ledger SET seq = seq + 1 WHERE id = 3")
    with pytest.raises(Corrupt, match="no movement 3"):
        busy.export_ledger_for_chain(limit=1_000)


def test_a_row_that_was_changed_is_noticed(busy: Exchange, behind: psycopg.Connection) -> None:
    behind.execute("UPDATE journal SET actor = 'mallory' WHERE seq = (SELECT seq FROM token_ledger WHERE id = 3)")
    with pytest.raises(Corrupt, match="does not have the digest"):
        busy.export_ledger_for_chain(limit=1_000)


def test_the_movements_of_each_row_are_found(busy: Exchange, behind: psycopg.Connection, database_url: str) -> None:
    projected(database_url)
    rows = behind.execute("SELECT seq, from_account, to_account, amount FROM token_ledger ORDER BY id").fetchall()
    last = busy.read(lambda state: state.seq)
    for seq in range(last + 2):
        assert movements_of_row(behind, 0, seq) == [row[1:] for row in rows if row[0] == seq]


def test_rows_that_have_left_the_journal(database_url: str, tmp_path: Path, seed: int) -> None:
    """EXP-5, Precisely: nobody can tell whether a log is one of them. In the archive they are found for an export."""
    with open_exchange(database_url) as market:
        make_busy(market, random.Random(seed), 30)
    archive = str(tmp_path / "archive")
    before = logs_of(run("export", url=database_url).stdout)
    as_json("snapshot", url=database_url)
    with open_exchange(database_url) as again:
        again.mint("alpha", 1, "grant:late")
    pruned = run("prune", "--archive", archive, "--json", url=database_url)
    gone_seq = json.loads(pruned.stdout)["last_seq"]
    assert gone_seq > 10

    told = complaint(run("export", url=database_url), 2)
    assert "is in the archive" in told and "--archive FOLDER" in told
    whole = logs_of(run("export", "--archive", archive, url=database_url).stdout)
    assert whole[:-1] == before
    assert whole[-1]["value"] == f"1{'0' * 18}"
    csv = run("export", "--format", "csv", "--archive", archive, url=database_url).stdout
    assert len(csv.splitlines()) == len(whole) + 1
    # Text for accountants needs no digests, so it needs no archive.
    assert run("export", "--format", "hledger", "--out", str(tmp_path / "books"), url=database_url).returncode == 0

    with open_exchange(database_url) as again:
        with pytest.raises(Conflict, match="rows that the journal has"):
            again.export_ledger_for_chain()
        # Nobody can tell any more whether these are this ledger's own: none is done a second time.
        image = again.image()
        for start in range(0, len(before), 500):
            report = again.import_chain_state(before[start : start + 500], "ethereum", dry_run=False)
            assert report.applied == 0
            assert {one.field for one in report.refused} <= {"blockNumber"}
        assert again.image() == image
        kept = [log for log in whole if int(log["blockNumber"], 16) > gone_seq]
        assert again.import_chain_state(kept, "ethereum").known == len(kept)
        # A log of a chain, of a block with the number of a row that is gone, is none of them.
        other = before[0] | {"data": f"0x{10**18 * 4_321:064x}", "blockHash": f"0x{7:064x}"}
        assert again.import_chain_state([other], "ethereum").applied == 1


def test_an_export_is_of_many_pages(busy: Exchange, database_url: str) -> None:
    """The command line reads page after page: the same logs as with one."""
    wanted = busy.export_ledger_for_chain(limit=1_000)
    assert wanted.next is None and len(wanted.items) > 40
    pages, after = [], None
    while True:
        page = busy.export_ledger_for_chain(limit=7, after=after)
        pages += page.items
        after = page.next
        if after is None:
            break
    assert tuple(pages) == wanted.items
    assert logs_of(run("export", url=database_url).stdout) == json.loads(msgspec.json.encode(wanted.items))
