"""What idle tokens cost, and one walk over all accounts that charges it.

Rule of this file: pure decisions; who waits and who asks is in `collector`. Every charge is a command as any other, so
it is journaled, and it happens once for an account and period: the ledger says whether it has, for ever, and the id of
the command says so for two that charge at the same moment.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Final, Literal

from msgspec import Struct

from bridge import verbs
from bridge.config import Config
from bridge.messages import Reply, Request
from bridge.questions import Durable
from bridge.units import datetime_of
from engine.commands import ADMIN, TREASURY
from engine.events import TransferPosted
from persistence import queries
from persistence.queries import DEMURRAGE, IdleRow
from persistence.reader_pool import Snapshot

PPM: Final = 1_000_000
# A page is some milliseconds of the database, and its charges two or three of the engine, so nobody waits for it.
ACCOUNTS_PER_PAGE: Final = 200


class Demurrage(Struct, frozen=True):
    """The terms: `ppm` millionths of what is idle beyond `exempt_tokens`, once in a period; 0 is none."""

    ppm: int
    period_us: int
    exempt_tokens: int
    to: Literal["treasury", "burn"]

    def tokens(self, idle_tokens: int) -> int:
        """What so many idle tokens cost, rounded down."""
        return max(0, idle_tokens - self.exempt_tokens) * self.ppm // PPM

    def period(self, now_us: int) -> int:
        """The last period that has ended, counted from 1970."""
        return now_us // self.period_us - 1

    def since(self, period: int) -> datetime:
        """When a period began."""
        return datetime_of(period * self.period_us)

    def reference_id(self, period: int) -> str:
        """A period as ISO 8601 writes it: its beginning and its length."""
        begun = self.since(period).isoformat().replace("+00:00", "Z")
        return f"{begun}/PT{self.period_us // 1_000_000}S"


def demurrage_of(config: Config) -> Demurrage:
    """The terms of the settings."""
    return Demurrage(
        ppm=config.demurrage_ppm,
        period_us=config.demurrage_period_s * 1_000_000,
        exempt_tokens=config.demurrage_exempt_tokens,
        to=config.demurrage_to,
    )


class Walk:
    """All accounts for one period, page after page: ask the `question`, submit its `charges`, `note` the replies.

    A page of which something failed is asked again as it is; what was charged of it is no longer idle then.
    """

    def __init__(self, terms: Demurrage, period: int) -> None:
        """At the first account."""
        self._terms: Final = terms
        self.period: Final = period
        self._reference_id: Final = terms.reference_id(period)
        self._after = ""
        self._first_id: int | None = None
        self.done = False
        self.charges_made = 0
        self.tokens_charged = 0
        # An account that has spent in this very moment may not have them any more. It is let off.
        self.refused = 0

    def question(self) -> Durable[list[IdleRow]]:
        """The next accounts."""

        def answer(at: Snapshot, _: datetime) -> list[IdleRow]:
            if self._first_id is None:
                since = self._terms.since(self.period)
                self._first_id = queries.first_movement_since(at.connection, at.shard_id, since)
            return queries.idle_page(
                at.connection,
                at.shard_id,
                self._after,
                ACCOUNTS_PER_PAGE,
                first_id=self._first_id,
                reference_id=self._reference_id,
            )

        return Durable(answer)

    def charges(self, rows: Sequence[IdleRow]) -> list[Request]:
        """What these accounts have to pay."""
        owed = ((row.account_id, self._terms.tokens(row.idle_tokens)) for row in rows)
        return [self._charge(account_id, tokens) for account_id, tokens in owed if tokens]

    def note(self, rows: Sequence[IdleRow], replies: Sequence[Reply]) -> bool:
        """The page is charged: go on after it. Returns whether it was the last."""
        for reply in replies:
            posted = [event for event in reply.events if isinstance(event, TransferPosted)]
            if not posted:
                self.refused += 1
            elif not reply.repeated:
                self.charges_made += 1
                self.tokens_charged += posted[0].amount_tokens
        if rows:
            self._after = rows[-1].account_id
        self.done = len(rows) < ACCOUNTS_PER_PAGE
        return self.done

    def _charge(self, account_id: str, tokens: int) -> Request:
        # A name may be as long as an id may be.
        name = blake2b(account_id.encode(), digest_size=16).hexdigest()
        command_id = f"{DEMURRAGE}:{self._reference_id}:{name}"
        what = (tokens, DEMURRAGE, "period", self._reference_id)
        if self._terms.to == "burn":
            return verbs.burn(account_id, *what, actor=ADMIN, command_id=command_id)
        return verbs.transfer(account_id, TREASURY, *what, actor=ADMIN, command_id=command_id)
