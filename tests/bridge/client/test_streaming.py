"""What a client has of a stream: whole rows, where it goes on, and when it is over; without a service or a wait.

Goal: nothing is told twice or lost when a stream breaks in the middle of a row. Method: events as the service writes
them, for rows that the engine decided.
"""

import httpx2
import msgspec
import pytest

from callmarket import Invalid, Unauthorized, Unavailable
from callmarket.bridge.client import streaming
from callmarket.bridge.client.streaming import Listening
from callmarket.bridge.feed.encoded import FeedRow, watermark
from callmarket.bridge.feed.messages import Message
from tests.support.sealed import story

ROWS = [row for row in (FeedRow(row.entry, row.events, 0) for row in story(3, 400).rows) if row.messages]
LONG = [row for row in ROWS if len(row.messages) > 2]


def events_of(row: FeedRow) -> list[httpx2.ServerSentEvent]:
    """The last message of a row carries the row's id; those before it that of the row before."""
    ids = [*[str(row.messages[0].seq - 1)] * (len(row.messages) - 1), str(row.messages[0].seq)]
    return [event(frame.data.decode(), one) for frame, one in zip(row.messages, ids, strict=True)]


def event(data: str, last_id: str = "", kind: str = "message") -> httpx2.ServerSentEvent:
    return httpx2.ServerSentEvent(kind, data, last_id)


def messages_of(row: FeedRow) -> list[Message]:
    return [msgspec.json.decode(frame.data, type=Message) for frame in row.messages]


def listening(after_seq: int = 0) -> Listening:
    return Listening(after_seq, (), (), "")


def test_the_target_has_the_position_and_the_filters() -> None:
    assert listening(7).target == "/api/v1/events?after_seq=7"
    wanted = Listening(7, ["m", "a b"], ["round", "award"], "b&c")
    assert wanted.target == (
        "/api/v1/events?market_id=m&market_id=a+b&kind=round&kind=award&bidder_id=b%26c&after_seq=7"
    )
    assert wanted.call().target == wanted.target


def test_an_invalid_filter_is_refused_before_connecting() -> None:
    with pytest.raises(Invalid, match="kinds"):
        Listening(0, (), ["nonsense"], "")
    with pytest.raises(Invalid, match="market_ids"):
        Listening(0, [f"m{number}" for number in range(10_000)], (), "")


def test_a_row_is_delivered_when_it_is_complete() -> None:
    stream = listening()
    for row in ROWS:
        seq = row.messages[0].seq
        *parts, last = events_of(row)
        for part in parts:
            assert stream.on_event(part) == []
            assert stream.seen_seq < seq
        assert stream.on_event(last) == messages_of(row)
        assert stream.seen_seq == seq
        assert stream.target.endswith(f"after_seq={seq}")


def test_an_incomplete_row_is_delivered_after_a_reconnection() -> None:
    row, stream = LONG[0], listening()
    stream.headers()
    for part in events_of(row)[:-1]:
        assert stream.on_event(part) == []
    stream.headers()
    told = [message for one in events_of(row) for message in stream.on_event(one)]
    assert told == messages_of(row), "once, and all of it"


def test_a_watermark_counts_as_seen() -> None:
    stream = listening()
    (frame,) = watermark(9)
    (told,) = stream.on_event(event(frame.data.decode(), "9"))
    assert msgspec.json.encode(told) == frame.data
    assert stream.seen_seq == 9
    assert stream.on_event(event("")) == [], "that it is alive is no news"


def test_a_stream_resumes_after_an_end_unless_the_key_has_ended() -> None:
    stream = listening(5)
    for data in ('{"reason":"handed over","resume_after_seq":7}', "no JSON", "{}"):
        assert stream.on_event(event(data, "5", "end")) == []
    assert stream.seen_seq == 5
    with pytest.raises(Unauthorized, match="revoked"):
        stream.on_event(event('{"reason":"revoked","key_ended":true}', "5", "end"))


def test_an_unreadable_message_is_unavailable() -> None:
    with pytest.raises(Unavailable, match="not understood"):
        listening().on_event(event('{"type":"nonsense"}', "1"))


def test_a_row_of_too_many_messages_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    row = LONG[0]
    *parts, _ = events_of(row)
    monkeypatch.setattr(streaming, "ROW_MESSAGES_MAX", len(parts))
    stream = listening()
    for part in parts:
        assert stream.on_event(part) == []
    with pytest.raises(Unavailable, match="has more than"):
        stream.on_event(parts[-1])
