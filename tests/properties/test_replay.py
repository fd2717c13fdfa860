"""The same commands make the same bytes: in another process, from events, through snapshots, through the codec.

Goal: state bytes, event bytes and the chain of digests are equal however a stream is played again, for recovery
compares exactly these. Method: `tests.support.recording` keeps rows and state bytes of a stream; each test plays them
again in its own way. Random choices of a test come from `seed`.
"""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.workload import accepted
from callmarket.engine import codec
from callmarket.engine.codec import GENESIS_DIGEST, seal
from callmarket.engine.commands import CancelBid, Command, Entry, Mint, OpenAccount, OpenMarket, PlaceBid
from callmarket.engine.core import Engine
from callmarket.engine.events import BidPlaced, Rejected
from callmarket.engine.state import State
from tests.support.recording import Recording, record
from tests.support.streams import bounds

ROOT = Path(__file__).parents[2]
SEEDS = 12
COMMANDS = 300


@pytest.fixture(scope="module")
def recordings(request: pytest.FixtureRequest) -> list[Recording]:
    first: int = request.config.option.seed
    return [record(stream_seed, COMMANDS) for stream_seed in range(first, first + SEEDS)]


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_other_hash_seeds_make_the_same_bytes(hash_seed: str, recordings: list[Recording], seed: int) -> None:
    """Architecture rule 1: nothing follows from the order of a set or from `hash` of a string."""
    command = [sys.executable, "-m", "tests.support.recording", str(seed), str(SEEDS), str(COMMANDS)]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    assert done.stdout.split("\n")[:-1] == [recording.summary() for recording in recordings]


def test_applying_again_makes_the_same_rows(recordings: list[Recording]) -> None:
    """IDM-1 and all rules: commands decoded from their own bytes decide the same, to the last digest."""
    for recording in recordings:
        engine, digest = Engine(), GENESIS_DIGEST
        with bounds(recording.bounds):
            for row, state in zip(recording.rows, recording.states, strict=True):
                command = codec.decode_command(row.command_json)
                assert command == row.entry.command
                again = seal(digest, row.entry, engine.apply(row.entry))
                assert (again.command_json, again.events_json) == (row.command_json, row.events_json)
                assert again.digest == row.digest
                assert engine.state.encode() == state
                digest = again.digest


def test_folding_recorded_events_makes_the_same_state(recordings: list[Recording]) -> None:
    """Decision 1 of docs/decisions: rows of older rules are folded from their events, which say all that there is."""
    for recording in recordings:
        engine = Engine()
        with bounds(recording.bounds):
            for row, state in zip(recording.rows, recording.states, strict=True):
                events = codec.decode_events(row.events_json)
                assert events == row.events
                assert codec.encode(events) == row.events_json
                engine.fold(row.entry, events)
                assert engine.state.encode() == state
            engine.state.check()


def test_a_snapshot_at_any_point_changes_nothing(recordings: list[Recording], seed: int) -> None:
    """Decision 11 of docs/decisions: a state decoded from its bytes has the same bytes and goes on in the same way."""
    rng = random.Random(seed)
    for recording in recordings:
        engine = Engine()
        with bounds(recording.bounds):
            for row, state in zip(recording.rows, recording.states, strict=True):
                assert codec.encode(engine.apply(row.entry)) == row.events_json
                if rng.random() < 0.5:
                    engine = Engine(State.decode(engine.state.encode()))
                    engine.state.check()
                assert engine.state.encode() == state


def test_a_replaced_bid_stays_replaced_in_a_snapshot() -> None:
    """BID-9: a bid past its deadline that a newer one replaced counts for its bidder no more, after a restart too."""
    commands: list[tuple[int, Command]] = [
        (100, OpenAccount("A", "agent")),
        (100, Mint("A", 100, "grant:first")),
        (100, OpenMarket("m")),
        (100, PlaceBid("m", "A", "task", 9, 0, 110, "gtd")),
        (110, PlaceBid("m", "A", "task", 9, 0, 200, "gtd")),
        (110, CancelBid(2)),
    ]
    engine = Engine()
    with bounds({"BIDS_PER_BIDDER_MAX": 1}):
        for seq, (at_us, command) in enumerate(commands, 1):
            accepted(engine, Entry(seq, at_us, "admin", command))
        engine = Engine(State.decode(engine.state.encode()))
        (event,) = engine.apply(Entry(len(commands) + 1, 110, "admin", PlaceBid("m", "A", "other", 9)))
    assert isinstance(event, BidPlaced)


def test_recovery_mixes_snapshot_fold_and_apply(recordings: list[Recording], seed: int) -> None:
    """From a snapshot at a random row, each further row is folded or applied, as the version of its rules asks."""
    rng = random.Random(seed)
    for recording in recordings:
        start = rng.randrange(COMMANDS)
        with bounds(recording.bounds):
            engine = Engine(State.decode(recording.states[start]))
            for row in recording.rows[start + 1 :]:
                if rng.random() < 0.5:
                    engine.fold(row.entry, row.events)
                else:
                    assert codec.encode(engine.apply(row.entry)) == row.events_json
            assert engine.state.encode() == recording.states[-1]


def test_a_refusal_changes_only_position_and_receipts(recordings: list[Recording]) -> None:
    """Reject and IDM-1: after a refused command without an id the state is the one before, but for seq and time."""
    refused = 0
    for recording in recordings:
        for before, after, row in zip(recording.states[:-1], recording.states[1:], recording.rows[1:], strict=True):
            if not isinstance(row.events[0], Rejected) or row.entry.command_id:
                continue
            old, new = State.decode(before), State.decode(after)
            old.seq, old.at_us = new.seq, new.at_us
            assert old.encode() == after
            refused += 1
    assert refused > SEEDS


def test_every_row_has_the_shape_that_the_edge_checks(recordings: list[Recording]) -> None:
    """Commands of the streams are such as a client may send: `check_shape` and `check_names` let them pass."""
    for recording in recordings:
        for row in recording.rows:
            codec.check_shape(row.entry.command)
            codec.check_names(row.entry.actor, row.entry.command_id)
