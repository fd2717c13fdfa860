"""What the feed says of rows: everything that changes the book, nothing private, the same bytes each time.

Method: random streams of commands, decided by the engine; a client that hears the messages alone must have the book.
"""

import random
from typing import Any, get_args

import msgspec
import pytest

from callmarket.bridge.api.checks import ROWS_MAX
from callmarket.bridge.api.contract.queries import Moment
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.operations.markets import get_order_book
from callmarket.bridge.feed import limits, sse
from callmarket.bridge.feed.artifact_messages import ArtifactMessage
from callmarket.bridge.feed.encoded import EncodedMessage, FeedRow, size_of, watermark
from callmarket.bridge.feed.filters import Filter, Index, filter_of
from callmarket.bridge.feed.messages import Message, WatermarkMessage
from callmarket.bridge.feed.rows import messages_of
from callmarket.engine.codec import GENESIS_DIGEST, SealedRow, seal
from callmarket.engine.core import Engine
from callmarket.engine.events import one_by_one
from callmarket.engine.limits import RULES
from callmarket.engine.state import State
from tests.support.feed_client import ClientBook, ClientStream
from tests.support.golden import golden_journal, journal_of
from tests.support.sealed import bids, story
from tests.support.streams import Stream, bounds
from tests.support.swarms import lingering_swarm, small_swarm

SEEDS = 30
COMMANDS = 400
PRIVATE = ("expected_value", "balance", "memo", "reference", "released", "premium", "transfer", "reason", "actor")


def plain(state: State, market_id: str) -> dict[str, Any]:
    """The book that the exchange would answer, as JSON has it."""
    book: dict[str, Any] = msgspec.to_builtins(
        get_order_book.plan(market_id, ROWS_MAX).answer(Moment(state, state.seq, state.at_us))
    )
    assert len(book["bids"]) == book["bids_total"]
    assert len(book["asks"]) == book["asks_total"]
    return {"bids": list(book["bids"]), "asks": list(book["asks"])}


def said_of(row: SealedRow) -> list[dict[str, Any]]:
    return [msgspec.json.decode(msgspec.json.encode(message)) for message in messages_of(row.entry, row.events)]


def row_of(row: SealedRow) -> FeedRow:
    return FeedRow(row.entry, row.events, len(row.events_json))


def test_the_book_can_be_rebuilt_from_all_messages(seed: int) -> None:
    """BID-2, BID-4, CLR-1: after every row, of every market, for all pricing rules; losers leave with the call."""
    first = seed % 1_000_000
    kinds: set[str] = set()
    waiting_losers = 0
    # The first of these offers a slot from a full second on.
    for one in (721_609, *range(first, first + SEEDS)):
        stream = Stream(one, choose_swarm=lingering_swarm if one % 2 else small_swarm)
        engine, client = Engine(), ClientBook()
        with bounds(stream.swarm.bounds):
            for _ in range(COMMANDS):
                entry = stream.next_entry()
                row = seal(GENESIS_DIGEST, entry, engine.apply(entry))
                stream.observe(entry, row.events)
                for said in said_of(row):
                    client.hear(said)
                    kinds.add(said["type"])
                    waiting_losers += said.get("losers_remaining", 0)
                assert set(engine.state.markets) == client.markets
                for market_id in client.markets:
                    assert client.book(market_id) == plain(engine.state, market_id), (one, entry)
    # Artifact markets have a test of their own.
    auction = set(get_args(Message)) - set(get_args(ArtifactMessage))
    assert {kind for kind in kinds if not kind.startswith("artifact.")} == {
        kind.__struct_config__.tag for kind in auction
    } - {"watermark"}
    assert waiting_losers, "the rule about losers was never put to the test"


def test_no_message_has_refusals_retries_wallets_or_a_bidders_estimates(seed: int) -> None:
    """Refusals, retries, wallets and what a bidder expects of its task are said of no row."""
    quiet = {"mint", "burn", "transfer", "open_account", "place_hold", "capture_hold", "release_hold"}
    for one in range(seed % 1_000_000, seed % 1_000_000 + 5):
        for row in story(one, COMMANDS).rows:
            text = b"".join(msgspec.json.encode(message) for message in messages_of(row.entry, row.events))
            if row.entry.command.__struct_config__.tag in quiet or row.events[0].__struct_config__.tag == "rejected":
                assert text == b""
            for word in PRIVATE:
                assert word.encode() not in text, (word, text)


def test_types_are_decoded_by_their_union(seed: int) -> None:
    """A client may decode with the union itself; nothing is lost on the way."""
    decoder = msgspec.json.Decoder(Message)
    for row in story(seed % 1_000_000, COMMANDS).rows:
        for message in messages_of(row.entry, row.events):
            assert decoder.decode(msgspec.json.encode(message)) == message
            assert not isinstance(message, WatermarkMessage)
            assert message.seq == row.entry.seq
    assert decoder.decode(watermark(7)[0].data) == WatermarkMessage(7)


def test_text_of_a_row_carries_its_id_last() -> None:
    messages = [EncodedMessage(5, WatermarkMessage(5)), EncodedMessage(5, WatermarkMessage(5))]
    text = sse.encode([tuple(messages)])
    one = b'event: watermark\ndata: {"type":"watermark","durable_seq":5}\n\n'
    assert text == one + b"id: 5\n" + one
    assert messages[0].text is messages[0].text, "encoded once for all"


@pytest.mark.parametrize("wrong", ["x", "-1", "1.0", "٣", " 1", "9" * 16, "9" * 5000, "1\n"])
def test_wrong_last_event_ids_are_refused(wrong: str) -> None:
    with pytest.raises(Invalid, match="Last-Event-ID"):
        sse.after_seq_of(wrong)


def test_last_event_ids_are_parsed() -> None:
    assert [sse.after_seq_of(text) for text in ("", "0", "17", str(2**53 - 1))] == [None, 0, 17, 2**53 - 1]


def test_a_client_that_reads_the_text_in_any_pieces_has_each_message_once(seed: int) -> None:
    rng = random.Random(seed)
    rows = [row_of(row) for row in story(seed % 1_000_000, COMMANDS).rows]
    messages = [encoded for row in rows for encoded in row.messages]
    deliveries = [row.messages for row in rows if row.messages]
    text, client = sse.OPENING + sse.HEARTBEAT + sse.encode(deliveries), ClientStream()
    while text:
        size = rng.randint(1, 200)
        client.hear(text[:size])
        text = text[size:]
    assert client.kept == [msgspec.json.decode(encoded.data) for encoded in messages]


class Wanting:
    """Somebody with a filter."""

    def __init__(self, wanted: Filter) -> None:
        self.filter = wanted


def test_the_index_finds_the_subscribers_that_want_a_message(seed: int) -> None:
    """The same as asking each; also after some have left."""
    rng = random.Random(seed)
    rows = [row_of(row) for row in story(seed % 1_000_000, COMMANDS).rows]
    # Those of rules 1 name no market in rows that those of today do.
    rows += [row_of(row) for row in journal_of(golden_journal(1)).read()]
    names = sorted({name for row in rows for encoded in row.messages for name in encoded.bidder_ids}) or ["a"]
    markets = [f"market{number}" for number in range(3)]

    def some() -> Filter:
        return filter_of(
            rng.sample(markets, rng.randint(0, 2)),
            rng.sample(["round", "award", "bid", "slot", "market"], rng.choice((0, 1, 2))),
            rng.choice(["", "", rng.choice(names)]),
        )

    index: Index[Wanting] = Index()
    there = [Wanting(some()) for _ in range(60)]
    for one in there:
        index.add(one)
    for row in rows:
        if rng.random() < 0.05 and there:
            index.discard(left := there.pop(rng.randrange(len(there))))
            index.discard(left)
        for encoded in row.messages:
            found = list(index.who_wants(encoded))
            assert len(found) == len(set(found))
            assert set(found) == {one for one in there if one.filter.lets_through(encoded)}


def test_filters_let_through_what_they_say() -> None:
    rows = bids(3, bidders=2)
    (placed,) = row_of(rows[-1]).messages
    assert (placed.kind, placed.market_id, list(placed.bidder_ids)) == ("bid", "gpu", ["agent0"])
    assert filter_of().lets_through(placed)
    assert filter_of(["gpu"], ["bid"], "agent0").lets_through(placed)
    for other in (filter_of(["cpu"]), filter_of(kinds=["award"]), filter_of(bidder_id="agent1")):
        assert not other.lets_through(placed)


def test_a_market_hears_of_its_own_bids_awards_and_slots_alone() -> None:
    """Of rows of the present rules; those of rules 1 name no market, so their messages pass every filter."""
    changes = {"bid.amended", "bid.cancelled", "award.settled", "award.voided", "award.lapsed", "slot.withdrawn"}
    for rules in (1, RULES):
        heard = set()
        for row in journal_of(golden_journal(rules)).read():
            for said, encoded in zip(said_of(row), row_of(row).messages, strict=True):
                if said["type"] in changes:
                    heard.add(said["type"])
                    assert (said["market_id"] is None) == (rules == 1)
                    for market_id in ("market0", "market1"):
                        passes = rules == 1 or said["market_id"] == market_id
                        assert filter_of([market_id]).lets_through(encoded) == passes
        assert heard == changes


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"kinds": ["bids"]}, "kinds"),
        ({"market_ids": [str(number) for number in range(101)]}, "market_ids"),
        ({"artifact_ids": [str(number) for number in range(101)]}, "artifact_ids"),
    ],
)
def test_wrong_filters_are_refused(options: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid, match=field):
        filter_of(**options)


def test_a_filter_may_name_so_many_markets() -> None:
    names = [f"m{number}" for number in range(limits.FILTER_MARKETS_MAX)]
    assert filter_of([*names, names[0]]).market_ids == set(names)


def test_the_size_of_a_row_is_that_of_all_its_messages(seed: int) -> None:
    rows = [row_of(row) for row in story(seed % 1_000_000, COMMANDS).rows]
    # Not every random life has such a row.
    rows += [row_of(row) for row in journal_of(golden_journal(RULES)).read()]
    several = [row.messages for row in rows if len(row.messages) > 1]
    assert several
    for messages in [*several, *(row.messages for row in rows if row.messages)]:
        assert size_of(messages) == sum(len(encoded.text) for encoded in messages)


def test_the_end_of_an_award_names_its_slot_and_its_bidder(seed: int) -> None:
    """As its award did, so that nobody has to remember it; in a random life, and in one that has all of the ends."""
    ends = set()
    for rows in (list(story(seed % 1_000_000, COMMANDS).rows), list(journal_of(golden_journal(RULES)).read())):
        granted = {}
        for row in rows:
            for said in said_of(row):
                if said["type"].partition(".")[0] != "award":
                    continue
                whose = [said[name] for name in ("bid_id", "bidder_id", "market_id", "provider_id", "slot_id")]
                if said["type"] == "award.granted":
                    granted[said["award_id"]] = whose
                else:
                    ends.add(said["type"])
                    assert granted[said["award_id"]] == whose, said
    assert ends == {"award.settled", "award.voided", "award.lapsed"}


def test_of_a_row_is_said_what_is_said_of_each_of_its_events() -> None:
    """Also after an event of which nothing is said: a lapse that is charged stands before others in a sweep."""
    passed_over = 0
    for seed in range(10, 30):
        for row in story(seed, COMMANDS).rows:
            alone = [list(messages_of(row.entry, (event,))) for event in one_by_one(row.events)]
            assert list(messages_of(row.entry, row.events)) == [one for said in alone for one in said]
            passed_over += any(not said and any(alone[number:]) for number, said in enumerate(alone))
    assert passed_over, "no such row among them"
