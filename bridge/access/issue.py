"""New keys: which settings a key may have, and which of them are shown afterwards.

Rule of this file: pure but for the randomness of the key. The text of a key is in `Issued` alone, which does not show
it when it is printed; its caller hands it over once.
"""

from datetime import datetime
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from callmarket.bridge.access import key_text
from callmarket.bridge.access.principal import ANY, NEVER_BIDS, NEVER_OFFERS, NEVER_US, Principal, Scope
from callmarket.bridge.api.errors import Invalid
from callmarket.bridge.api.names import LINE_PATTERN, expected_in_words
from callmarket.bridge.api.units import at_us, datetime_of
from callmarket.engine.fields import Name
from callmarket.persistence.stores.api_keys import KeyRow

# A team's agents fit; a larger fleet takes "*".
ACCOUNTS_PER_KEY_MAX: Final = 100
RATE_PER_S_MAX: Final = 1_000_000
# One agent that bids as fast as it can; the largest batch twice. Both are for the operator to raise.
RATE_PER_S: Final = 1_000
BURST: Final = 2_000

KeyName = Annotated[str, Meta(min_length=1, max_length=100, pattern=LINE_PATTERN)]
Accounts = Annotated[tuple[Name, ...], Meta(max_length=ACCOUNTS_PER_KEY_MAX)]
Rate = Annotated[int, Meta(ge=1, le=RATE_PER_S_MAX)]


class NewKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a key shall be: the scope `read`, and those that are named here."""

    name: KeyName
    bid: Accounts = ()
    offer: Accounts = ()
    operate: bool = False
    admin: bool = False
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    rate_per_s: Rate = RATE_PER_S
    burst: Rate = BURST

    @property
    def scopes(self) -> list[Scope]:
        """All of its scopes."""
        named = {Scope.BID: bool(self.bid), Scope.OFFER: bool(self.offer), Scope.OPERATE: self.operate}
        return [Scope.READ, *(scope for scope in named if named[scope]), *([Scope.ADMIN] if self.admin else [])]


class KeyView(Struct, frozen=True):
    """A key as its owner and the admin see it."""

    key_id: str
    name: str
    scopes: tuple[str, ...]
    accounts: tuple[str, ...]
    providers: tuple[str, ...]
    rate_per_s: int
    burst: int
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    works: bool


class Issued(Struct, frozen=True):
    """A new key. `key` is shown this once: nobody can read it anywhere afterwards."""

    key: str
    view: KeyView

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Issued(key_id={self.view.key_id!r})"


def new_key(fields: dict[str, object]) -> NewKey:
    """A key's description from user input. Raises `Invalid` with field, value, and what is expected."""
    try:
        return msgspec.convert(fields, NewKey)
    except msgspec.ValidationError as error:
        expected, _, path = str(error).partition(" - at `$.")
        field = path.rstrip("`").partition("[")[0]
        raise Invalid(field, fields.get(field), expected_in_words(expected)) from None


def issue(asked: NewKey, created_by: str, now_us: int) -> tuple[Issued, KeyRow]:
    """Make a key: what its owner gets, and the row that is stored. Raises `Invalid`; stores nothing."""
    for field, names, never in (("bid", asked.bid, NEVER_BIDS), ("offer", asked.offer, NEVER_OFFERS)):
        for name in names:
            if name in never:
                raise Invalid(field, name, "an account of somebody: that name is the market's own")
    now = datetime_of(now_us)
    if asked.expires_at is not None and asked.expires_at <= now:
        raise Invalid("expires_at", asked.expires_at, f"a time after {now}")
    text, key_id, digest = key_text.make()
    row = KeyRow(
        key_id=key_id,
        secret_sha256=digest,
        name=asked.name,
        scopes=[str(scope) for scope in asked.scopes],
        accounts=sorted({ANY} if ANY in asked.bid else set(asked.bid)),
        providers=sorted({ANY} if ANY in asked.offer else set(asked.offer)),
        rate_per_s=asked.rate_per_s,
        burst=asked.burst,
        created_at=now,
        created_by=created_by,
        expires_at=asked.expires_at,
    )
    return Issued(text, view_of(row, now_us)), row


def view_of(row: KeyRow, now_us: int) -> KeyView:
    """A stored key, to be shown."""
    works = row.revoked_at is None and (row.expires_at is None or row.expires_at > datetime_of(now_us))
    return KeyView(
        key_id=row.key_id,
        name=row.name,
        scopes=tuple(row.scopes),
        accounts=tuple(row.accounts),
        providers=tuple(row.providers),
        rate_per_s=row.rate_per_s,
        burst=row.burst,
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        works=works,
    )


def principal_of(row: KeyRow) -> Principal:
    """Whom a stored key stands for. The database refuses names of the engine as well; nothing hangs on that."""
    return Principal(
        key_id=row.key_id,
        name=row.name,
        scopes=frozenset(map(Scope, row.scopes)),
        accounts=frozenset(row.accounts) - NEVER_BIDS,
        providers=frozenset(row.providers) - NEVER_OFFERS,
        rate_per_s=row.rate_per_s,
        burst=row.burst,
        expires_at_us=NEVER_US if row.expires_at is None else at_us("expires_at", row.expires_at),
    )
