"""The proofs: what was acknowledged against what PostgreSQL holds, and tokens and tasks against their sums.

Rule of this file: every proof is computed from two records that were kept apart, and says its numbers. The journal is
read here by plain SQL and executed again here by a fresh engine; the engine process is asked only for its claims.
"""

from collections.abc import Sequence
from hashlib import sha256

from msgspec import Struct

from callmarket.bridge.studies.demo.options import SHARD_ID
from callmarket.bridge.studies.demo.process import frames
from callmarket.bridge.studies.demo.process.engine_client import Acknowledged, Kill
from callmarket.bridge.studies.demo.scenario.books import Books
from callmarket.bridge.studies.demo.scenario.simulation import Run
from callmarket.engine.codec import decode_command, encode
from callmarket.engine.commands import Entry
from callmarket.engine.core import Engine
from callmarket.engine.events import Repeated
from callmarket.persistence.database.connections import connect
from callmarket.persistence.verify import VerifyReport


class Proof(Struct, frozen=True):
    """One claim, whether it holds, and the numbers."""

    claim: str
    ok: bool
    detail: str


class Row(Struct, frozen=True):
    """One row of the journal, as SQL gives it."""

    seq: int
    at_us: int
    actor: str
    command_id: str
    command_json: str
    events_json: str


def read_journal(url: str) -> list[Row]:
    """Return the whole journal, in order."""
    query = """
        SELECT seq, at_us, actor, command_id, command::text, events::text FROM journal WHERE shard_id = %s ORDER BY seq
    """
    with connect(url, "callmarket demo", read_only=True) as connection:
        return [Row(*row) for row in connection.execute(query, (SHARD_ID,))]


def audit_acknowledged(acknowledged: Sequence[Acknowledged], journal: Sequence[Row]) -> Proof:
    """Every reply that was read is in the journal, under its sequence number, byte for byte."""
    rows = {row.seq: row for row in journal}
    wrong = []
    for one in acknowledged:
        row = rows.get(one.reply.seq)
        events_json = encode(one.reply.events).decode()
        if row is None or (row.command_id, row.at_us, row.events_json) != (
            one.command_id, one.reply.at_us, events_json,
        ):  # fmt: skip
            wrong.append(one.command_id)
    detail = f"{len(acknowledged) - len(wrong):,} of {len(acknowledged):,} replies found as they were given"
    return Proof("nothing acknowledged was lost or changed", not wrong, _with_first(detail, wrong))


def audit_once(acknowledged: Sequence[Acknowledged], journal: Sequence[Row], kill: Kill | None) -> Proof:
    """Every command took effect exactly once: one row that did something per id, and as many as were asked."""
    repeated = f'[{{"type":"{Repeated.__struct_config__.tag}"'
    effective = [row.command_id for row in journal if not row.events_json.startswith(repeated)]
    asked = {one.command_id for one in acknowledged}
    ok = len(effective) == len(set(effective)) == len(acknowledged) and set(effective) == asked
    detail = f"{len(effective):,} effects for {len(asked):,} commands"
    if kill is not None:
        detail += f"; of {kill.requests_in_flight} in flight, {kill.found_journaled} had been journaled"
    return Proof("nothing was done twice", ok, detail)


def audit_recovery(kill: Kill, journal: Sequence[Row]) -> Proof:
    """Executed again, the journal gives the state before the kill, and the recovered state, bit for bit."""
    engine = Engine()
    digests = {}
    for row in journal:
        if row.seq > kill.recovered_seq:
            break
        entry = Entry(row.seq, row.at_us, row.actor, decode_command(row.command_json), row.command_id)
        engine.apply(entry)
        if row.seq in (kill.acknowledged_seq, kill.recovered_seq):
            digests[row.seq] = sha256(engine.state.encode()).digest()
    ok = (
        kill.recovered_seq >= kill.acknowledged_seq
        and digests.get(kill.acknowledged_seq) == kill.digest_before
        and digests.get(kill.recovered_seq) == kill.digest_recovered
    )
    detail = (
        f"acknowledged to row {kill.acknowledged_seq:,}, recovered to row {kill.recovered_seq:,}, "
        f"sha256 {kill.digest_recovered.hex()[:12]}"
    )
    return Proof("the recovered state equals what was acknowledged", ok, detail)


def audit_balances(books: Books, claimed: frames.Balances) -> Proof:
    """The demo's own books and the engine's ledger agree on every account."""
    own = {name: (balance, books.held[name]) for name, balance in books.balances.items()}
    wrong = [
        name for name in sorted(own.keys() | claimed.balances.keys()) if own.get(name) != claimed.balances.get(name)
    ]
    detail = f"{len(own) - len(wrong)} of {len(own)} accounts equal, balance and holds"
    return Proof("the wallets agree with independent books", not wrong, _with_first(detail, wrong))


def audit_tokens(books: Books) -> Proof:
    """What was minted and not burned is in the wallets."""
    wallets = sum(balance for balance in books.balances.values() if balance > 0)
    ok = books.minted_tokens - books.burned_tokens == wallets and sum(books.balances.values()) == 0
    detail = f"{books.minted_tokens:,} minted - {books.burned_tokens:,} burned = {wallets:,} held"
    return Proof("tokens are conserved", ok, detail)


def audit_journal(report: VerifyReport) -> Proof:
    """The exchange's own verification: digests, gaps, re-execution, tables."""
    detail = f"{report.rows:,} rows: chained, no gap, executed again; {report.table_rows:,} rows of tables agree"
    return Proof("the journal verifies", report.ok, detail if report.ok else str(report))


def audit_tasks(runs: Sequence[Run], arrived: int) -> Proof:
    """Under every policy each task ended in one way."""
    wrong = []
    for run in runs:
        ended = sum(ending is not None for ending in run.endings)
        if ended + run.timed_out + run.waiting + run.running != arrived or run.waiting or run.running:
            wrong.append(run.policy)
    detail = f"{arrived:,} arrived = settled + lapsed + timed out, under {len(runs)} policies"
    return Proof("no task was lost", not wrong, _with_first(detail, wrong))


def _with_first(detail: str, wrong: Sequence[str]) -> str:
    return f"{detail}; first wrong: {wrong[0]}" if wrong else detail
