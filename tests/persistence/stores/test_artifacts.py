"""Artifacts, bounties and who works for them, against dictionaries: two shards, any order, page after page.

Method: holds are put into their table as the journal would leave them; what is asked is all that can be asked.
"""

import random
from collections.abc import Iterator
from typing import Any, get_args

import psycopg
import pytest

from callmarket.engine.limits import SEQ_MAX
from callmarket.persistence.database.connections import connect
from callmarket.persistence.stores import artifacts
from callmarket.persistence.stores.artifacts import ArtifactRow, BountyRow, BountyStatus
from tests.persistence.stores.test_resource_budgets import HOLD, LONG_AGO

SHARDS = (0, 1)
STATUS = {"open": "open", "captured": "paid", "released": "withdrawn", "expired": "expired"}


@pytest.fixture
def connection(database_url: str) -> Iterator[psycopg.Connection]:
    with connect(database_url, "test") as one:
        yield one


def test_artifacts_of_any_type_with_the_price_that_was_set(connection: psycopg.Connection, seed: int) -> None:
    """To put one again changes what it is called, and neither its price nor who set that."""
    rng, known = random.Random(seed), dict[tuple[int, str], ArtifactRow]()
    for number in range(120):
        shard_id, name, by = rng.choice(SHARDS), f"x{rng.randrange(12):02}", f"person {number}"
        was = known.get((shard_id, name))
        if rng.random() < 0.5:
            kind, title = rng.choice(["paper", "model"]), f"title {number}"
            row = artifacts.put_artifact(connection, shard_id, name, kind, title, by)
            assert (row.artifact_id, row.artifact_type, row.title) == (name, kind, title)
            expected = (0.5, by, row.priced_at, row.created_at) if was is None else priced(was)
            assert priced(row) == expected
            assert was is None or row.updated_at > was.updated_at
        else:
            micros = rng.choice([0, 1, 250_000, 999_999, 1_000_000])
            changed = artifacts.set_market_price(connection, shard_id, name, micros, by)
            assert (changed is None) == (was is None)
            if was is None or changed is None:
                continue
            row = changed
            assert priced(row) == (micros / 10**6, by, row.priced_at, was.created_at)
            assert row.priced_at > was.priced_at
            assert row.updated_at > was.updated_at
            assert (row.artifact_type, row.title) == (was.artifact_type, was.title)
        known[shard_id, name] = row
    for shard_id in SHARDS:
        mine = [row for (shard, _), row in sorted(known.items()) if shard == shard_id]
        for kind in (None, "paper", "model", "none"):
            limit, found = rng.choice([1, 3, 100]), list[ArtifactRow]()
            while page := artifacts.artifacts_page(
                connection, shard_id, kind, limit, found[-1].artifact_id if found else None
            ):
                assert len(page) <= limit
                found += page
            assert found == [row for row in mine if kind in (None, row.artifact_type)]
        for name in ("none", *(f"x{number:02}" for number in range(12))):
            assert artifacts.artifact(connection, shard_id, name) == known.get((shard_id, name))


def priced(row: ArtifactRow) -> tuple[object, ...]:
    return row.market_price, row.priced_by, row.priced_at, row.created_at


def test_bounties_of_any_artifact_and_status_and_who_has_claimed_them(
    connection: psycopg.Connection, seed: int
) -> None:
    rng = random.Random(seed)
    for shard_id in SHARDS:
        for name in ("a", "b", "w", "v"):
            connection.execute(
                "INSERT INTO token_accounts (shard_id, account_id, kind, balance, held, total_earned, total_spent, "
                "created_at, updated_at, seq) VALUES (%s, %s, 'agent', 0, 0, 0, 0, now(), now(), 1)",
                (shard_id, name),
            )
    holds: dict[tuple[int, int], dict[str, Any]] = {}
    claimed: dict[tuple[int, int], str] = {}
    for seq in range(1, 120):
        shard_id = rng.choice(SHARDS)
        hold = {
            "shard": shard_id,
            "seq": seq,
            "name": f"h{rng.randrange(60)}",
            "artifact": rng.choice(["x", "y"]),
            "amount": seq + 1,
            "reason": rng.choice(["bounty", "bounty", "bounty", "stake"]),
            "kind": rng.choice(["artifact", "artifact", "artifact", "else"]),
            "status": "open",
            "placed_at": LONG_AGO,
        }
        connection.execute(HOLD, hold)
        holds[shard_id, seq] = hold
        for _ in range(2):
            (shard_id, claimed_seq), worker = rng.choice(list(holds)), rng.choice(["a", "w", "v", "nobody"])
            artifacts.claim_bounty(connection, shard_id, claimed_seq, worker)
            one = holds[shard_id, claimed_seq]
            is_bounty = (one["reason"], one["kind"]) == ("bounty", "artifact")
            if is_bounty and one["status"] == "open" and worker in ("w", "v"):
                claimed.setdefault((shard_id, claimed_seq), worker)
        (shard_id, ended_seq), status = rng.choice(list(holds)), rng.choice(["open", "captured", "released", "expired"])
        if holds[shard_id, ended_seq]["status"] == "open" and status != "open":
            holds[shard_id, ended_seq]["status"] = status
            connection.execute(
                "UPDATE token_holds SET status = %(status)s, ended_at = now(), "
                "captured = CASE WHEN %(status)s = 'captured' THEN amount - 1 END, "
                "captured_to = CASE WHEN %(status)s = 'captured' THEN 'b' END "
                "WHERE shard_id = %(shard)s AND placed_seq = %(seq)s",
                {"status": status, "shard": shard_id, "seq": ended_seq},
            )
    for shard_id in SHARDS:
        assert_bounties(connection, rng, shard_id, holds, claimed)


def assert_bounties(
    connection: psycopg.Connection,
    rng: random.Random,
    shard_id: int,
    holds: dict[tuple[int, int], dict[str, Any]],
    claimed: dict[tuple[int, int], str],
) -> None:
    expected: dict[int, tuple[object, ...]] = {}
    for (shard, seq), hold in holds.items():
        if shard != shard_id or (hold["reason"], hold["kind"]) != ("bounty", "artifact"):
            continue
        claimant = claimed.get((shard, seq))
        status = "claimed" if hold["status"] == "open" and claimant else STATUS[hold["status"]]
        paid = hold["amount"] - 1 if status == "paid" else 0
        who = "b" if status == "paid" else claimant
        expected[seq] = (hold["name"], seq, hold["artifact"], "a", hold["amount"], paid, status, who)

    def shown(row: BountyRow) -> tuple[object, ...]:
        return (
            row.bounty_id, row.posted_seq, row.artifact_id, row.bounty_source, row.tokens_offered, row.tokens_paid,
            row.status, row.claimant_id,
        )  # fmt: skip

    for artifact_id in (None, "x", "y", "z"):
        for status in (None, *get_args(BountyStatus)):
            limit, found = rng.choice([1, 3, 100]), list[BountyRow]()
            while page := artifacts.bounties_page(
                connection, shard_id, artifact_id, status, limit, found[-1].posted_seq if found else SEQ_MAX
            ):
                assert len(page) <= limit
                found += page
            assert [shown(row) for row in found] == [
                one
                for _, one in sorted(expected.items(), reverse=True)
                if artifact_id in (None, one[2]) and status in (None, one[6])
            ]
    latest = {hold["name"]: seq for (shard, seq), hold in holds.items() if shard == shard_id}
    for name, seq in latest.items():
        found_one = artifacts.bounty(connection, shard_id, name, "a")
        assert (None if found_one is None else shown(found_one)) == expected.get(seq)
        assert artifacts.bounty(connection, shard_id, name, "b") is None
