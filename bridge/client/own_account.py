"""Which account a key acts for: for callers that name none.

Rule of this file: values only, as in `call`.
"""

from typing import Final

from msgspec import Struct

from callmarket.bridge.api.errors import Forbidden, Invalid
from callmarket.bridge.client.call import PREFIX, Call, reader

_ACCOUNTS_SHOWN_MAX: Final = 5


class KeyInfo(Struct, frozen=True):
    """The fields of the market's description of a key that are used here."""

    key_id: str
    accounts: tuple[str, ...]


WHOAMI: Final[Call[KeyInfo]] = Call("GET", f"{PREFIX}/me", reader(KeyInfo))


def only_account(me: KeyInfo, how: str) -> str:
    """The only account of a key. Raises `Forbidden` if it has none, `Invalid` if it has several; `how` one is named."""
    if not me.accounts:
        raise Forbidden(f"key {me.key_id} has no account to bid for")
    if len(me.accounts) > 1 or me.accounts == ("*",):
        shown = ", ".join(me.accounts[:_ACCOUNTS_SHOWN_MAX])
        raise Invalid("account", "", f"one of {shown}, {how}")
    return me.accounts[0]
