"""Reports and errors of persistence as people read them, word for word, with no two numbers alike.

Goal: a person who decides by one of them decides by the right number. Method: one table of reports beside their text.
"""

import copy
import pickle
from datetime import UTC, datetime

import pytest

from callmarket.persistence import verify as verifying
from callmarket.persistence.errors import RowsLost
from callmarket.persistence.journal.postgres import PostgresJournal, is_archived
from callmarket.persistence.journal.protocol import Archive
from callmarket.persistence.leadership.register import Leader
from callmarket.persistence.recovery import PassedOver, Report
from callmarket.persistence.snapshot_follower import Taken
from callmarket.persistence.snapshots.store import Info
from callmarket.persistence.tables.rebuild import Rebuilt
from callmarket.persistence.verify import DIFFERENCES_MAX, VerifyReport, verify
from tests.support.following import level
from tests.support.sealed import bids

PASSED = PassedOver(1_200, "s-12", "it is damaged")
PASSED_WORDS = "passed over snapshot s-12 of row 1,200: it is damaged"
INFO = Info("s-15", 1_500, 9, b"d", 1, 2, 123_456, 7_890, b"c", datetime(2027, 1, 1, tzinfo=UTC))
ENDING = (
    "Bring the database back as it was, or accept the loss with `callmarket accept-loss`; until then nobody should "
    "lead it."
)


@pytest.mark.parametrize(
    ("report", "words"),
    [
        (Report(1_000, 11, 9.0, 0, 3.0, 0.5), "1,000 rows in 0.50 s (2,000/s), 11 of older rules"),
        (
            Report(1_000, 11, 9.0, 1_500, 3.25, 0.5, (PASSED, PASSED)),
            "1,000 rows in 0.50 s (2,000/s), 11 of older rules, after the snapshot of row 1,500 in 3.25 s\n  "
            f"{PASSED_WORDS}\n  {PASSED_WORDS}",
        ),
        (Report(0, 0, 9.0), "0 rows in 0.00 s (0/s), 0 of older rules"),
        (
            Rebuilt(3, 2_000, 1_111, 4_444, 0.5),
            "shard 3: 4,444 table rows from 2,000 journal rows in 0.5 s (4,000/s), where 1,111 were before",
        ),
        (
            Rebuilt(3, 2_000, 1_111, 4_444, 0.0),
            "shard 3: 4,444 table rows from 2,000 journal rows in 0.0 s (0/s), where 1,111 were before",
        ),
        (
            Taken(INFO, 1_700, 1.25, (PASSED,), ()),
            "snapshot s-15 of row 1,500: 123,456 bytes, 7,890 stored, 1,700 rows replayed, read back, 1.25 s\n  "
            f"{PASSED_WORDS}",
        ),
        (
            Leader(7, "http://one", "pid 5 on host", "alive", 1.26, False),
            "http://one (pid 5 on host, epoch 7, lease renewed 1.3 s ago)",
        ),
        (
            RowsLost(5, 6),
            f"the journal went back from row 6 to row 5: row 6, which had been acknowledged, are lost. {ENDING}",
        ),
        (
            RowsLost(5, 7),
            f"the journal went back from row 7 to row 5: rows 6 to 7, which had been acknowledged, are lost. {ENDING}",
        ),
        (
            RowsLost(9, 7, other=True),
            "row 7 of the journal is not the one that was acknowledged: others, up to that one, which had been "
            f"acknowledged, are lost. {ENDING}",
        ),
    ],
)
def test_a_report_is_what_it_says(report: object, words: str) -> None:
    assert str(report) == words


def test_lost_rows_are_told_to_each_waiter_alike() -> None:
    for lost in (RowsLost(5, 7), RowsLost(9, 7, other=True)):
        for other in (copy.copy(lost), pickle.loads(pickle.dumps(lost))):
            assert (str(other), other.last_seq, other.lost_seq, other.other) == (
                str(lost),
                lost.last_seq,
                lost.lost_seq,
                lost.other,
            )


READ = "shard 3: 2,000 journal rows, 1,500 table rows, 1.3 s"
WHOLE = "\n  The journal itself is whole: `callmarket rebuild-projections` makes the tables again from it."


@pytest.mark.parametrize(
    ("first_bad_seq", "differences", "behind", "words"),
    [
        (None, (), False, f"{READ}: all right"),
        (None, (), True, f"{READ}, tables up to row 1,900: all right"),
        (None, ("bids 5: wrong",), True, f"{READ}, tables up to row 1,900: 1 differences\n  bids 5: wrong{WHOLE}"),
        (7, ("journal: wrong",), False, f"{READ}: 1 differences\n  journal: wrong"),
        (
            7,
            ("x",) * DIFFERENCES_MAX,
            False,
            f"{READ}: {DIFFERENCES_MAX} or more differences" + "\n  x" * DIFFERENCES_MAX,
        ),
    ],
)
def test_a_report_of_verify_is_what_it_says(
    first_bad_seq: int | None, differences: tuple[str, ...], behind: bool, words: str
) -> None:
    report = VerifyReport(3, 2_000, 1_500, 1.26, first_bad_seq, differences, 1_900, behind)
    assert (str(report), report.ok) == (words, not differences)


def test_the_file_that_has_a_row_is_named() -> None:
    archives = [
        Archive(first, last, 1, 1, b"", b"", f"file-{last}", 1, b"") for first, last in ((1, 10), (11, 20), (21, 30))
    ]
    for seq, name in ((1, "file-10"), (10, "file-10"), (11, "file-20"), (30, "file-30"), (31, "file-30")):
        assert str(is_archived(4, seq, archives)).startswith(
            f"Row {seq} of shard 4 is in the archive, in {name}, with all rows up to 30: name the folder that has it "
        )


def test_what_state_and_events_disagree_on_is_in_the_report(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No damage of stored rows can cause it, only a mistake of the code that folds them: looked for at the mark."""
    with PostgresJournal(database_url, 0) as journal:
        journal.claim()
        journal.append(bids(5))
    level(database_url)
    asked: list[tuple[int, int]] = []

    def disagree(state, changes):
        asked.append((state.seq, changes.last_seq))
        return iter(["wallets: they disagree", "bids: they disagree"])

    assert verify(database_url, 0).ok
    monkeypatch.setattr(verifying, "disagreements", disagree)
    report = verify(database_url, 0)
    assert (report.ok, report.first_bad_seq) == (False, None)
    assert report.differences == ("wallets: they disagree", "bids: they disagree")
    assert asked == [(26, 26)]
    assert "2 differences\n  wallets: they disagree\n  bids: they disagree\n  The journal itself is whole" in str(
        report
    )
    monkeypatch.setattr(verifying, "disagreements", lambda *_: iter(["x"] * 2 * DIFFERENCES_MAX))
    report = verify(database_url, 0)
    assert f"{DIFFERENCES_MAX} or more differences" in str(report)
