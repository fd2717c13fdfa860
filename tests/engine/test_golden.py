"""The encodings that journals and snapshots in the world are written in, byte for byte.

Goal: a renamed tag, a reordered or renamed field, another spelling of a number: none passes unnoticed, for it would
make what is stored unreadable. Method: bytes in `tests/golden/` that are only ever added to. A new field with a default
changes the bytes of new rows, so its line is added below the old one, and the old line must still be read.
"""

import json
from pathlib import Path
from typing import get_args

import pytest

from callmarket.engine.codec import GENESIS_DIGEST, chain, decode_command, decode_events, encode
from callmarket.engine.commands import Command, Entry
from callmarket.engine.events import Event
from callmarket.engine.image import FORMAT, ImageError
from callmarket.engine.reject import Reject
from callmarket.engine.state import State
from tests.support.samples import COMMANDS, EVENTS, FULL_WORLD
from tests.support.script import play

GOLDEN = Path(__file__).parent.parent / "golden"


def lines(name: str) -> list[str]:
    return (GOLDEN / name).read_text(encoding="utf-8").splitlines()


def test_every_command_and_event_has_a_sample() -> None:
    assert {type(one) for one in COMMANDS} == set(get_args(Command))
    assert {type(one) for one in EVENTS} == set(get_args(Event))


def test_commands_are_written_as_ever() -> None:
    """The latest sample of each; one before it is of a row from before the command had its last field."""
    latest = {type(one): one for one in COMMANDS}
    for one, line in zip(COMMANDS, lines("commands.jsonl"), strict=True):
        written = encode(one).decode()
        if one is latest[type(one)]:
            assert written == line
        else:
            assert written != line
            assert written.startswith(line.removesuffix("}"))


def test_commands_are_read_as_ever() -> None:
    assert [decode_command(line) for line in lines("commands.jsonl")] == list(COMMANDS)


def test_events_are_written_as_ever() -> None:
    """The latest sample of each; one before it is of a row from before the event had its last field."""
    latest = {type(one): one for one in EVENTS}
    for one, line in zip(EVENTS, lines("events.jsonl"), strict=True):
        written = encode((one,)).decode()
        if one is latest[type(one)]:
            assert written == line
        else:
            assert written != line
            assert written.startswith(line.removesuffix("}]"))


def test_events_are_read_as_ever() -> None:
    assert [decode_events(line) for line in lines("events.jsonl")] == [(one,) for one in EVENTS]


def test_refusals_are_named_as_ever() -> None:
    """The names are journaled; the order is the precedence, which is a rule."""
    assert [reason.value for reason in Reject] == lines("rejects.txt")
    assert all(reason.name == reason.value for reason in Reject)


def test_no_two_share_a_tag() -> None:
    """A tag says what a line is, in the journal's commands and in its events alike."""
    tags = [json.loads(line)["type"] for line in lines("commands.jsonl")]
    tags += [json.loads(line)[0]["type"] for line in lines("events.jsonl")]
    assert len(set(tags)) == len(get_args(Command)) + len(get_args(Event))


def test_rows_are_sealed_as_ever() -> None:
    """The chain of digests over all samples as they are written, under rules 1 whatever the present ones are."""
    digest, sealed = GENESIS_DIGEST, []
    commands, events = lines("commands.jsonl"), lines("events.jsonl")
    for seq, (command, event) in enumerate(zip(commands, events, strict=False), 1):
        entry = Entry(seq, 1_700_000_000_000_000 + seq, "admin", COMMANDS[seq - 1], f"id-{seq}" if seq % 2 else "")
        # Each row has a sample and the end of a sweep.
        written = f"{event.removesuffix(']')},{events[17].removeprefix('[')}"
        digest = chain(digest, entry, 1, command.encode(), written.encode())
        sealed.append(digest.hex())
    assert sealed == lines("digests.txt")


def test_a_state_is_written_as_ever() -> None:
    """A change of these bytes raises `image.FORMAT`, so that an older snapshot is passed over and not misread."""
    image = play(FULL_WORLD).engine.state.encode()
    assert image.hex() == "".join(lines(f"state-format-{FORMAT}.hex"))


def test_a_state_is_read_as_ever() -> None:
    state = State.decode(bytes.fromhex("".join(lines(f"state-format-{FORMAT}.hex"))))
    state.check()
    assert state.encode() == play(FULL_WORLD).engine.state.encode()
    assert state.bids
    holds = (state.holds.open, state.holds.ended, state.holds.bindings)
    for filled in (
        state.unreleased_losers,
        state.awards,
        state.slots_ended,
        state.ledger.earnings,
        state.receipts,
        *holds,
    ):
        assert filled
    assert any(bid.replaced for bid in state.bids.values())


@pytest.mark.parametrize("older", range(1, FORMAT))
def test_a_state_of_an_older_format_is_refused_in_words(older: int) -> None:
    """Recovery then goes on with the journal, which has it all (`tests/persistence/test_upgrade.py`)."""
    with pytest.raises(ImageError, match=f"image format {older}, this program reads {FORMAT}"):
        State.decode(bytes.fromhex("".join(lines(f"state-format-{older}.hex"))))


@pytest.mark.parametrize(
    "name", ["commands.jsonl", "events.jsonl", "rejects.txt", "digests.txt", f"state-format-{FORMAT}.hex"]
)
def test_a_changed_byte_would_be_seen(name: str) -> None:
    """The comparison is by whole lines, so a golden file has no line that is empty or said twice."""
    assert all(lines(name))
    assert len(set(lines(name))) == len(lines(name)) > 1
