"""The state as canonical bytes, and back.

Rule of this file: equal states give equal bytes. Everything is listed in an order that the state itself defines, and
what can be derived (indexes, counts) is rebuilt and not stored. MessagePack, because a million bids are read at once.
"""

from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from engine.book import Bid, Book
from engine.codec import decode_command, decode_events
from engine.codec import encode as encode_json
from engine.commands import TimeInForce
from engine.events import MarketOpened, SlotStatus
from engine.ledger import Account, Earning, Hold, Ledger, LedgerKind
from engine.market import LosingRound, Market
from engine.receipts import Receipt
from engine.slots import Award, Slot

if TYPE_CHECKING:
    # For the annotations alone: a state is handed in, so the two modules need no circle at run time.
    from engine.state import State

FORMAT: Final = 1
"""Version of these bytes. A change of any row below raises it."""


class ImageError(ValueError):
    """Bytes that are not an image of a state in this format."""


AccountRow = tuple[str, LedgerKind, int, int]
HoldRow = tuple[int, str, int]
BidRow = tuple[int, str, str, int, int, int | None, TimeInForce, int, int, bool]
SlotRow = tuple[str, str, SlotStatus, int, int, int, str, int, int, str]
AwardRow = tuple[int, str, str, int, str, str, int, str, int]
ReceiptRow = tuple[str, str, int, int, bytes, bytes]


class _MarketImage(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    rules: MarketOpened
    rounds_called: int
    resting: list[BidRow]
    round_bids: list[BidRow]


class _LosingImage(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    market_id: str
    round_no: int
    called_at_us: int
    bids: list[BidRow]


class _Image(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    format: int
    seq: int
    at_us: int
    bids_placed: int
    awards_granted: int
    transfers_posted: int
    accounts: list[AccountRow]
    holds: list[HoldRow]
    earnings: list[Earning]
    markets: list[_MarketImage]
    losing: list[_LosingImage]
    slots: list[SlotRow]
    slots_ended: list[str]
    awards: list[AwardRow]
    receipts: list[ReceiptRow]


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Image)


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
        accounts=[
            (account.account_id, account.kind, account.balance_tokens, account.held_tokens)
            for _, account in sorted(ledger.accounts.items())
        ],
        holds=[(hold_id, hold.account_id, hold.tokens) for hold_id, hold in sorted(ledger.holds.items())],
        earnings=sorted(ledger.earnings),
        markets=[
            _MarketImage(market.rules, market.rounds_called, _bid_rows(market.resting), _bid_rows(market.round_bids))
            for _, market in sorted(state.markets.items())
        ],
        # In the order in which sweeps release them, which is the order of the calls.
        losing=[
            _LosingImage(market_id, round_no, losing.called_at_us, _bid_rows(losing.book))
            for (market_id, round_no), losing in state.losing.items()
        ],
        slots=[_slot_row(slot) for _, slot in sorted(state.slots.items())],
        slots_ended=list(state.slots_ended),
        awards=[_award_row(award) for _, award in sorted(state.awards.items())],
        receipts=[
            (row.actor, row.command_id, row.seq, row.at_us, encode_json(row.command), encode_json(row.events))
            for row in state.receipts
        ],
    )
    return _encoder.encode(image)


def restore(data: bytes, into: "State") -> None:
    """Fill an empty state from bytes; call `check()` before trusting them. Raises `ImageError`. O(state)."""
    try:
        image = _decoder.decode(data)
        if image.format == FORMAT:
            _restore(into, image)
            return
    # Damaged bytes may be no MessagePack, no UTF-8, or name an account, slot or market that is not there.
    except (msgspec.MsgspecError, UnicodeDecodeError, KeyError) as error:
        raise ImageError(f"not an image of a state: {error!r}") from error
    raise ImageError(f"image format {image.format}, this program reads {FORMAT}")


def _restore(state: "State", image: _Image) -> None:
    state.seq, state.at_us = image.seq, image.at_us
    state.bids_placed, state.awards_granted = image.bids_placed, image.awards_granted
    _restore_ledger(state.ledger, image)
    for row in image.slots:
        state.slots[row[0]] = Slot(*row)
    state.slots_ended.update(dict.fromkeys(image.slots_ended))
    for market_image in image.markets:
        market = Market(market_image.rules)
        market.rounds_called = market_image.rounds_called
        state.markets[market.rules.market_id] = market
        _restore_book(state, market.resting, market, market_image.resting)
        _restore_book(state, market.round_bids, market, market_image.round_bids)
    for losing in image.losing:
        book = Book()
        state.losing[losing.market_id, losing.round_no] = LosingRound(losing.called_at_us, book)
        _restore_book(state, book, state.markets[losing.market_id], losing.bids)
    state.bid_deadlines.fill([(bid.ttl_at_us, bid.bid_id) for bid in state.bids.values() if bid.ttl_at_us is not None])
    _restore_supply(state, image)
    for actor, command_id, seq, at_us, command, events in image.receipts:
        state.receipts.add(Receipt(actor, command_id, seq, at_us, decode_command(command), decode_events(events)))


def _restore_ledger(ledger: Ledger, image: _Image) -> None:
    ledger.transfers_posted = image.transfers_posted
    for account_id, kind, balance_tokens, held_tokens in image.accounts:
        ledger.accounts[account_id] = Account(account_id, kind, balance_tokens, held_tokens)
    for hold_id, account_id, tokens in image.holds:
        ledger.holds[hold_id] = Hold(account_id, tokens)
    ledger.earnings.update(image.earnings)


def _restore_book(state: "State", book: Book, market: Market, rows: list[BidRow]) -> None:
    market_id = market.rules.market_id
    bids = [
        Bid(bid_id, market_id, bidder_id, task_id, price, value, ttl_at_us, time_in_force, priority_seq, round_no, over)
        for bid_id, bidder_id, task_id, price, value, ttl_at_us, time_in_force, priority_seq, round_no, over in rows
    ]
    book.fill(bids)
    state.bids.update([(bid.bid_id, bid) for bid in bids])
    market.fill(bids)


def _restore_supply(state: "State", image: _Image) -> None:
    for slot in state.slots.values():
        market = state.markets[slot.market_id]
        if slot.status == "offered":
            market.offers.add(slot)
        if slot.status in ("offered", "awarded"):
            market.slots_live += 1
    for row in image.awards:
        award = Award(*row)
        state.awards[award.award_id] = award
        state.award_leases.add(award.lease_until_us, award.award_id)
        state.markets[award.market_id].tasks_awarded[award.task_id] = award.award_id


def _bid_rows(book: Book) -> list[BidRow]:
    return [
        (
            bid.bid_id,
            bid.bidder_id,
            bid.task_id,
            bid.max_price_tokens,
            bid.expected_value_microusd,
            bid.ttl_at_us,
            bid.time_in_force,
            bid.priority_seq,
            bid.round_no,
            bid.replaced,
        )
        for bid in book
    ]


def _slot_row(slot: Slot) -> SlotRow:
    return (
        slot.slot_id,
        slot.market_id,
        slot.status,
        slot.offer_seq,
        slot.available_at_us,
        slot.reserve_price_tokens,
        slot.provider_id,
        slot.lease_us,
        slot.award_id,
        slot.winner_id,
    )


def _award_row(award: Award) -> AwardRow:
    return (
        award.award_id,
        award.market_id,
        award.slot_id,
        award.bid_id,
        award.bidder_id,
        award.task_id,
        award.price_tokens,
        award.provider_id,
        award.lease_until_us,
    )
