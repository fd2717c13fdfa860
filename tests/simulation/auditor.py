"""Who believes nothing: keeps what everybody was told and what the journal took, and compares all the time.

Rule of this file: it judges the rows and the replies by what they say, with accounts of its own. The only code of the
product that it uses is the decoding of bytes and `Engine.fold`, which builds the state from recorded events by another
way than deciding.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from callmarket.bridge.api.messages import Request
from callmarket.bridge.market.sequencer import Applied
from callmarket.engine import limits
from callmarket.engine.codec import encode
from callmarket.engine.commands import Command, Entry
from callmarket.engine.core import Engine
from callmarket.engine.events import Events, Rejected, Repeated, TransferPosted
from callmarket.engine.limits import RECEIPTS_MAX
from callmarket.engine.reject import Reject
from callmarket.persistence.errors import Fenced, PersistenceError, Unavailable
from callmarket.persistence.journal.memory import MemoryDatabase
from callmarket.persistence.journal.protocol import Chain, Position, StoredRow
from tests.simulation.world import Life, World
from tests.support.naive.retries import is_remembered_for_a_day


def may_be_forgotten(command: Command, events: Events, later: Command) -> bool:
    """Whether what was done under an id may be new again: not what moved tokens, to another that does (IDM-1)."""
    if limits.RECEIPTS_MAX == RECEIPTS_MAX:
        # More commands than a world has.
        return False
    moved = is_remembered_for_a_day(command) and not isinstance(events[0], Rejected)
    return not (moved and is_remembered_for_a_day(later))


# Two clocks may differ by the bound, and one of them from what is right by as much again.
BOUND_S = 3.0
AHEAD_US_MAX = int(2 * BOUND_S * 1_000_000)


class Auditor:
    """Safety: every method is told what happened and raises `AssertionError` if it may not have."""

    def __init__(self, world: World, observe: Callable[[Entry, Events], None]) -> None:
        self.world = world
        self.observe = observe
        self.engine = Engine()
        self.rows: list[StoredRow] = []
        self.chain = Chain()
        self.claims: list[Life] = []
        self.balances: Counter[str] = Counter()
        self.refusals: Counter[Reject] = Counter()
        # By actor and id: the row of the one effect; and by command too: what was answered.
        self.effects: dict[tuple[str, str], int] = {}
        self.told: dict[tuple[str, str, bytes], tuple[int, int, bytes]] = {}
        # By row: what was acknowledged from it.
        self.acknowledged: dict[int, bytes] = {}

    # --- the journal -------------------------------------------------------------------------------------------

    def claimed(self, life: Life, epoch: int) -> None:
        """A process has raised the epoch."""
        self.claims.append(life)
        assert epoch == len(self.claims), f"epoch {epoch} is the claim number {len(self.claims)}"
        self.world.note(f"{life} claims epoch {epoch}")

    def committed(self, life: Life, epoch: int, rows: Sequence[StoredRow]) -> None:
        """These are all rows now; those beyond mine were just written under this epoch."""
        new = rows[len(self.rows) :]
        self.world.note(f"{life} commits {new[0].seq} to {new[-1].seq} under epoch {epoch}")
        assert epoch == len(self.claims), f"a zombie wrote: epoch {epoch} after the claim of {len(self.claims)}"
        assert self.claims[epoch - 1] is life, f"{life} writes under epoch {epoch} of {self.claims[epoch - 1]}"
        for row in new:
            assert row.epoch == epoch, (row.epoch, epoch)
            self._take(row)

    def _take(self, row: StoredRow) -> None:
        # The chain says: no gap, no step back of epoch or time, each digest that of its bytes and of the row before.
        entry, events = self.chain.follow(row), row.events()
        # A stamp of a clock that leapt would end what has years to go, and could never be taken back.
        assert row.at_us <= self.world.right_us + AHEAD_US_MAX, f"row {row.seq} is stamped {row.at_us}, in the future"
        self.rows.append(row)
        self.engine.fold(entry, events)
        for event in events:
            if isinstance(event, TransferPosted):
                self.balances[event.debit_account_id] -= event.amount_tokens
                self.balances[event.credit_account_id] += event.amount_tokens
                found = self.balances[event.debit_account_id], self.balances[event.credit_account_id]
                if event.debit_account_id != event.credit_account_id:
                    assert found == (event.debit_balance_tokens, event.credit_balance_tokens), (row.seq, event)
        accounts = self.engine.state.ledger.accounts.values()
        assert sum(account.balance_tokens for account in accounts) == 0, f"tokens were made or lost in row {row.seq}"
        self._take_once(row, events)
        self.observe(entry, events)

    def _take_once(self, row: StoredRow, events: Events) -> None:
        first, key = events[0], (row.actor, row.command_id)
        if isinstance(first, Rejected):
            self.refusals[first.reason] += 1
        if not row.command_id:
            return
        if isinstance(first, Repeated):
            assert self.effects.get(key) == first.first_seq, (row.seq, first, self.effects.get(key))
            assert self.rows[first.first_seq - 1].command_json == row.command_json, row.seq
            self.world.counts["retry answered from memory"] += 1
        elif isinstance(first, Rejected) and first.reason is Reject.COMMAND_ID_REUSED:
            assert self.rows[self.effects[key] - 1].command_json != row.command_json, row.seq
        else:
            if (before := self.effects.get(key)) is not None:
                done = self.rows[before - 1]
                forgotten = may_be_forgotten(done.entry().command, done.events(), row.entry().command)
                assert forgotten, f"row {row.seq} does again what row {before} did: {key}"
            self.effects[key] = row.seq

    # --- what is said about it ---------------------------------------------------------------------------------

    def acknowledge(self, database: MemoryDatabase, request: Request, applied: Applied) -> None:
        """A node is about to tell somebody that this is durable."""
        seq = applied.journal_seq
        assert seq <= len(database.rows), f"row {seq} is acknowledged, and the journal ends at {len(database.rows)}"
        row, events_json = database.rows[seq - 1], encode(applied.events)
        command_json = encode(request.command)
        mine = (row.actor, row.command_id, row.command_json)
        assert mine == (request.actor, request.command_id, command_json), f"row {seq} is somebody else's"
        source = database.rows[applied.seq - 1]
        if applied.repeated:
            assert row.events_json == encode((Repeated(applied.seq),)), (seq, applied.seq)
        else:
            assert applied.seq == seq, (applied.seq, seq)
        assert (source.events_json, source.at_us) == (events_json, applied.at_us), f"the reply is not row {source.seq}"
        self.acknowledged[seq] = row.digest
        first = applied.events[0]
        if isinstance(first, Rejected) and first.reason is Reject.COMMAND_ID_REUSED:
            # It has no reply of its own that could be repeated: each attempt is a mistake of its own.
            return
        told = (applied.seq, applied.at_us, events_json)
        before = self.told.get((*mine[:2], command_json), told)
        if before != told:
            forgotten = may_be_forgotten(request.command, database.rows[before[0] - 1].events(), request.command)
            assert forgotten, f"another reply to the retry {mine}"
        self.told[*mine[:2], command_json] = told

    def started(self, life: Life, engine: Engine, position: Position, database: MemoryDatabase) -> None:
        """A process has come back, from whatever, and is about to write."""
        self.look(database)
        assert position == database.position, f"{life} begins at {position[:2]}, after {database.position[:2]}"
        assert engine.state.encode() == self.engine.state.encode(), f"{life} came back as another state"
        engine.state.check()

    def watermark(self, life: Life, before: Position, now: Position, database: MemoryDatabase) -> None:
        """A writer says what is durable."""
        assert before.last_seq <= now.last_seq <= len(database.rows), f"{life}: durable {before} and then {now}"
        assert now.last_seq == 0 or database.rows[now.last_seq - 1].digest == now.last_digest, f"{life}: {now}"

    def writer_failed(self, life: Life, epoch: int, failure: PersistenceError) -> None:
        """A writer has stopped for good. There is no honest way to a gap or to a wrong digest."""
        honest = isinstance(failure, Unavailable) or (isinstance(failure, Fenced) and epoch < len(self.claims))
        assert honest, f"{life} with epoch {epoch} of {len(self.claims)} stopped: {failure!r}"

    def look(self, database: MemoryDatabase) -> None:
        """What was taken is there, and nothing else; what was acknowledged is among it."""
        assert database.rows == self.rows, "the journal is not what was committed to it"
        for seq, digest in self.acknowledged.items():
            assert database.rows[seq - 1].digest == digest, f"row {seq} was acknowledged and is another one now"
