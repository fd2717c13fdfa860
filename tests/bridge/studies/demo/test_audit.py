"""The proofs: they hold for a true record and fail for each kind of false one.

Goal: an auditor that cannot fail proves nothing. Method: a true record of a small run, then one lie at a time.
"""

from collections.abc import Sequence
from hashlib import sha256

import msgspec
import pytest

from callmarket.bridge.api.messages import Reply, Request
from callmarket.bridge.studies.demo import audit
from callmarket.bridge.studies.demo.process import frames
from callmarket.bridge.studies.demo.process.engine_client import Acknowledged, Kill
from callmarket.bridge.studies.demo.scenario.auction import Auction
from callmarket.bridge.studies.demo.scenario.simulation import Simulation
from callmarket.bridge.studies.demo.scenario.workload import make_workload
from callmarket.engine.codec import encode
from callmarket.engine.commands import TREASURY, Entry
from callmarket.engine.core import Engine
from callmarket.persistence.verify import VerifyReport
from tests.bridge.studies.demo.memory_market import MemoryMarket


class Recorded(MemoryMarket):
    """Keeps what an engine client keeps and what a journal keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.acknowledged: list[Acknowledged] = []
        self.journal: list[audit.Row] = []

    def submit(self, now_us: int, requests: Sequence[Request]) -> list[Reply]:
        replies = super().submit(now_us, requests)
        for request, reply in zip(requests, replies, strict=True):
            self.acknowledged.append(Acknowledged(request.command_id, reply))
            self.journal.append(
                row_of(Entry(reply.seq, now_us, request.actor, request.command, request.command_id), reply)
            )
        return replies


def row_of(entry: Entry, reply: Reply) -> audit.Row:
    texts = encode(entry.command).decode(), encode(reply.events).decode()
    return audit.Row(entry.seq, entry.at_us, entry.actor, entry.command_id, *texts)


def played() -> tuple[Recorded, Auction]:
    market = Recorded()
    workload = make_workload(3, 1)
    auction = Auction(workload, market, 20)
    Simulation(workload, auction, "auction", 20).run()
    return market, auction


def digest_at(market: Recorded, seq: int) -> bytes:
    engine = Engine()
    for entry in market.entries[:seq]:
        engine.apply(entry)
    return sha256(engine.state.encode()).digest()


def kill_of(market: Recorded, acknowledged_seq: int, recovered_seq: int) -> Kill:
    before, after = digest_at(market, acknowledged_seq), digest_at(market, recovered_seq)
    return Kill(0, acknowledged_seq, acknowledged_seq, before, 40, 7, recovered_seq, after, recovered_seq, 0.1, 0.2)


def test_a_true_record_holds():
    market, auction = played()
    kill = kill_of(market, 300, 307)
    accounts = market.engine.state.ledger.accounts
    claimed = {name: (account.balance_tokens, account.held_tokens) for name, account in accounts.items()}
    proofs = [
        audit.audit_acknowledged(market.acknowledged, market.journal),
        audit.audit_once(market.acknowledged, market.journal, kill),
        audit.audit_recovery(kill, market.journal),
        audit.audit_balances(auction.books, frames.Balances(0, claimed)),
        audit.audit_tokens(auction.books),
        audit.audit_journal(VerifyReport(0, len(market.journal), 9, 0.1, None, ())),
    ]
    assert [proof for proof in proofs if not proof.ok] == []
    assert "of 40 in flight, 7 had been journaled" in proofs[1].detail


def test_a_lost_row_is_found():
    market, _ = played()
    proof = audit.audit_acknowledged(market.acknowledged, market.journal[:-1])
    assert not proof.ok
    assert market.acknowledged[-1].command_id in proof.detail


@pytest.mark.parametrize("change", [{"events_json": "[]"}, {"command_id": "other"}, {"at_us": 1}])
def test_a_changed_row_is_found(change: dict[str, object]):
    market, _ = played()
    market.journal[50] = msgspec.structs.replace(market.journal[50], **change)
    assert not audit.audit_acknowledged(market.acknowledged, market.journal).ok


def test_a_repeat_that_changed_nothing_is_no_second_effect():
    market, _ = played()
    entry = msgspec.structs.replace(market.entries[50], seq=len(market.entries) + 1, at_us=market.entries[-1].at_us)
    reply = Reply(entry.seq, entry.at_us, market.engine.apply(entry), entry.seq)
    market.journal.append(row_of(entry, reply))
    assert audit.audit_once(market.acknowledged, market.journal, None).ok


def test_a_second_effect_is_found():
    market, _ = played()
    market.journal.append(msgspec.structs.replace(market.journal[50], seq=len(market.journal) + 1))
    assert not audit.audit_once(market.acknowledged, market.journal, None).ok


def test_an_effect_that_nobody_asked_for_is_found():
    market, _ = played()
    assert not audit.audit_once(market.acknowledged[:-1], market.journal, None).ok


def test_a_command_without_an_effect_is_found():
    """Whatever was told of it; and so is one that counts twice among what was asked."""
    market, _ = played()
    assert not audit.audit_once(market.acknowledged, market.journal[:-1], None).ok
    assert not audit.audit_once([*market.acknowledged, market.acknowledged[-1]], market.journal, None).ok
    renamed = [*market.journal[:-1], msgspec.structs.replace(market.journal[-1], command_id="another")]
    assert not audit.audit_once(market.acknowledged, renamed, None).ok


@pytest.mark.parametrize("lie", ["digest_before", "digest_recovered", "recovered_seq"])
def test_another_state_than_the_acknowledged_one_is_found(lie: str):
    market, _ = played()
    wrong = 299 if lie == "recovered_seq" else bytes(32)
    kill = msgspec.structs.replace(kill_of(market, 300, 307), **{lie: wrong})
    assert not audit.audit_recovery(kill, market.journal).ok


def test_a_wallet_that_is_off_by_one_is_found():
    market, auction = played()
    accounts = market.engine.state.ledger.accounts
    claimed = {name: (account.balance_tokens, account.held_tokens) for name, account in accounts.items()}
    claimed[TREASURY] = (claimed[TREASURY][0] + 1, 0)
    proof = audit.audit_balances(auction.books, frames.Balances(0, claimed))
    assert not proof.ok
    assert "first wrong: treasury" in proof.detail


def test_tokens_from_nowhere_are_found():
    _, auction = played()
    auction.books.balances[TREASURY] += 1
    assert not audit.audit_tokens(auction.books).ok
    with pytest.raises(AssertionError):
        auction.books.check()


def test_a_journal_that_does_not_verify_says_why():
    proof = audit.audit_journal(VerifyReport(0, 10, 9, 0.1, 7, ("row 7: digest differs",)))
    assert not proof.ok
    assert "row 7: digest differs" in proof.detail
