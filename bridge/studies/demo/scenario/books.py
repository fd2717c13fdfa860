"""The demo's own books, kept from what the market said and from nothing else.

Rule of this file: pure, and independent of the engine's ledger: it adds up events as an auditor outside would, so that
an equal sum is evidence. It refuses (by assertion) events that contradict the ones before.
"""

from typing import Final

from callmarket.engine.commands import ISSUANCE, SYSTEM_ACCOUNTS
from callmarket.engine.events import (
    AccountOpened,
    AwardGranted,
    AwardLapsed,
    AwardSettled,
    AwardsGranted,
    AwardVoided,
    BidAmended,
    BidCancelled,
    BidPlaced,
    BidsExpired,
    BidsLost,
    Event,
    TransferPosted,
)
from callmarket.engine.ids import BidId


class Books:
    """Balances and holds by account, and the open bids, from the events of acknowledged replies."""

    def __init__(self) -> None:
        """Begin with the two accounts that every ledger has."""
        self.balances: Final[dict[str, int]] = dict.fromkeys(SYSTEM_ACCOUNTS, 0)
        self.held: Final[dict[str, int]] = dict.fromkeys(SYSTEM_ACCOUNTS, 0)
        self.minted_tokens = 0
        self.burned_tokens = 0
        # By bid, from its placing until its award ends: bidder and tokens held.
        self._holds: Final[dict[int, tuple[str, int]]] = {}

    def available(self, account_id: str) -> int:
        """What the account may still bid or spend."""
        return self.balances[account_id] - self.held[account_id]

    def add(self, event: Event) -> None:
        """Book one event; those that move no tokens pass."""
        match event:
            case AccountOpened():
                self.balances[event.account_id] = 0
                self.held[event.account_id] = 0
            case TransferPosted():
                self._transfer(event)
            case BidPlaced():
                assert event.bid_id not in self._holds, event
                self._hold(event.bid_id, event.bidder_id, event.max_price_tokens)
            case BidAmended():
                self._release(event.bid_id, event.bidder_id, event.max_price_tokens_before)
                self._hold(event.bid_id, event.bidder_id, event.max_price_tokens)
            case AwardsGranted():
                for award in event.each():
                    self.add(award)
            case AwardGranted():
                self._release(event.bid_id, event.bidder_id, event.price_tokens + event.premium_tokens)
                self._hold(event.bid_id, event.bidder_id, event.price_tokens)
            case BidCancelled() | AwardVoided():
                self._release(event.bid_id, event.bidder_id, event.released_tokens)
            case AwardSettled() | AwardLapsed():
                self._release(event.bid_id, event.bidder_id, event.price_tokens)
            case BidsLost() | BidsExpired():
                for bid_id, bidder_id, tokens in zip(
                    event.bid_ids, event.bidder_ids, event.released_tokens, strict=True
                ):
                    self._release(bid_id, bidder_id, tokens)
            case _:
                pass

    def check(self) -> None:
        """Assert what must hold at every instant."""
        # What was minted and not burned is somewhere, and issuance owes exactly that.
        assert sum(self.balances.values()) == 0, self.balances
        assert self.minted_tokens - self.burned_tokens == -self.balances[ISSUANCE]
        for account_id, balance in self.balances.items():
            assert account_id == ISSUANCE or 0 <= self.held[account_id] <= balance, account_id

    def _transfer(self, event: TransferPosted) -> None:
        self.balances[event.debit_account_id] -= event.amount_tokens
        self.balances[event.credit_account_id] += event.amount_tokens
        # The event tells the balances after it; they must be the ones that we find.
        assert self.balances[event.debit_account_id] == event.debit_balance_tokens, event
        assert self.balances[event.credit_account_id] == event.credit_balance_tokens, event
        if event.debit_account_id == ISSUANCE:
            self.minted_tokens += event.amount_tokens
        if event.credit_account_id == ISSUANCE:
            self.burned_tokens += event.amount_tokens

    def _hold(self, bid_id: BidId, bidder_id: str, tokens: int) -> None:
        self._holds[bid_id] = (bidder_id, tokens)
        self.held[bidder_id] += tokens

    def _release(self, bid_id: BidId, bidder_id: str, tokens: int) -> None:
        # Account and amount of the event must be those of the hold.
        assert self._holds.pop(bid_id) == (bidder_id, tokens), (bid_id, bidder_id, tokens)
        self.held[bidder_id] -= tokens
