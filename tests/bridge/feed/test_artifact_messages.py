"""What the feed says of artifact markets: everything that changes a book, to those who want it, and nothing private.

Method: random lives of artifact markets; a client that hears the messages alone must have their books and makers.
"""

import random
from typing import Any, get_args

import msgspec
import pytest

from callmarket.bridge.api.capital.book import amm_of
from callmarket.bridge.api.capital.holdings import order_of
from callmarket.bridge.api.units import number_of
from callmarket.bridge.feed.artifact_messages import ArtifactMessage
from callmarket.bridge.feed.encoded import FeedRow
from callmarket.bridge.feed.filters import Filter, Index, filter_of
from callmarket.bridge.feed.messages import Message
from callmarket.bridge.feed.rows import messages_of
from callmarket.engine.codec import SealedRow
from callmarket.engine.state import State
from tests.support.capital_stories import ACCOUNTS, ARTIFACTS, CapitalStory, capital_story
from tests.support.sealed import story

COMMANDS = 500
SEEDS = 6
PRIVATE = ("purse", "realised", "payout_tokens", "balance", "memo", "reason", "actor")

Said = dict[str, Any]


class ClientMarkets:
    """Artifact markets, from the messages of the feed."""

    def __init__(self) -> None:
        self.status: dict[str, str] = {}
        self.price: dict[str, float] = {}
        self.maker: dict[str, Said] = {}
        self.orders: dict[int, Said] = {}

    def hear(self, said: Said) -> None:
        """Apply one message."""
        artifact_id = said["artifact_id"]
        match said["type"]:
            case "artifact.opened":
                subsidy = said["subsidy_tokens"]
                self.status[artifact_id], self.price[artifact_id] = "open", 0.5
                self.maker[artifact_id] = {"subsidy": subsidy, "long": 0, "short": 0, "pool": subsidy, "loss": subsidy}
            case "artifact.traded":
                self.trade(artifact_id, said["market"])
            case "artifact.order":
                self.orders[said["order_id"]] = said
            case "artifact.matched":
                self.match(said)
            case "artifact.ended":
                for order in said["orders"]:
                    # Where its market was settled it has left already.
                    self.orders.pop(order["order_id"], None)
            case "artifact.decayed":
                maker = self.maker[artifact_id]
                maker |= {"subsidy": said["subsidy_tokens"], "pool": said["pool_tokens"]}
                maker["loss"] -= said["returned_tokens"]
            case "artifact.settled":
                self.status[artifact_id] = "settled"
                self.orders = {one: order for one, order in self.orders.items() if order["artifact_id"] != artifact_id}
            case "artifact.frozen" | "artifact.announced" as kind:
                self.status[artifact_id] = kind.partition(".")[2]
            case "artifact.unfrozen":
                self.status[artifact_id] = "open"

    def trade(self, artifact_id: str, market: Said) -> None:
        self.price[artifact_id] = market["price_after"]
        self.maker[artifact_id] = {
            "subsidy": market["subsidy_tokens"],
            "long": market["payout_if_long_tokens"],
            "short": market["payout_if_short_tokens"],
            "pool": market["pool_tokens"],
            "loss": market["loss_bound_tokens"],
        }

    def match(self, said: Said) -> None:
        order = self.orders[said["order_id"]]
        order |= {"tokens": said["tokens"], "shares": said["shares"]}
        if not (said["tokens"] or said["shares"]):
            del self.orders[said["order_id"]]


def said_of(row: SealedRow) -> list[Said]:
    return [msgspec.json.decode(msgspec.json.encode(message)) for message in messages_of(row.entry, row.events)]


def compare(client: ClientMarkets, state: State) -> None:
    """The client knows what the state has."""
    live = set()
    assert set(client.status) == set(state.capital.markets)
    for artifact_id, market in state.capital.markets.items():
        assert client.status[artifact_id] == market.phase.status
        if market.phase.status == "settled":
            continue
        live |= set(market.orders)
        amm, maker = amm_of(market), client.maker[artifact_id]
        assert [maker[name] for name in ("subsidy", "long", "short", "pool")] == [
            amm.subsidy_tokens,
            amm.long_shares,
            amm.short_shares,
            amm.pool_tokens,
        ]
        assert maker["loss"] == pytest.approx(amm.loss_bound_tokens, abs=0.00001)
        # A decay keeps the price but for its rounding.
        assert client.price[artifact_id] == pytest.approx(number_of(market.maker.price_micros), abs=0.000002)
    assert set(client.orders) == live
    for order_id in live:
        told = msgspec.to_builtins(order_of(state.capital.orders[order_id]))
        assert {name: client.orders[order_id][name] for name in told if name != "expires_at"} == {
            name: value for name, value in told.items() if name != "expires_at"
        }


def test_books_and_makers_can_be_rebuilt_from_all_messages(seed: int) -> None:
    """ORD-2 to ORD-9, LMSR-3, LMSR-9, STL-1: after every row, of every market."""
    kinds: set[str] = set()
    for one in range(seed, seed + SEEDS):
        life, client, heard = CapitalStory(one), ClientMarkets(), 0
        for _ in range(COMMANDS):
            rows = life.sealer.rows
            for row in rows[heard:]:
                for said in said_of(row):
                    client.hear(said)
                    kinds.add(said["type"])
            heard = len(rows)
            compare(client, life.engine.state)
            life.go_on(1)
    # Not every life comes to a decay.
    assert kinds | {"artifact.decayed"} == {kind.__struct_config__.tag for kind in get_args(ArtifactMessage)}


def test_messages_are_decoded_by_the_union_and_have_nothing_private(seed: int) -> None:
    """Purses, payouts and what a close has earned concern their accounts alone."""
    decoder = msgspec.json.Decoder(Message)
    for row in capital_story(seed, COMMANDS).rows:
        for message in messages_of(row.entry, row.events):
            text = msgspec.json.encode(message)
            assert decoder.decode(text) == message
            assert message.seq == row.entry.seq
            for word in PRIVATE:
                assert word not in text.decode(), (word, text)


class Wanting:
    """Somebody with a filter."""

    def __init__(self, wanted: Filter) -> None:
        self.filter = wanted


def test_each_hears_what_it_wants_and_no_more(seed: int) -> None:
    """An artifact passes its own messages, a market none of an artifact, and an account those that name it."""
    rng = random.Random(seed)
    sealed = [*capital_story(seed, COMMANDS).rows, *story(seed % 1_000_000, COMMANDS).rows]
    messages = [encoded for row in sealed for encoded in FeedRow(row.entry, row.events, 1).messages]
    index: Index[Wanting] = Index()
    there = [
        Wanting(
            filter_of(
                rng.sample(["market0", "market1", "paper0"], rng.randint(0, 1)),
                rng.sample(["artifact", "bid", "market"], rng.randint(0, 2)),
                rng.choice(["", "", *ACCOUNTS, "agent0"]),
                rng.sample([*ARTIFACTS, "market0"], rng.randint(0, 2)),
            )
        )
        for _ in range(60)
    ]
    for one in there:
        index.add(one)
    for encoded in messages:
        found = list(index.who_wants(encoded))
        assert len(found) == len(set(found))
        assert set(found) == {one for one in there if one.filter.lets_through(encoded)}
    for encoded in messages:
        of_artifact = encoded.kind == "artifact"
        assert filter_of(kinds=["artifact"]).lets_through(encoded) == of_artifact
        if of_artifact:
            artifact_id = encoded.message.artifact_id  # type: ignore[union-attr]
            # A market of the same name is another thing.
            assert not filter_of([artifact_id]).lets_through(encoded)
            assert filter_of(artifact_ids=[artifact_id]).lets_through(encoded)
            assert not filter_of(artifact_ids=["other"]).lets_through(encoded)
            assert filter_of(["market0"], artifact_ids=[artifact_id]).lets_through(encoded)
    ended = [encoded for encoded in messages if encoded.message.__struct_config__.tag == "artifact.ended"]
    for encoded in ended:
        accounts = {order.account_id for order in encoded.message.orders}  # type: ignore[union-attr]
        assert set(encoded.bidder_ids) == accounts
        assert filter_of(bidder_id=min(accounts)).lets_through(encoded)
