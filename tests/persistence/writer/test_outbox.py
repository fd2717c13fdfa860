"""What the background writer decides, step by step, with times and outcomes handed in.

Goal: order, bounds, doubt, backing off and failing, each in a few lines and without a thread. The whole of it under
threads and a real PostgreSQL is in `test_write_behind.py`, and under everything at once in `tests/simulation`.
"""

from dataclasses import replace

import pytest

from callmarket.engine.codec import GENESIS_DIGEST, SealedRow
from callmarket.persistence.errors import Corrupt, Diverged, Fenced, Gap, PersistenceError, RowsLost, Unavailable
from callmarket.persistence.journal.protocol import Position
from callmarket.persistence.writer.limits import Limits
from callmarket.persistence.writer.outbox import Notices, Outbox
from tests.support.sealed import bids

EPOCH = 3
START = Position(EPOCH, 0, GENESIS_DIGEST)
ROWS = bids(30)
LIMITS = Limits(batch_rows_max=10, backoff_s_min=1, backoff_s_max=3, attempt_s_max=5, outage_s_max=10)


def filled(rows: int = 20, limits: Limits = LIMITS) -> Outbox:
    outbox = Outbox(START, limits)
    outbox.enqueue(*ROWS[:rows])
    return outbox


def sending(rows: int = 20) -> Outbox:
    """One that has looked and is about to send its first batch."""
    outbox = filled(rows)
    assert outbox.next_step(0) == "look"
    assert outbox.on_position(START) == []
    assert outbox.next_step(0) == "send"
    return outbox


def seqs(outbox: Outbox) -> list[int]:
    return [row.entry.seq for row in outbox.batch]


def after(row: SealedRow, epoch: int = EPOCH) -> Position:
    return Position(epoch, row.entry.seq, row.digest)


def tell(due: Notices) -> None:
    for callback, failure in due:
        callback(failure)


def test_the_outbox_looks_once_and_then_sends_batch_after_batch() -> None:
    outbox = sending()
    assert seqs(outbox) == list(range(1, 11))
    outbox.on_sent()
    assert outbox.durable == after(ROWS[9])
    assert outbox.next_step(0) == "send"
    assert seqs(outbox) == list(range(11, 21))
    outbox.on_sent()
    assert outbox.next_step(0) == "idle"
    assert (outbox.queue_rows, outbox.queue_bytes) == (0, 0)


def test_a_queue_that_is_full_takes_nothing_and_says_why() -> None:
    """All or none; what is under way counts until it is durable; the bytes bound whoever asks first, not who has."""
    outbox = Outbox(START, replace(LIMITS, queue_rows_max=12))
    outbox.enqueue(*ROWS[:10])
    assert (outbox.has_room(2), outbox.has_room(3)) == (True, False)
    with pytest.raises(Unavailable, match=r"10 rows wait for the database \(it is slow\)"):
        outbox.enqueue(*ROWS[10:13])
    assert outbox.queue_rows == 10
    outbox.enqueue(*ROWS[10:12])
    outbox.next_step(0)
    outbox.refused(Unavailable("away"), 0)
    assert not outbox.has_room()
    with pytest.raises(Unavailable, match=r"12 rows wait for the database \(away\)"):
        outbox.enqueue(ROWS[12])
    outbox.next_step(1)
    outbox.on_position(after(ROWS[9]))
    assert (outbox.has_room(10), outbox.has_room(11)) == (True, False)


def test_a_queue_is_full_by_its_bytes_too() -> None:
    sizes = [len(row.command_json) + len(row.events_json) for row in ROWS]
    outbox = Outbox(START, replace(LIMITS, queue_bytes_max=sum(sizes[:3])))
    outbox.enqueue(*ROWS[:2])
    assert outbox.has_room(100)
    outbox.enqueue(*ROWS[2:4])
    assert not outbox.has_room()
    assert outbox.queue_bytes == sum(sizes[:4])
    outbox.enqueue(ROWS[4])


def test_a_batch_is_cut_at_its_bytes_and_has_a_row_at_least() -> None:
    sizes = [len(row.command_json) + len(row.events_json) for row in ROWS]
    for bytes_max, count in ((1, 1), (sizes[0], 1), (sizes[0] + 1, 2), (sum(sizes[:3]), 3)):
        outbox = filled(20, replace(LIMITS, batch_bytes_max=bytes_max))
        outbox.next_step(0)
        assert seqs(outbox) == list(range(1, count + 1))


def test_the_oldest_row_is_the_first_that_is_not_durable() -> None:
    outbox = Outbox(START, LIMITS)
    assert outbox.oldest_at_us is None
    outbox.enqueue(*ROWS[:20])
    assert outbox.oldest_at_us == ROWS[0].entry.at_us
    outbox.next_step(0)
    assert outbox.oldest_at_us == ROWS[0].entry.at_us, "what is under way is not durable"
    outbox.on_position(after(ROWS[9]))
    assert outbox.oldest_at_us == ROWS[10].entry.at_us


def test_congestion_says_whether_the_database_is_unavailable_or_slow() -> None:
    outbox = filled()
    outbox.next_step(0)
    assert outbox.congestion() == "the database is slow"
    outbox.refused(Unavailable("away"), 0)
    assert outbox.congestion() == "the database is unavailable"


def test_a_durable_row_is_reported_at_once() -> None:
    told: list[PersistenceError | None] = []
    outbox = sending()
    outbox.on_sent()
    for seq in (1, 10):
        tell(outbox.on_durable(seq, told.append))
    assert told == [None, None]
    assert outbox.on_durable(11, told.append) == []


def test_asking_for_the_next_step_again_changes_nothing() -> None:
    outbox = sending()
    batch = outbox.batch
    assert [outbox.next_step(1), outbox.next_step(2)] == ["send", "send"]
    assert outbox.batch is batch


def test_the_producer_learns_when_its_reader_sleeps() -> None:
    outbox = Outbox(START, LIMITS)
    assert outbox.enqueue(ROWS[0])
    assert not outbox.enqueue(ROWS[1])
    outbox.next_step(0)
    assert outbox.enqueue(ROWS[2]), "what is under way no longer waits"


def test_a_batch_in_doubt_is_looked_for_and_found() -> None:
    told: list[PersistenceError | None] = []
    outbox = sending()
    outbox.on_durable(10, told.append)
    assert outbox.refused(Unavailable("lost"), 0) == []
    assert outbox.next_step(1) == "look"
    tell(outbox.on_position(after(ROWS[9])))
    assert told == [None]
    assert outbox.durable == after(ROWS[9])
    assert outbox.next_step(1) == "send"
    assert seqs(outbox) == list(range(11, 21))


def test_a_batch_in_doubt_that_is_in_counts_although_a_successor_has_claimed() -> None:
    outbox = sending()
    outbox.refused(Unavailable("lost"), 0)
    outbox.next_step(1)
    outbox.on_position(after(ROWS[9], EPOCH + 1))
    assert outbox.failure is None
    assert outbox.durable.last_seq == 10


def test_a_batch_in_doubt_that_is_not_in_is_sent_as_it_was() -> None:
    outbox = sending()
    batch = outbox.batch
    outbox.refused(Unavailable("lost"), 0)
    outbox.next_step(1)
    assert outbox.on_position(START) == []
    assert outbox.next_step(1) == "send"
    assert outbox.batch is batch


def test_waiters_are_notified_in_the_order_of_rows_and_then_of_asking() -> None:
    told: list[tuple[int, int]] = []
    outbox = sending()
    for number, seq in enumerate((7, 3, 7, 3, 12, 7)):
        outbox.on_durable(seq, lambda _, seq=seq, number=number: told.append((seq, number)))
    tell(outbox.on_sent())
    assert told == [(3, 1), (3, 3), (7, 0), (7, 2), (7, 5)]


@pytest.mark.parametrize(
    ("position", "kind"),
    [
        (Position(EPOCH + 1, 0, GENESIS_DIGEST), Fenced),
        (after(ROWS[19], EPOCH + 1), Fenced),
        (after(ROWS[4]), Gap),
        (Position(EPOCH, 10, bytes(32)), Gap),
    ],
)
def test_a_journal_that_ends_elsewhere_is_the_end(position: Position, kind: type[PersistenceError]) -> None:
    outbox = filled()
    outbox.next_step(0)
    outbox.on_position(position)
    assert type(outbox.failure) is kind
    assert outbox.next_step(0) == "stop"


@pytest.mark.parametrize(
    ("position", "words"),
    [
        (after(ROWS[4]), "went back from row 10 to row 5"),
        (Position(EPOCH, 10, bytes(32)), "row 10"),
        (after(ROWS[4], EPOCH + 1), "went back from row 10 to row 5"),
    ],
)
def test_a_journal_that_lacks_acknowledged_rows_is_reported_as_a_loss(position: Position, words: str) -> None:
    """Whoever wrote it since: those who were told must hear of that, and not of a gap or of another writer."""
    outbox = sending()
    outbox.on_sent()
    outbox.next_step(0)
    outbox.refused(Unavailable("lost"), 0)
    outbox.next_step(1)
    outbox.on_position(position)
    assert isinstance(outbox.failure, RowsLost)
    assert words in str(outbox.failure)
    assert outbox.durable.last_seq == 10


def test_a_gap_is_looked_at_once_for_our_own_late_batch() -> None:
    """The attempt that seemed lost was carried out after we looked."""
    outbox = sending()
    assert outbox.refused(Gap("x"), 0) == []
    assert outbox.next_step(0) == "look", "and at once: nothing is away"
    outbox.on_position(after(ROWS[9]))
    assert outbox.failure is None
    assert outbox.next_step(0) == "send"


def test_a_gap_that_is_not_our_own_batch_is_the_end() -> None:
    gap = Gap("x")
    outbox = sending()
    outbox.refused(gap, 0)
    outbox.next_step(0)
    outbox.on_position(START)
    assert outbox.failure is gap


@pytest.mark.parametrize("error", [Fenced("x"), Corrupt("x", 7), Diverged("x"), PersistenceError("x")])
def test_a_permanent_failure_reaches_all_waiters(error: PersistenceError) -> None:
    told: list[PersistenceError | None] = []
    outbox = sending()
    outbox.on_durable(5, told.append)
    outbox.on_durable(15, told.append)
    tell(outbox.refused(error, 0))
    tell(outbox.on_durable(3, told.append))
    assert told == [error] * 3
    assert outbox.fail(Unavailable("later")) == []
    assert outbox.failure is error
    with pytest.raises(type(error)):
        outbox.has_room()
    with pytest.raises(type(error)):
        outbox.enqueue(ROWS[20])


def test_waits_double_up_to_a_bound_and_begin_anew() -> None:
    outbox = filled()
    now_s, waits = 0.0, []
    for _ in range(4):
        assert outbox.next_step(now_s) == "look"
        outbox.refused(Unavailable("away"), now_s)
        assert outbox.next_step(now_s) == "wait"
        waits.append(outbox.wait_s(now_s))
        now_s += waits[-1]
    assert waits == [1, 2, 3, 3]
    assert outbox.outage_since_s == 0
    outbox.next_step(now_s)
    outbox.on_position(START)
    outbox.next_step(now_s)
    outbox.on_sent()
    assert outbox.outage_since_s is None
    outbox.next_step(now_s)
    outbox.refused(Unavailable("away again"), now_s)
    assert outbox.wait_s(now_s) == 1


def test_an_outage_past_its_bound_is_the_end() -> None:
    outbox = filled()
    for now_s in (0, 5, 10):
        outbox.next_step(now_s)
        outbox.refused(Unavailable("away"), now_s)
        assert outbox.failure is None
    outbox.next_step(13.5)
    outbox.refused(Unavailable("away"), 13.5)
    assert isinstance(outbox.failure, Unavailable)
    assert "unavailable for more than 10 s" in str(outbox.failure)
    assert "20 rows" in str(outbox.failure)


def test_an_attempt_hangs_from_its_first_step_on() -> None:
    outbox = filled()
    assert not outbox.hangs(100)
    outbox.next_step(0)
    outbox.on_position(START)
    outbox.next_step(4)
    assert not outbox.hangs(5)
    assert outbox.hangs(5.1)
    outbox.refused(Unavailable("cut"), 5.1)
    assert not outbox.hangs(100)


def test_after_closing_what_waits_is_written_and_then_it_stops() -> None:
    outbox = sending(15)
    outbox.close()
    with pytest.raises(PersistenceError, match="closing"):
        outbox.enqueue(ROWS[15])
    outbox.on_sent()
    assert outbox.next_step(0) == "send"
    outbox.on_sent()
    assert outbox.next_step(0) == "stop"
    assert outbox.failure is None


def test_a_confirmation_after_the_end_moves_the_watermark_and_nothing_else() -> None:
    """It was stopped from outside while an attempt was under way."""
    told: list[PersistenceError | None] = []
    failure = Fenced("the lease is over")
    outbox = sending()
    outbox.on_durable(5, told.append)
    tell(outbox.fail(failure))
    tell(outbox.on_sent())
    assert told == [failure]
    assert outbox.durable == after(ROWS[9])
    assert outbox.refused(Unavailable("cut"), 0) == []
    assert outbox.last_error == "the lease is over"
    assert outbox.next_step(0) == "stop"
