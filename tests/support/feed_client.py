"""Clients of the feed: one that keeps a book from messages alone, and one that reads a stream and loses it at random.

Rule of this file: a client knows what is said to it and nothing else. It reads the text of the stream, and keeps to the
contract: what came after the last `id` is forgotten when it resumes.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

Said = dict[str, Any]


class ClientBook:
    """The books of all markets, from the messages of the feed."""

    def __init__(self) -> None:
        self.bids: dict[int, Said] = {}
        self.offers: dict[tuple[str, str], Said] = {}
        self.markets: set[str] = set()

    def hear(self, said: Said) -> None:
        """Apply one message."""
        match said["type"]:
            case "market.opened":
                self.markets.add(said["market_id"])
            case "bid.placed":
                self.bids[said["bid_id"]] = said
            case "bid.amended":
                self.bids[said["bid_id"]] |= {key: said[key] for key in ("max_price_tokens", "ttl_at", "priority_seq")}
            case "bid.cancelled":
                del self.bids[said["bid_id"]]
            case "bid.lost" | "bid.expired":
                for bid in said["bids"]:
                    self.bids.pop(bid["bid_id"], None)
            case "award.granted":
                del self.bids[said["bid_id"]]
                del self.offers[said["provider_id"], said["slot_id"]]
            case "round":
                for bid_id, bid in list(self.bids.items()):
                    if bid["market_id"] == said["market_id"] and bid["time_in_force"] == "round":
                        del self.bids[bid_id]
            case "slot.offered":
                self.offers[said["provider_id"], said["slot_id"]] = said
            case "slot.withdrawn":
                del self.offers[said["provider_id"], said["slot_id"]]

    def book(self, market_id: str) -> dict[str, Any]:
        """A market's book as `get_order_book` gives it, in plain values."""
        bids = [bid for bid in self.bids.values() if bid["market_id"] == market_id]
        asks = [offer for offer in self.offers.values() if offer["market_id"] == market_id]
        bids.sort(key=lambda bid: (-bid["max_price_tokens"], bid["priority_seq"]))
        # As times, not as texts: one on the full second is written without a fraction.
        asks.sort(
            key=lambda ask: (ask["reserve_price_tokens"], datetime.fromisoformat(ask["available_at"]), ask["offer_seq"])
        )
        bid_fields = ("bid_id", "bidder_id", "task_id", "max_price_tokens", "ttl_at", "time_in_force")
        ask_fields = ("slot_id", "available_at", "reserve_price_tokens", "provider_id")
        return {
            "bids": [{field: bid[field] for field in bid_fields} for bid in bids],
            "asks": [{field: ask[field] for field in ask_fields} for ask in asks],
        }


class ClientStream:
    """What one client has of a stream, over all of its connections."""

    def __init__(self) -> None:
        self.last_id: int | None = None
        self.kept: list[Said] = []
        self.end: Said | None = None
        self._unfinished: list[Said] = []
        self._text = b""

    def connect(self) -> str:
        """Begin anew after the last id; what it returns is its header."""
        self._unfinished, self._text, self.end = [], b"", None
        return "" if self.last_id is None else str(self.last_id)

    def hear(self, piece: bytes) -> None:
        """Take some bytes, cut anywhere."""
        *blocks, self._text = (self._text + piece).split(b"\n\n")
        for block in blocks:
            self._take(dict(self._fields(block)))

    def said(self, *types: str) -> list[Said]:
        """What was said for good, of some types."""
        return [one for one in self.kept if not types or one["type"] in types]

    def _take(self, event: dict[str, bytes]) -> None:
        if "data" not in event:
            return
        message = msgspec.json.decode(event["data"])
        if event["event"] == b"end":
            self.end = message
            return
        assert event["event"].decode() == message["type"].partition(".")[0]
        self._unfinished.append(message)
        if "id" in event:
            self.last_id = int(event["id"])
            self.kept += [one for one in self._unfinished if one["type"] != "watermark"]
            self._unfinished = []

    @staticmethod
    def _fields(block: bytes) -> Iterable[tuple[str, bytes]]:
        for line in block.split(b"\n"):
            name, _, value = line.partition(b": ")
            if name:
                yield name.decode(), value
