"""The state as canonical bytes, and back.

Rule of this file: equal states give equal bytes. Everything is listed in an order that the state itself defines, and
what can be derived (indexes and counts) is rebuilt and not stored. MessagePack, and records
that are their own rows, because a million bids are read at once.
"""

from typing import TYPE_CHECKING, Final, Literal

import msgspec
from msgspec import Struct

from callmarket.engine.book import Bid, Book
from callmarket.engine.capital.image import CapitalImage, image_of
from callmarket.engine.capital.image import restore as restore_capital
from callmarket.engine.codec import decode_command, decode_events
from callmarket.engine.codec import encode as encode_json
from callmarket.engine.digests import Digests
from callmarket.engine.events import MarketOpened
from callmarket.engine.holds import Binding, NamedHold
from callmarket.engine.ledger import Account
from callmarket.engine.market import LosingRound, Market
from callmarket.engine.receipts import Receipt
from callmarket.engine.retries import STAFF, VALUE_BYTES, Generation
from callmarket.engine.slots import Award, Slot, SlotKey

if TYPE_CHECKING:
    # For the annotations alone: a state is handed in, so the two modules need no circle at run time.
    from callmarket.engine.state import State

FORMAT: Final = 5
"""Version of these bytes. A change of any row below, or of the fields of a record in one, raises it."""


class ImageError(ValueError):
    """Bytes that are not an image of a state in this format."""


ReceiptRow = tuple[str, str, int, int, bytes, bytes]
Rows = list[tuple[bytes, bytes]]
"""The buckets of `Digests`, by their prefixes."""


class _MarketImage(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    rules: MarketOpened
    rounds_called: int
    resting: list[Bid]
    round_bids: list[Bid]
    reward_day: int
    rewarded_tokens: list[tuple[str, int]]


class _LosingImage(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    market_id: str
    round_no: int
    called_at_us: int
    bids: list[Bid]


class _GenerationImage(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    period: int
    by_actor: list[tuple[str, int]]
    done: Rows


class _Head(Struct, frozen=True, array_like=True):
    """What every format begins with, whatever follows."""

    format: int


class _Image(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    format: Literal[5]
    seq: int
    at_us: int
    bids_placed: int
    awards_granted: int
    transfers_posted: int
    accounts: list[Account]
    earnings: Rows
    markets: list[_MarketImage]
    losing: list[_LosingImage]
    slots: list[Slot]
    slots_ended: list[SlotKey]
    awards: list[Award]
    holds: list[NamedHold]
    holds_ended: list[NamedHold]
    hold_bindings: list[Binding]
    capital: CapitalImage
    receipts: list[ReceiptRow]
    retries: list[_GenerationImage]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Image)
_head_decoder: Final = msgspec.msgpack.Decoder(_Head)


def encode(state: "State") -> bytes:
    """Canonical bytes of a state. O(state)."""
    ledger = state.ledger
    image = _Image(
        format=FORMAT,
        seq=state.seq,
        at_us=state.at_us,
        bids_placed=state.bids_placed,
        awards_granted=state.awards_granted,
        transfers_posted=ledger.transfers_posted,
        accounts=[account for _, account in sorted(ledger.accounts.items())],
        earnings=list(ledger.earnings.buckets()),
        markets=[
            _MarketImage(
                market.rules,
                market.rounds_called,
                list(market.resting),
                list(market.round_bids),
                market.reward_day,
                sorted(market.rewarded_tokens.items()),
            )
            for _, market in sorted(state.markets.items())
        ],
        # In the order in which sweeps release them, which is the order of the calls.
        losing=[
            _LosingImage(market_id, round_no, losing.called_at_us, list(losing.book))
            for (market_id, round_no), losing in state.unreleased_losers.items()
        ],
        slots=[slot for _, slot in sorted(state.slots.items())],
        slots_ended=list(state.slots_ended),
        awards=[award for _, award in sorted(state.awards.items())],
        holds=[hold for _, hold in sorted(state.holds.open.items())],
        holds_ended=list(state.holds.ended.values()),
        hold_bindings=list(state.holds.bindings.values()),
        capital=image_of(state.capital),
        receipts=[
            (row.actor, row.command_id, row.seq, row.at_us, encode_json(row.command), encode_json(row.events))
            for row in state.receipts
        ],
        retries=[
            _GenerationImage(one.period, sorted(one.by_actor.items()), list(one.done.buckets()))
            for one in state.retries.generations
        ],
    )
    return _encoder.encode(image)


def restore(data: bytes, into: "State") -> None:
    """Fill an empty state from bytes; call `check()` before trusting them. Raises `ImageError`. O(state)."""
    try:
        _restore(into, _decoder.decode(data))
    # Damaged bytes may be no MessagePack, no UTF-8, or name an account, slot or market that is not there.
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError) as error:
        raise ImageError(_format_fault(data) or f"not an image of a state: {error!r}") from error


def _format_fault(data: bytes) -> str:
    """Words for an image of another format, whose rows this program cannot read; none for one of this format."""
    try:
        found = _head_decoder.decode(data).format
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    return "" if found == FORMAT else f"image format {found}, this program reads {FORMAT}"


def _restore(state: "State", image: _Image) -> None:
    ledger = state.ledger
    state.seq, state.at_us = image.seq, image.at_us
    state.bids_placed, state.awards_granted = image.bids_placed, image.awards_granted
    ledger.transfers_posted = image.transfers_posted
    ledger.accounts.update({account.account_id: account for account in image.accounts})
    ledger.earnings.fill(image.earnings)
    for market_image in image.markets:
        market = Market(market_image.rules)
        market.rounds_called = market_image.rounds_called
        market.reward_day = market_image.reward_day
        market.rewarded_tokens.update(market_image.rewarded_tokens)
        state.markets[market.rules.market_id] = market
        _restore_book(state, market.resting, market, market_image.resting)
        _restore_book(state, market.round_bids, market, market_image.round_bids)
    for losing in image.losing:
        book = Book()
        state.unreleased_losers[losing.market_id, losing.round_no] = LosingRound(losing.called_at_us, book)
        _restore_book(state, book, state.markets[losing.market_id], losing.bids)
    state.bid_deadlines.fill([(bid.ttl_at_us, bid.bid_id) for bid in state.bids.values() if bid.ttl_at_us is not None])
    _restore_supply(state, image)
    _restore_holds(state, image)
    restore_capital(state.capital, image.capital)
    _restore_replies(state, image)


def _restore_book(state: "State", book: Book, market: Market, bids: list[Bid]) -> None:
    market_id, accounts = market.rules.market_id, state.ledger.accounts
    for bid in bids:
        if bid.market_id != market_id:
            raise ImageError(f"bid {bid.bid_id} of market {bid.market_id} stands in a book of {market_id}")
        # One string for all bids of a market and of a bidder: a third of their memory, and they compare at once.
        bid.market_id = market_id
        bid.bidder_id = accounts[bid.bidder_id].account_id
    book.fill(bids)
    state.bids.update({bid.bid_id: bid for bid in bids})
    market.fill(bids)


def _restore_supply(state: "State", image: _Image) -> None:
    state.slots.update({slot.key: slot for slot in image.slots})
    state.slots_ended.update(dict.fromkeys(image.slots_ended))
    for slot in image.slots:
        market = state.markets[slot.market_id]
        if slot.status == "offered":
            market.offers.add(slot)
        if slot.status in ("offered", "awarded"):
            market.add_slot(slot.provider_id)
    for award in image.awards:
        state.awards[award.award_id] = state.awards_by_bid[award.bid_id] = award
        state.award_leases.add(award.lease_until_us, award.award_id)
        market = state.markets[award.market_id]
        market.tasks_awarded[market.task_key(award.bidder_id, award.task_id)] = award.award_id


def _restore_holds(state: "State", image: _Image) -> None:
    for hold in image.holds:
        # One string for all holds of an account, as of its bids.
        hold.account_id = state.ledger.accounts[hold.account_id].account_id
        state.holds.add(hold)
    for hold in image.holds_ended:
        state.holds.remember(hold)
    state.holds.bindings.update({binding.key: binding for binding in image.hold_bindings})


def _restore_replies(state: "State", image: _Image) -> None:
    for actor, command_id, seq, at_us, command, events in image.receipts:
        caused = decode_events(events)
        if not caused:
            raise ImageError(f"the receipt of row {seq} has no events")
        state.receipts.add(Receipt(actor, command_id, seq, at_us, decode_command(command), caused))
    for row in image.retries:
        done = Digests(VALUE_BYTES)
        done.fill(row.done)
        by_actor = dict(row.by_actor)
        by_accounts = sum(count for actor, count in by_actor.items() if actor not in STAFF)
        state.retries.generations.append(Generation(row.period, by_actor, by_accounts, done))
