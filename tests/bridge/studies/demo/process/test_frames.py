"""Frames: what is written is read, and a pipe that ends in the middle is an end, not a message."""

import io
import os
import select

import pytest

from callmarket.bridge.api.messages import Reply, Request
from callmarket.bridge.studies.demo.process import frames
from callmarket.engine.commands import AmendBid, ExpireDue, Mint, PlaceBid
from callmarket.engine.events import BidsExpired, Rejected, SweepFinished
from callmarket.engine.reject import Reject

TO_ENGINE = [
    frames.Submit(5, (Request("admin", Mint("a", 3, "grant:initial")), Request("a", AmendBid(1, None, 4), "id-1"))),
    frames.Submit(6, (Request("a", PlaceBid("m", "a", "t", 2**53 - 1, 0, None)), Request("operator", ExpireDue()))),
    frames.StateDigest(),
    frames.Summary(),
    frames.Stop(),
]
FROM_ENGINE = [
    frames.Started(3, 0.5),
    frames.Replies((Reply(1, 2, (BidsExpired((1, 2), ("a", "b"), (5, 6)), SweepFinished(0, 2, 0, False)), 1),)),
    frames.Replies((Reply(1, 2, (Rejected(Reject.FUNDS_INSUFFICIENT, "x", 5, "bound"),), 1, repeated=True),)),
    frames.DigestOf(3, bytes(32)),
    frames.Balances(3, {"issuance": (-5, 0), "a": (5, 2)}),
    frames.Failed("why"),
]


def test_what_is_written_is_read():
    stream = io.BytesIO()
    for message in TO_ENGINE:
        frames.write(stream, message)
    stream.seek(0)
    assert [frames.read_request(stream) for _ in TO_ENGINE] == TO_ENGINE
    assert frames.read_request(stream) is None


@pytest.mark.parametrize("message", FROM_ENGINE, ids=lambda message: type(message).__name__)
def test_an_answer_that_is_cut_anywhere_is_an_end(message: frames.FromEngine):
    stream = io.BytesIO()
    frames.write(stream, message)
    whole = stream.getvalue()
    assert frames.read_answer(io.BytesIO(whole)) == message
    for length in range(len(whole)):
        assert frames.read_answer(io.BytesIO(whole[:length])) is None


def test_what_is_written_is_on_its_way_at_once():
    """The other process answers it, so nothing may wait in a buffer for the next message."""
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as there, os.fdopen(write_end, "wb") as here:
        for message in TO_ENGINE:
            frames.write(here, message)
            assert select.select([there], [], [], 0)[0], "nothing has come"
            assert frames.read_request(there) == message
