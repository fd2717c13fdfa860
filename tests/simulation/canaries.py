"""Planted bugs: each is a mistake that somebody could make, and the simulation must find it.

Rule of this file: a canary changes the product, or what stands for the database, by a patch that is taken back; and it
is a real mistake. (Sending again without looking first is none here: the fence turns it into a gap, and the writer
looks then. So the canary is a fence that does not.) `seeds` is how many seeds it took to find it, counted from 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import pytest

from callmarket.bridge.market import sequencer
from callmarket.bridge.timekeeping import opening
from callmarket.bridge.timekeeping.judge import Judge
from callmarket.bridge.timekeeping.keeper import Timekeeper
from callmarket.engine import core
from callmarket.engine.decide import sweeps
from callmarket.engine.events import SweepFinished
from callmarket.engine.ledger import Ledger
from callmarket.engine.receipts import Receipts
from callmarket.engine.retries import Retries
from callmarket.persistence import recovery
from callmarket.persistence.errors import Unavailable
from callmarket.persistence.journal.memory import MemoryJournal
from callmarket.persistence.journal.protocol import Position, StoredRow
from callmarket.persistence.recovery import Recovered, Replica, rehearse
from callmarket.persistence.tables import table_writer
from callmarket.persistence.tables.following import Following
from callmarket.persistence.tables.projections import Changes
from callmarket.persistence.writer.outbox import Outbox
from tests.simulation import node
from tests.simulation.store import Store
from tests.simulation.tables import Session, SimulatedProjector, Tables, changed

Plant = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Canary:
    """A planted bug, and how many seeds it needed."""

    name: str
    plant: Plant
    seeds: int


CANARIES: list[Canary] = []


def canary(seeds: int) -> Callable[[Plant], Plant]:
    """Add a planted bug to the list."""

    def add(plant: Plant) -> Plant:
        CANARIES.append(Canary(plant.__name__, plant, seeds))
        return plant

    return add


# --- the writer ----------------------------------------------------------------------------------------------------


@canary(seeds=3)
def acknowledged_when_the_first_row_of_a_batch_is_durable(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(node, "last_row", lambda applied: applied[0].journal_seq)


@canary(seeds=1)
def acknowledged_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Outbox, "on_durable", lambda *arguments: [(arguments[-1], None)])


@canary(seeds=1)
def acknowledged_one_row_early(patch: pytest.MonkeyPatch) -> None:
    sent = Outbox.on_sent

    def early(self: Outbox):
        due = list(sent(self))
        while self._callbacks and self._callbacks[0][0] <= self.durable.last_seq + 1:
            due.append((self._callbacks.popleft()[1], None))
        return due

    patch.setattr(Outbox, "on_sent", early)


@canary(seeds=1)
def a_lost_batch_is_taken_for_written(patch: pytest.MonkeyPatch) -> None:
    refused = Outbox.refused

    def believe(self: Outbox, error, now_s):
        if isinstance(error, Unavailable) and self._end_is_known:
            return self.on_sent()
        return refused(self, error, now_s)

    patch.setattr(Outbox, "refused", believe)


@canary(seeds=1)
def a_batch_in_doubt_is_dropped(patch: pytest.MonkeyPatch) -> None:
    refused = Outbox.refused

    def drop(self: Outbox, error, now_s):
        due = refused(self, error, now_s)
        self.batch = ()
        return due

    patch.setattr(Outbox, "refused", drop)


@canary(seeds=4)
def a_row_is_skipped_on_retry(patch: pytest.MonkeyPatch) -> None:
    refused = Outbox.refused

    def skip(self: Outbox, error, now_s):
        due = refused(self, error, now_s)
        self.batch = self.batch[1:] or self.batch
        return due

    patch.setattr(Outbox, "refused", skip)


@canary(seeds=1)
def put_back_at_the_end_of_the_queue(patch: pytest.MonkeyPatch) -> None:
    refused = Outbox.refused

    def put_back(self: Outbox, error, now_s):
        due = refused(self, error, now_s)
        self._queue.extend(self.batch)
        self.batch = ()
        return due

    patch.setattr(Outbox, "refused", put_back)


@canary(seeds=2)
def nobody_is_told_of_a_failure(patch: pytest.MonkeyPatch) -> None:
    fail = Outbox.fail

    def fail_silently(self: Outbox, failure):
        fail(self, failure)
        return []

    patch.setattr(Outbox, "fail", fail_silently)


@canary(seeds=1)
def it_never_tries_again(patch: pytest.MonkeyPatch) -> None:
    wait_out = Outbox._wait_out

    def wait_for_ever(self: Outbox, error, now_s):
        due = wait_out(self, error, now_s)
        self._retry_at_s = now_s + 10**9
        return due

    patch.setattr(Outbox, "_wait_out", wait_for_ever)


# --- the fence -----------------------------------------------------------------------------------------------------


@canary(seeds=2)
def the_fence_does_not_look_at_the_epoch(patch: pytest.MonkeyPatch) -> None:
    pass_fence = MemoryJournal._pass_fence

    def any_epoch(self: MemoryJournal, position, first):
        pass_fence(self, position._replace(epoch=self.epoch), first)

    patch.setattr(MemoryJournal, "_pass_fence", any_epoch)


@canary(seeds=1)
def the_fence_does_not_look_at_the_seq(patch: pytest.MonkeyPatch) -> None:
    def only_epoch(self: MemoryJournal, position, first):
        if position.epoch != self.epoch:
            raise Unavailable("not mine")

    patch.setattr(MemoryJournal, "_pass_fence", only_epoch)


@canary(seeds=1)
def half_of_a_batch_is_kept(patch: pytest.MonkeyPatch) -> None:
    append = MemoryJournal.append

    def append_half(self: MemoryJournal, rows):
        append(self, rows[: (len(rows) + 1) // 2])

    patch.setattr(MemoryJournal, "append", append_half)


# --- coming back ---------------------------------------------------------------------------------------------------


@canary(seeds=1)
def recovery_ignores_the_rows_after_a_snapshot(patch: pytest.MonkeyPatch) -> None:
    follow = Replica.follow

    def follow_from_the_first(self: Replica, journal, until_seq=None):
        if self.chain.seq == 0:
            follow(self, journal, until_seq)

    patch.setattr(Replica, "follow", follow_from_the_first)
    patch.setattr(recovery, "check_end", lambda *_: None)


@canary(seeds=1)
def receipts_are_forgotten_in_a_restart(patch: pytest.MonkeyPatch) -> None:
    bring_back = node.bring_back

    def forget(journal, snapshots) -> Recovered:
        recovered = bring_back(journal, snapshots)
        recovered.engine.state.receipts = Receipts()
        return recovered

    patch.setattr(node, "bring_back", forget)


@canary(seeds=5)
def what_moved_tokens_is_forgotten_with_its_reply(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Retries, "find", lambda *_: None)


@canary(seeds=14)
def it_reads_before_it_claims(patch: pytest.MonkeyPatch) -> None:
    def claim_late(journal, snapshots) -> Recovered:
        recovered, _ = rehearse(journal, snapshots)
        epoch = journal.claim()
        return Recovered(recovered.engine, recovered.position._replace(epoch=epoch), recovered.report)

    patch.setattr(node, "bring_back", claim_late)


@canary(seeds=8)
def the_epoch_of_a_successor_is_taken_for_ones_own(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "_check_mine", lambda *_: None)


@canary(seeds=15)
def a_standby_leads_without_reading_to_the_end(patch: pytest.MonkeyPatch) -> None:
    def promote(_journal, replica: Replica, seen_epoch, claim) -> Position | None:
        epoch = claim(seen_epoch)
        return None if epoch is None else Position(epoch, replica.chain.seq, replica.chain.digest)

    patch.setattr(node, "take_over", promote)


@canary(seeds=5)
def a_standby_reads_to_the_end_before_it_claims(patch: pytest.MonkeyPatch) -> None:
    def promote(journal, replica: Replica, seen_epoch, claim) -> Position | None:
        replica.follow(journal)
        position = journal.position()
        epoch = claim(seen_epoch)
        return None if epoch is None else position._replace(epoch=epoch)

    patch.setattr(node, "take_over", promote)


# --- the tables ----------------------------------------------------------------------------------------------------


@canary(seeds=7)
def a_row_is_applied_twice_after_a_kill(patch: pytest.MonkeyPatch) -> None:
    def advance(self: Session, changes, after_seq, last_seq, epoch):
        self.step()
        if not self.tables.stands_at(after_seq) or not self.tables.is_led_by(epoch):
            return False
        self.tables.rows = changed(self.tables.rows, changes)
        # Rows and mark in transactions of their own: between them it may be killed.
        self.step()
        return self.tables.advance(self.life, Changes(), after_seq, last_seq, epoch)

    patch.setattr(Session, "advance", advance)


@canary(seeds=10)
def two_at_once_bring_the_same_rows(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Tables, "stands_at", lambda *_: True)


@canary(seeds=7)
def the_mark_moves_past_a_gap(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(table_writer, "check_follows", lambda *_: None)


@canary(seeds=5)
def a_projector_of_an_old_epoch_writes_on(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Tables, "is_led_by", lambda *_: True)


@canary(seeds=1)
def the_tables_have_rows_that_are_not_durable(patch: pytest.MonkeyPatch) -> None:
    request, chunk = Store.request, Session.chunk

    def remember(self: Store, life, epoch, batch, answer):
        self.sent = [StoredRow.of(row, epoch) for row in batch or ()]
        request(self, life, epoch, batch, answer)

    def read_uncommitted(self: Session, after_seq, rows_max):
        rows = list(chunk(self, after_seq, rows_max))
        last_seq = rows[-1].seq if rows else after_seq
        sent = [row for row in getattr(self.store, "sent", ()) if row.seq > last_seq]
        return [*rows, *sent][:rows_max] if sent and sent[0].seq == last_seq + 1 else rows

    patch.setattr(Store, "request", remember)
    patch.setattr(Session, "chunk", read_uncommitted)


@canary(seeds=14)
def a_transaction_that_was_not_made_is_taken_for_done(patch: pytest.MonkeyPatch) -> None:
    advance = Session.advance
    patch.setattr(Session, "advance", lambda *arguments: advance(*arguments) or True)


@canary(seeds=5)
def who_waits_for_the_tables_is_told_when_the_journal_has_it(patch: pytest.MonkeyPatch) -> None:
    moved = Following._moved
    patch.setattr(Following, "_moved", lambda self, seq: moved(self, max(seq, self._durable_seq)))


@canary(seeds=1)
def the_tables_stand_still_after_an_outage(patch: pytest.MonkeyPatch) -> None:
    failed = Following._failed

    def give_up(self: Following, error):
        self._failure = error
        return failed(self, error)

    patch.setattr(Following, "_failed", give_up)


@canary(seeds=1)
def nobody_looks_whether_the_tables_went_back(patch: pytest.MonkeyPatch) -> None:
    look_in = SimulatedProjector._look_in

    def look_for_work(self: SimulatedProjector, seconds):
        if self._has_work:
            look_in(self, seconds)

    patch.setattr(SimulatedProjector, "_look_in", look_for_work)


# --- the market ----------------------------------------------------------------------------------------------------


@canary(seeds=1)
def a_retry_is_decided_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(core, "first_use", lambda *_: None)


@canary(seeds=1)
def a_retry_is_told_another_time(patch: pytest.MonkeyPatch) -> None:
    add = Receipts.add

    def add_later(self: Receipts, receipt):
        add(self, msgspec.structs.replace(receipt, at_us=receipt.at_us + 1))

    patch.setattr(Receipts, "add", add_later)


@canary(seeds=1)
def a_token_is_lost_on_the_way(patch: pytest.MonkeyPatch) -> None:
    post = Ledger.post

    def post_less(self: Ledger, debit_id, credit_id, tokens):
        post(self, debit_id, credit_id, tokens)
        self.accounts[debit_id].balance_tokens -= 1

    patch.setattr(Ledger, "post", post_less)


@canary(seeds=2)
def a_clock_that_is_set_back_is_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sequencer, "max", lambda *times: times[-1], raising=False)


@canary(seeds=7)
def a_leap_of_the_clock_is_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Timekeeper, "stamp_us", lambda self: self._clock())


@canary(seeds=7)
def a_leap_ahead_is_believed(patch: pytest.MonkeyPatch) -> None:
    ahead_us = Judge.ahead_us
    patch.setattr(Judge, "ahead_us", lambda self, reading: min(0, ahead_us(self, reading)))


@canary(seeds=6)
def a_machine_with_a_wrong_clock_leads(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(opening, "objection", lambda *_: "")


@canary(seeds=2)
def sweeps_release_nothing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sweeps, "expire_due", lambda *_: (SweepFinished(0, 0, 0, more_due=False),))
